#include "memory/memory_cgroup.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>
#include <vector>

namespace onced::memory {

namespace {

enum class Hierarchy { v1, v2 };

struct Mount {
  Hierarchy hierarchy;
  std::string root;  // the group that stands at `point`: "/" unless only a part is mounted (containers)
  std::string point;
};

bool has_word(const std::string& list, std::string_view word) {
  std::istringstream words(list);
  for (std::string one; std::getline(words, one, ',');) {
    if (one == word) return true;
  }
  return false;
}

// proc(5), mountinfo: 36 35 98:0 ROOT POINT OPTIONS [FIELDS...] - TYPE SOURCE SUPER_OPTIONS
std::vector<Mount> memory_mounts(const std::string& path) {
  std::vector<Mount> mounts;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    std::istringstream before(line.substr(0, separator));
    std::istringstream after(line.substr(separator + 3));
    std::string skipped, root, point, type, source, options;
    before >> skipped >> skipped >> skipped >> root >> point;
    after >> type >> source >> options;
    if (type == "cgroup2") mounts.push_back({Hierarchy::v2, root, point});
    if (type == "cgroup" && has_word(options, "memory")) mounts.push_back({Hierarchy::v1, root, point});
  }
  return mounts;
}

// cgroups(7), /proc/<pid>/cgroup: HIERARCHY:CONTROLLERS:GROUP; hierarchy 0 without controllers is v2.
std::optional<std::string> group_in(Hierarchy hierarchy, const std::string& path) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool found = hierarchy == Hierarchy::v2 ? controllers.empty() : has_word(controllers, "memory");
    if (found) return line.substr(second + 1);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> read_limit(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  if (!(file >> word)) return std::nullopt;
  std::uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), bytes);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;  // "max"
  if (bytes >= (std::uint64_t{1} << 62)) return std::nullopt;  // v1 says "none" by a number near 2^63
  return bytes;
}

}  // namespace

std::optional<std::uint64_t> memory_cgroup_limit(const CgroupFiles& files) {
  std::optional<std::uint64_t> lowest;
  for (const Mount& mount : memory_mounts(files.mounts)) {
    auto group = group_in(mount.hierarchy, files.membership);
    if (!group) continue;
    // The group's path counts from the hierarchy's root, the mount may show a part of it only.
    const bool below_mount = *group == mount.root || group->starts_with(mount.root + "/");
    if (mount.root != "/" && below_mount) group->erase(0, mount.root.size());
    const char* const name = mount.hierarchy == Hierarchy::v2 ? "/memory.max" : "/memory.limit_in_bytes";
    for (std::string below = *group;; below.erase(below.rfind('/'))) {
      while (!below.empty() && below.back() == '/') below.pop_back();
      if (const auto limit = read_limit(mount.point + below + name)) lowest = std::min(*limit, lowest.value_or(*limit));
      if (below.find('/') == std::string::npos) break;
    }
  }
  return lowest;
}

Result<void> check_memory_cgroup(std::uint64_t segments_bytes, std::uint64_t blobs_bytes, const CgroupFiles& files) {
  const auto limit = memory_cgroup_limit(files);
  // Neither sum nor limit is anywhere near 2^64: a setting is at most 64 TiB.
  if (!limit || segments_bytes + blobs_bytes <= *limit) return {};
  return Error{ErrorCode::limit_reached, "memory and blobs are configured to use " + std::to_string(segments_bytes) + " + " +
                                             std::to_string(blobs_bytes) + " bytes, but this process's memory cgroup allows " +
                                             std::to_string(*limit) +
                                             "; lower the settings memory or blobs, or raise the limit (MemoryMax= in systemd)"};
}

std::uint64_t memory_available_bytes(const CgroupFiles& files) {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_size = ::sysconf(_SC_PAGESIZE);
  const std::uint64_t machine =
      pages > 0 && page_size > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_size) : 0;
  const auto limit = memory_cgroup_limit(files);
  if (!limit) return machine;
  return machine == 0 ? *limit : std::min(machine, *limit);
}

}  // namespace onced::memory
