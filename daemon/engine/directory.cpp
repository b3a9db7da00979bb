#include "engine/directory.hpp"

#include <algorithm>

#include <onced/protocol/result.hpp>
#include <onced/protocol/session.hpp>

#include "engine/key_fields.hpp"

namespace onced::engine {

Entry* Directory::find(std::string_view key) {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

const Entry* Directory::find(std::string_view key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

Entry& Directory::obtain(std::string_view key) {
  if (Entry* found = find(key)) return *found;
  const auto made = entries_.try_emplace(std::string(key)).first;
  Entry& entry = made->second;
  entry.key = made->first;
  entry.function = functions_.obtain(function_of(key));
  entry.stamp = stamp_;
  entry.in_all = by_stamp_.insert(by_stamp_.begin(), &entry);
  functions_.link(entry);
  if (const auto session = protocol::session_in(key)) sessions_.link(entry, *session);
  versions_.add(entry);
  ordered_.insert(&entry);
  may_be_unused(entry);
  return entry;
}

void Directory::restamp(Entry& entry) {
  entry.stamp = stamp_;
  by_stamp_.splice(by_stamp_.begin(), by_stamp_, entry.in_all);
  functions_.move_to_front(entry);
  SessionTable::move_to_front(entry);
  TagTable::move_to_front(entry);
}

void Directory::set_tags(Entry& entry, const std::vector<std::string>& names) {
  if (names.empty()) return tags_.clear(entry);
  restamp(entry);
  tags_.set(entry, names);
}

void Directory::may_be_unused(Entry& entry) {
  if (entry.sweep_due) return;
  entry.sweep_due = true;
  to_sweep_.push_back(&entry);
}

void Directory::release_dependencies(std::size_t most) {
  dependencies_.release(most, [this](Entry& entry) { may_be_unused(entry); });
}

void Directory::sweep() {
  release_dependencies(released_per_step_max);
  for (Entry* entry : to_sweep_) {
    entry->sweep_due = false;
    if (!entry->unused()) continue;
    by_stamp_.erase(entry->in_all);
    functions_.unlink(*entry);
    SessionTable::unlink(*entry);
    tags_.clear(*entry);
    versions_.remove(*entry);
    ordered_.erase(entry);
    entries_.erase(entries_.find(entry->key));
  }
  to_sweep_.clear();
}

void Directory::check_invariants() const {
  const auto newest_first = [](const std::list<Entry*>& entries) {
    return std::is_sorted(entries.begin(), entries.end(), [](const Entry* a, const Entry* b) { return a->stamp > b->stamp; });
  };
  ONCED_ASSERT(ordered_.size() == entries_.size() && by_stamp_.size() == entries_.size());
  ONCED_ASSERT(newest_first(by_stamp_));
  ONCED_ASSERT(by_stamp_.empty() || by_stamp_.front()->stamp <= stamp_);
  std::size_t of_functions = 0;
  for (const Function& function : functions_.all()) {
    ONCED_ASSERT(newest_first(function.by_stamp));
    of_functions += function.by_stamp.size();
  }
  ONCED_ASSERT(of_functions == entries_.size());
  std::size_t tagged = 0;
  for (const auto& [name, tag] : tags_.all()) {
    ONCED_ASSERT(!tag.by_stamp.empty() && newest_first(tag.by_stamp));
    for (const Entry* entry : tag.by_stamp) ONCED_ASSERT(TagTable::has(*entry, name));
    tagged += tag.by_stamp.size();
  }
  for (const Entry* entry : by_stamp_) tagged -= entry->tags.size();
  ONCED_ASSERT(tagged == 0);
  std::size_t edges = 0;
  std::size_t derivations = 0;
  for (const Entry* entry : by_stamp_) DependencyGraph::check(*entry, edges, derivations);
  ONCED_ASSERT(edges == dependencies_.edges() && derivations == dependencies_.size());
  ONCED_ASSERT(versions_.families() <= entries_.size() && (versions_.families() == 0) == entries_.empty());
}

}  // namespace onced::engine
