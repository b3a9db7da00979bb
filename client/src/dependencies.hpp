// What one computation has been made from: keys and the versions of them that it read, or was told to depend on.
//
// Invariant: not more than limits::dependencies_max keys of limits::dependencies_bytes_max together; what does not fit is
//            counted. A key stands there once, never the computation's own (a refresh may read the value it replaces).
// Version 0: never a current version, so that the value counts as outdated at once. What was read and is not stored has it,
//            and a key that was read in two versions.
// Threads:   any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <onced/protocol/messages.hpp>

namespace onced::client_detail {

class Dependencies {
 public:
  explicit Dependencies(std::string_view own_key) : own_key_(own_key) {}

  // A value of this key was read.
  void add(std::string_view key, std::uint64_t version);
  // The caller names this key (ComputeOptions::depends_on), which had this version when the computation began. 0: it had
  // no value; the first that is read counts.
  void declare(std::string_view key, std::uint64_t version);

  // In order of the keys' bytes.
  std::vector<protocol::Dependency> list() const;
  // Reads that found no room.
  std::uint64_t dropped() const;

 private:
  bool fits(std::string_view key) const;

  const std::string own_key_;
  mutable std::mutex mutex_;
  // Under mutex_:
  struct Version {
    std::uint64_t number = 0;
    bool open = false;  // declared, and there was none
  };
  std::map<std::string, Version, std::less<>> versions_;
  std::size_t bytes_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace onced::client_detail
