// Entries whose keys differ in nothing but the function's version: what `retire_older` looks through.
//
// A family is found by the keyed hash of what its keys have in common; equal hashes are told apart by the bytes, key by
// key, so that nothing of a key is kept twice.
//
// Ownership: the directory adds and removes its entries.
// Bounds:    examine() looks at no more entries than it is told.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>

#include "engine/entry.hpp"
#include "engine/key_fields.hpp"
#include "engine/key_map.hpp"

namespace onced::engine {

class VersionIndex {
 public:
  explicit VersionIndex(const BytesHash& hash) : hash_(hash) {}

  void add(Entry& entry);
  void remove(Entry& entry);

  // How many entries there are of the family, this one among them, about: those of equal hash.
  std::size_t family_size(const Entry& entry) const { return families_.at(entry.family).size(); }
  // Calls visit(Entry&) for the next `count` of the others, in turn: as many calls as there are entries see all of them.
  template <typename Visit>
  void examine(const Entry& entry, std::size_t count, Visit visit) {
    std::list<Entry*>& family = families_.at(entry.family);
    const KeyWithoutVersion own = without_version(entry.key);
    for (; count > 0; --count) {
      Entry& other = *family.back();
      family.splice(family.begin(), family, std::prev(family.end()));
      if (&other != &entry && without_version(other.key) == own) visit(other);
    }
  }
  std::size_t families() const { return families_.size(); }

 private:
  BytesHash hash_;
  std::unordered_map<std::uint64_t, std::list<Entry*>> families_;  // the one that was examined last comes first
};

}  // namespace onced::engine
