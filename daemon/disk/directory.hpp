// The store's directory: whose it is, which format, and that no other daemon uses it (DISK.md, "Directory").
//
// Errors: a directory that is foreign, of a newer format, open to others or in use is refused, and nothing in it is touched.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <onced/protocol/result.hpp>

#include "disk/files.hpp"

namespace onced::disk {

inline constexpr const char* log_directory = "log";
inline constexpr const char* parts_directory = "parts";
inline constexpr const char* aside_directory = "aside";
inline constexpr const char* older_format_prefix = "format-";  // in it: directories of stores
inline constexpr const char* sessions_name = "sessions";
inline constexpr const char* audience_name = "audience";

// What people should hear of: damage, what was set aside, degradation and its end.
using Say = std::function<void(const std::string&)>;

struct OpenDirectory {
  std::unique_ptr<Lock> lock;
  std::uint64_t seed = 0;
  bool is_new = false;  // there was no store yet, or one of an older format
};

// Whether open_directory() would take it for a store, or for what a first start that was cut off has left. Touches nothing.
bool may_be_store(const FileSystem& files);

// `random` fills what it is given.
Result<OpenDirectory> open_directory(FileSystem& files, const std::function<void(std::span<std::byte>)>& random, const Say& say);

// Whether every file and directory on the way is ours, and of the mode that DISK.md says.
Result<void> check_access(const FileSystem& files, const std::string& path, FileSystem::Kind kind);

// The whole file, up to `most` bytes.
Result<std::vector<std::byte>> read_whole(const File& file, std::uint64_t most);
// Written beside it, synced, renamed; the directory is synced.
Result<void> write_whole(FileSystem& files, const std::string& directory, const std::string& name, std::span<const std::byte> bytes);

}  // namespace onced::disk
