// What the memory cgroup allows this process: segments and blobs beyond it would get the daemon killed while they fill.
//
// Both hierarchies are read (v1 and v2, also side by side), from the process's own group up to the root that is
// visible: the lowest limit on the way counts. What cannot be read sets no limit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <onced/protocol/result.hpp>

namespace onced::memory {

struct CgroupFiles {
  std::string membership = "/proc/self/cgroup";  // which group this process is in
  std::string mounts = "/proc/self/mountinfo";   // where the hierarchies are
};

// Bytes, or nothing when there is no limit.
std::optional<std::uint64_t> memory_cgroup_limit(const CgroupFiles& files = {});

// Fails with limit_reached, naming the numbers, when all segments and the budgets of all blobs together are more than the
// limit.
Result<void> check_memory_cgroup(std::uint64_t segments_bytes, std::uint64_t blobs_bytes, const CgroupFiles& files = {});

// What this process may use at most: the machine's memory or its cgroup's limit, whichever is less; 0 when neither can be
// read.
std::uint64_t memory_available_bytes(const CgroupFiles& files = {});

}  // namespace onced::memory
