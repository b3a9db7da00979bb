// Which entries have which tag: those of the value that was last stored in them.
//
// An entry keeps its tags for as long as it is there, also without the value: who computes it anew is meant by an
// invalidation of the tag. Each tag lists its entries in the order of stamps, the newest first, as the directory does.
//
// Ownership: a tag lives while an entry has it; entries belong to the directory, which alone calls what is not const.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <vector>

#include "engine/entry.hpp"
#include "engine/key_map.hpp"

namespace onced::engine {

struct Tag {
  std::string_view name;  // of the table's node
  std::list<Entry*> by_stamp{};
};

class TagTable {
 public:
  explicit TagTable(const BytesHash& hash) : tags_(0, hash) {}

  // In place of those that the entry has. Its stamp is the newest.
  void set(Entry& entry, const std::vector<std::string>& names);
  void clear(Entry& entry);
  // Its stamp has become the newest.
  static void move_to_front(Entry& entry);

  static bool has(const Entry& entry, std::string_view name);
  // One with the oldest stamp; null: none has this tag.
  Entry* oldest_of(std::string_view name) const;
  std::size_t size() const { return tags_.size(); }
  const KeyMap<Tag>& all() const { return tags_; }

 private:
  KeyMap<Tag> tags_;
};

}  // namespace onced::engine
