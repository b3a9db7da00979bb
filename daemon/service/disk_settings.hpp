// Where values are kept on disk: what [disk] says of all namespaces, and what each says of its own.
//
//   [disk] path = "/var/lib/onced"          the namespace "charts" has /var/lib/onced/charts
//   [disk] size = "10GiB"                    shared evenly by those that say no size of their own
//   [disk] map_files = "on"                  clients map the files of large parts; "off" unless it is said
//   [namespaces.charts] disk = "off"         or disk_size = "1GiB"
//
// Threads: values; prepare_disk_directory() looks at the disk and may wait for it.
// Errors:  what is wrong with one value, whose name and place are the caller's to add; what is wrong with the directory, and what to do.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <onced/protocol/result.hpp>

namespace onced::service {

struct Configuration;

inline constexpr std::uint64_t disk_bytes_default = std::uint64_t{10} << 30;
inline constexpr std::uint64_t disk_bytes_min = std::uint64_t{1} << 20;
inline constexpr std::uint64_t disk_bytes_max = std::uint64_t{1} << 50;

// What one namespace says.
struct DiskRules {
  std::optional<bool> on{};         // nothing: on, once a path is set
  std::uint64_t bytes = 0;          // 0: its share
  friend bool operator==(const DiskRules&, const DiskRules&) = default;
};

// "on" or "off".
Result<void> set_disk(DiskRules& to, std::string_view text);
Result<void> set_disk_size(DiskRules& to, std::string_view text);

// Of the namespaces that keep values on disk, by name.
struct DiskShare {
  std::string directory;
  std::uint64_t bytes = 0;
  bool map_files = false;
  friend bool operator==(const DiskShare&, const DiskShare&) = default;
};
std::map<std::string, DiskShare, std::less<>> disk_shares(const Configuration& configuration);

// What is wrong between settings that are each right: the setting, and the text.
std::optional<std::pair<std::string, std::string>> disk_mistake(const Configuration& configuration);

// What is wrong with the size of the whole where the file system that has `path` is smaller; nothing else is.
std::optional<std::string> disk_size_warning(const std::string& path, const std::map<std::string, DiskShare, std::less<>>& shares);

// Makes the directory, if its parent is there, and checks that it is the daemon's alone. Whoever has named a directory of something else by mistake
// finds nothing touched in it: all that is there must be a store (`is_store`, of a directory's path). Returns the stores that belong to none of `namespaces`, in order of names.
Result<std::vector<std::string>> prepare_disk_directory(const std::string& path, const std::vector<std::string>& namespaces,
                                                        const std::function<bool(const std::string&)>& is_store);

}  // namespace onced::service
