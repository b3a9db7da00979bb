#include "engine/directory.hpp"

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
  functions_.link(entry);
  ordered_.insert(&entry);
  may_be_unused(entry);
  return entry;
}

void Directory::may_be_unused(Entry& entry) {
  if (entry.sweep_due) return;
  entry.sweep_due = true;
  to_sweep_.push_back(&entry);
}

void Directory::sweep() {
  for (Entry* entry : to_sweep_) {
    entry->sweep_due = false;
    if (!entry->unused()) continue;
    functions_.unlink(*entry);
    ordered_.erase(entry);
    entries_.erase(entries_.find(entry->key));
  }
  to_sweep_.clear();
}

}  // namespace onced::engine
