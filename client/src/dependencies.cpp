#include "dependencies.hpp"

#include <onced/protocol/limits.hpp>

namespace onced::client_detail {

void Dependencies::add(std::string_view key, std::uint64_t version) {
  if (key == own_key_) return;
  const std::lock_guard lock(mutex_);
  if (const auto known = versions_.find(key); known != versions_.end()) {
    Version& present = known->second;
    if (present.open) {
      present = {version, false};
    } else if (present.number != version) {
      present.number = 0;
    }
    return;
  }
  if (!fits(key)) {
    ++dropped_;
    return;
  }
  versions_.emplace(key, Version{version, false});
  bytes_ += key.size();
}

void Dependencies::declare(std::string_view key, std::uint64_t version) {
  if (key == own_key_) return;
  const std::lock_guard lock(mutex_);
  if (!fits(key) || !versions_.emplace(key, Version{version, version == 0}).second) return;
  bytes_ += key.size();
}

bool Dependencies::fits(std::string_view key) const {
  return versions_.size() < limits::dependencies_max && key.size() <= limits::dependencies_bytes_max - bytes_;
}

std::vector<protocol::Dependency> Dependencies::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<protocol::Dependency> list;
  list.reserve(versions_.size());
  for (const auto& [key, version] : versions_) list.push_back({key, version.number});
  return list;
}

std::uint64_t Dependencies::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

}  // namespace onced::client_detail
