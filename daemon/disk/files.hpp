// The seam between the store and the file system: everything that the disk tier does to files goes through here, and tests
// put in its place one that fails, tears and forgets.
//
// Paths are relative to the store's directory, with '/' between names. Nothing follows a symbolic link.
// Threads: all calls from any thread at once, except that one file is written by one at a time.
// Errors:  not_found where there is no such file; unavailable with the system's text otherwise. A write that fails may have
//          written any part of its bytes; a sync that fails may have dropped any of what was written since the last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <onced/protocol/result.hpp>

namespace onced::disk {

class File {
 public:
  virtual ~File() = default;
  // Fills `into` from `offset` on, as far as the file goes: the bytes read.
  virtual Result<std::size_t> read(std::span<std::byte> into, std::uint64_t offset) const = 0;
  // All of it, or an error.
  virtual Result<void> write(std::span<const std::byte> bytes, std::uint64_t offset) = 0;
  // Content and size are on stable storage with success. Never called again on a file for which it failed.
  virtual Result<void> sync() = 0;
  virtual Result<void> truncate(std::uint64_t size) = 0;
  virtual Result<std::uint64_t> size() const = 0;
  // Of one that was opened not to be written: the descriptor, which is the caller's from now on, and only reads; nothing more is asked of this
  // object. -1: it has none that another process could use.
  virtual int release_descriptor() { return -1; }
};

// Released when it goes, and when the process dies.
class Lock {
 public:
  virtual ~Lock() = default;
};

class FileSystem {
 public:
  enum class Kind : std::uint8_t { file, directory, other };
  struct Status {
    Kind kind = Kind::file;
    std::uint32_t mode = 0;  // permission bits
    bool own = true;         // belongs to this process's user
    std::uint64_t bytes = 0;
  };
  virtual ~FileSystem() = default;

  virtual Result<Status> status(const std::string& path) const = 0;  // "" is the directory itself
  virtual Result<std::vector<std::string>> list(const std::string& directory) const = 0;  // names, in no order
  virtual Result<std::unique_ptr<File>> open(const std::string& path, bool writable) = 0;
  virtual Result<std::unique_ptr<File>> create(const std::string& path) = 0;  // 0600; empties one that is there
  virtual Result<void> make_directory(const std::string& path) = 0;           // 0700; success when it is there
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;  // replaces `to`
  virtual Result<void> remove(const std::string& path) = 0;                   // a file, or a directory with nothing in it
  // Names that were made, changed or removed in it are on stable storage with success.
  virtual Result<void> sync_directory(const std::string& path) = 0;
  // limit_reached when another process, or another Lock, has it.
  virtual Result<std::unique_ptr<Lock>> lock(const std::string& path) = 0;
};

// The real one. Makes the directory (0700) when it is missing, not its parents.
Result<std::unique_ptr<FileSystem>> open_posix_files(const std::string& directory);

}  // namespace onced::disk
