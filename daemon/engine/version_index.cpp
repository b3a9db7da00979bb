#include "engine/version_index.hpp"

namespace onced::engine {

void VersionIndex::add(Entry& entry) {
  const KeyWithoutVersion key = without_version(entry.key);
  constexpr std::uint64_t odd = 0x9e37'79b9'7f4a'7c15;  // or the two halves could be exchanged
  entry.family = hash_(key.head) * odd + hash_(key.arguments);
  std::list<Entry*>& family = families_[entry.family];
  entry.in_family = family.insert(family.begin(), &entry);
}

void VersionIndex::remove(Entry& entry) {
  const auto found = families_.find(entry.family);
  found->second.erase(entry.in_family);
  if (found->second.empty()) families_.erase(found);
}

}  // namespace onced::engine
