// Every key that the engine knows something of, found by bytes, walked in order of bytes, or walked by function.
//
// Stamps:    each bulk invalidation is a stamp; an entry has the newest one when it is made. Orders of all entries, of each
//            function's and of each tag's have the newest stamp first: what an invalidation must look at lies at their ends.
//
// Ownership: owns the entries; their addresses stay while they live.
// Rule:      an entry goes only in sweep(), at the end of a step; until then pointers to it are good. Whoever takes
//            something from an entry says so with may_be_unused().
#pragma once

#include <cstdint>
#include <list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/dependency_graph.hpp"
#include "engine/entry.hpp"
#include "engine/function_table.hpp"
#include "engine/key_map.hpp"
#include "engine/session_table.hpp"
#include "engine/tag_table.hpp"
#include "engine/version_index.hpp"

namespace onced::engine {

class Directory {
 public:
  Directory(FunctionTable& functions, SessionTable& sessions, const BytesHash& hash)
      : functions_(functions), sessions_(sessions), entries_(0, hash), versions_(hash), tags_(hash) {}

  Entry* find(std::string_view key);
  const Entry* find(std::string_view key) const;
  // The entry of `key`, made when there is none; goes again at the end of the step when nothing is put into it.
  Entry& obtain(std::string_view key);

  std::uint64_t next_stamp() { return ++stamp_; }
  std::uint64_t stamp() const { return stamp_; }
  // The entry has been held against every invalidation so far.
  void restamp(Entry& entry);
  // Of all entries, or of those that share this function's number: one with the oldest stamp. Null: there is none.
  Entry* oldest() { return by_stamp_.empty() ? nullptr : by_stamp_.back(); }
  Entry* oldest_of(FunctionNumber function) {
    const std::list<Entry*>& entries = functions_.at(function).by_stamp;
    return entries.empty() ? nullptr : entries.back();
  }

  // Null: there is no entry.
  Entry* oldest_in(SessionNumber session) {
    const Session* found = sessions_.find(session);
    return found == nullptr || found->entries.empty() ? nullptr : found->entries.back();
  }
  // Null: no entry has the tag.
  Entry* oldest_with(std::string_view tag) { return tags_.oldest_of(tag); }

  // What is stored in this entry, which has been held against every invalidation so far, has these tags.
  void set_tags(Entry& entry, const std::vector<std::string>& names);
  void clear_tags(Entry& entry) { tags_.clear(entry); }
  const TagTable& tags() const { return tags_; }

  VersionIndex& versions() { return versions_; }
  const SessionTable& sessions() const { return sessions_; }

  DependencyGraph& dependencies() { return dependencies_; }
  const DependencyGraph& dependencies() const { return dependencies_; }
  // Takes apart some of what is not needed of it any more, as sweep() does.
  void release_dependencies(std::size_t most);
  bool has_work_left() const { return dependencies_.has_releases_left(); }

  void may_be_unused(Entry& entry);
  void sweep();

  std::size_t size() const { return entries_.size(); }

  // Calls visit(const Entry&) in order of key bytes from the first key greater than `after` and not less than `from`,
  // until it returns false.
  template <typename Visit>
  void walk(std::string_view after, std::string_view from, Visit visit) const {
    auto at = after < from ? ordered_.lower_bound(from) : ordered_.upper_bound(after);
    if (after.empty() && from.empty()) at = ordered_.begin();
    for (; at != ordered_.end(); ++at)
      if (!visit(static_cast<const Entry&>(**at))) return;
  }
  // The entries of a function; filtered by name because functions above the table's limit share a number.
  template <typename Visit>
  void walk_function(std::string_view function, Visit visit) const {
    const Function* found = functions_.find(function);
    if (found == nullptr) return;
    for (Entry* entry : found->by_stamp) {
      if (!functions_.owns(*found, *entry, function)) continue;
      if (!visit(*entry)) return;
    }
  }
  // The entries of a session.
  template <typename Visit>
  void walk_session(SessionNumber session, Visit visit) const {
    const Session* found = sessions_.find(session);
    if (found == nullptr) return;
    for (const Entry* entry : found->entries)
      if (!visit(*entry)) return;
  }
  template <typename Visit>
  void walk_all(Visit visit) const {
    for (Entry* entry : ordered_) visit(*entry);
  }
  void check_invariants() const;

  static constexpr std::size_t released_per_step_max = 1024;  // edges of the graph

 private:
  struct ByKey {
    using is_transparent = void;
    bool operator()(const Entry* a, const Entry* b) const { return a->key < b->key; }
    bool operator()(const Entry* a, std::string_view b) const { return a->key < b; }
    bool operator()(std::string_view a, const Entry* b) const { return a < b->key; }
  };

  FunctionTable& functions_;
  SessionTable& sessions_;
  KeyMap<Entry> entries_;
  std::set<Entry*, ByKey> ordered_;
  std::uint64_t stamp_ = 0;
  std::list<Entry*> by_stamp_;
  VersionIndex versions_;
  TagTable tags_;
  DependencyGraph dependencies_;
  std::vector<Entry*> to_sweep_;
};

}  // namespace onced::engine
