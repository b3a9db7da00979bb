#include "history.hpp"

#include <algorithm>

namespace onced::testing {

std::string derived_bytes(int key, std::uint64_t version, std::size_t part, std::size_t size) {
  std::uint64_t x = static_cast<std::uint64_t>(key) * std::uint64_t{0x9e3779b97f4a7c15} + version * std::uint64_t{0xbf58476d1ce4e5b9} + part + 1;
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    byte = static_cast<char>(x >> 32);
  }
  // Some of it can be compressed.
  if (key % 3 == 0) std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(size / 4), bytes.end(), static_cast<char>(version));
  return bytes;
}

std::vector<std::size_t> part_sizes(int key) {
  if (key % 4 == 1) return {40, 700, 350};
  if (key % 4 == 2) return {0};
  return {static_cast<std::size_t>(10 + key * 29 % 280)};
}

disk::ValueInput derived_value(int key, std::uint64_t version) {
  disk::ValueInput value;
  value.key = key_name(key);
  value.facts.version = version;
  value.facts.cost_us = version * 3;
  value.facts.stored_ms = 1'000;
  value.facts.merit = static_cast<float>(key % 7);
  value.labels = {label_of(key), 7};
  value.attributes = "attributes of " + std::to_string(version);
  const auto sizes = part_sizes(key);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    auto bytes = std::make_shared<std::string>(derived_bytes(key, version, i, sizes[i]));
    value.parts.push_back({"part " + std::to_string(i), "type", disk::bytes_of(std::string_view(*bytes)), bytes});
  }
  return value;
}

std::optional<std::uint64_t> version_of(int key, const disk::Store::Loaded& loaded) {
  const std::uint64_t version = loaded.facts.version;
  if (loaded.facts.cost_us != version * 3 || loaded.attributes != "attributes of " + std::to_string(version)) return std::nullopt;
  if (loaded.labels != std::vector<disk::Label>{label_of(key), 7}) return std::nullopt;
  const auto sizes = part_sizes(key);
  if (loaded.parts.size() != sizes.size()) return std::nullopt;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (loaded.parts[i].name != "part " + std::to_string(i) || loaded.parts[i].type != "type") return std::nullopt;
    if (loaded.parts[i].bytes != derived_bytes(key, version, i, sizes[i])) return std::nullopt;
  }
  return version;
}

void History::put(int key, std::uint64_t version, std::size_t issued, std::optional<std::size_t> acknowledged) {
  events_[key].push_back({version, issued, acknowledged});
}

std::string History::problem(int key, const std::optional<disk::Store::Loaded>& loaded, std::size_t now, bool lossless) const {
  const auto found = events_.find(key);
  if (found == events_.end()) return loaded ? "a value that nobody put" : "";
  std::ptrdiff_t certain = -1;  // the latest event that was acknowledged
  std::ptrdiff_t latest = -1;   // that was issued
  const auto& events = found->second;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (events[i].issued > now) break;
    latest = static_cast<std::ptrdiff_t>(i);
    if (events[i].acknowledged && *events[i].acknowledged <= now) certain = latest;
  }
  if (!loaded) {
    if (!lossless || certain < 0) return "";
    for (std::ptrdiff_t i = certain; i <= latest; ++i) {
      if (!events[static_cast<std::size_t>(i)].put) return "";  // dropped, or possibly dropped
    }
    return "missing: version " + std::to_string(*events[static_cast<std::size_t>(certain)].put) + " was durable";
  }
  const auto version = version_of(key, *loaded);
  if (!version) return "wrong bytes";
  for (std::ptrdiff_t i = 0; i <= latest; ++i) {
    if (events[static_cast<std::size_t>(i)].put != *version) continue;
    return i >= certain ? "" : "version " + std::to_string(*version) + " came back";
  }
  return "version " + std::to_string(*version) + " was not put by then";
}

}  // namespace onced::testing
