#include "engine/tag_table.hpp"

#include <algorithm>

namespace onced::engine {

void TagTable::set(Entry& entry, const std::vector<std::string>& names) {
  clear(entry);
  for (const std::string& name : names) {
    if (has(entry, name)) continue;  // said twice
    const auto at = tags_.try_emplace(name).first;
    Tag& tag = at->second;
    tag.name = at->first;
    entry.tags.push_back({&tag, tag.by_stamp.insert(tag.by_stamp.begin(), &entry)});
  }
}

void TagTable::clear(Entry& entry) {
  for (const TagPlace& place : entry.tags) {
    place.tag->by_stamp.erase(place.at);
    if (place.tag->by_stamp.empty()) tags_.erase(tags_.find(place.tag->name));
  }
  entry.tags.clear();
}

void TagTable::move_to_front(Entry& entry) {
  for (const TagPlace& place : entry.tags) {
    std::list<Entry*>& entries = place.tag->by_stamp;
    entries.splice(entries.begin(), entries, place.at);
  }
}

bool TagTable::has(const Entry& entry, std::string_view name) {
  return std::any_of(entry.tags.begin(), entry.tags.end(), [&](const TagPlace& place) { return place.tag->name == name; });
}

Entry* TagTable::oldest_of(std::string_view name) const {
  const auto found = tags_.find(name);
  return found == tags_.end() ? nullptr : found->second.by_stamp.back();
}

}  // namespace onced::engine
