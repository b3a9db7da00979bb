// Values that derive from key and version, and what a store may hold of them after whatever has happened to it.
//
// A load is right when it brings every byte of a version that was put, and nothing that an acknowledged later operation has
// replaced or dropped. Whether something must be there is the second question (must_have).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "disk/store.hpp"

namespace onced::testing {

inline std::string key_name(int key) { return "key " + std::to_string(key) + std::string(static_cast<std::size_t>(key % 13), 'k'); }

std::string derived_bytes(int key, std::uint64_t version, std::size_t part, std::size_t size);

// Every fourth key has a part that is a file (from 300 bytes on in these tests).
std::vector<std::size_t> part_sizes(int key);
constexpr std::uint64_t test_file_bytes_min = 300;

inline disk::Label label_of(int key) { return static_cast<disk::Label>(1000 + key % 5); }

disk::ValueInput derived_value(int key, std::uint64_t version);

// Of which version every byte of it is; nothing when it is of none.
std::optional<std::uint64_t> version_of(int key, const disk::Store::Loaded& loaded);

class History {
 public:
  // `issued`, `acknowledged`: points in time, as the test counts them. Not acknowledged: never.
  struct Event {
    std::optional<std::uint64_t> put;  // its version; nothing: a drop
    std::size_t issued = 0;
    std::optional<std::size_t> acknowledged;  // as durable
  };
  void put(int key, std::uint64_t version, std::size_t issued, std::optional<std::size_t> acknowledged);
  void drop(int key, std::size_t issued, std::optional<std::size_t> acknowledged) { events_[key].push_back({std::nullopt, issued, acknowledged}); }

  // What is wrong with what was found of this key when the world stopped at `now`; empty when it is right. `lossless`: what was
  // acknowledged must be there (no damage, no eviction).
  std::string problem(int key, const std::optional<disk::Store::Loaded>& loaded, std::size_t now, bool lossless) const;

  template <typename Visit>
  void each_key(Visit visit) const {
    for (const auto& [key, events] : events_) visit(key);
  }

 private:
  std::map<int, std::vector<Event>> events_;
};

}  // namespace onced::testing
