// A file system in memory that remembers every operation: it can fail at any of them, and show what a disk might hold after a
// power loss at any of them.
//
// What a power loss leaves: of each file, what was synced, and of the writes since then any subset, each whole, torn or missing; of each
// directory, what was synced, and of the names made, moved and removed since then a first part, by directory or by name. (A file's sync does
// not save its name.)
// Threads: one at a time; the tests with threads use the real file system.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "disk/files.hpp"

namespace onced::testing {

struct Node {
  bool directory = false;
  std::uint32_t mode = 0600;
  std::string content;
};
using Image = std::map<std::string, Node>;  // by path; "" is the directory itself

struct Operation {
  enum class Kind { create, write, truncate, sync, make_directory, rename, remove, sync_directory } kind;
  std::string path;  // sync: unused
  std::string to;    // rename
  std::size_t inode = 0;
  std::uint64_t offset = 0;
  std::string bytes;
};

enum class Fault { error, half_written };

// The disk: what files there are, and how they came to be.
struct MemoryDisk {
  struct Inode {
    std::string content;
  };
  std::map<std::string, std::size_t> names;  // files
  std::map<std::string, std::uint32_t> directories{{"", 0700}};
  std::vector<Inode> inodes;
  std::vector<Operation> log;
  Image start;  // what it began with
  bool locked = false;

  // Faults: operation number `n` of those that change something or read, counted from arm().
  std::optional<std::size_t> fail_at;
  std::size_t fail_count = 1;
  Fault fault = Fault::error;
  std::size_t counted = 0;
  std::size_t failed = 0;
  bool fail_reads = false;
  std::set<std::size_t> unreadable;  // inodes of which nothing can be read

  void arm(std::size_t at, std::size_t count, Fault kind);
  void disarm() { fail_at.reset(); }
  bool fails();
  static Error error() { return Error{ErrorCode::unavailable, "injected fault"}; }

  explicit MemoryDisk(const Image& image = {{"", Node{true, 0700, {}}}}) : start(image) {
    for (const auto& [path, node] : image) {
      if (node.directory) {
        directories[path] = node.mode;
      } else {
        names[path] = inodes.size();
        inodes.push_back({node.content});
      }
    }
  }
  Image image() const;

  static std::string parent(const std::string& path);
  static std::string stem(const std::string& path) { return path.ends_with(".new") ? path.substr(0, path.size() - 4) : path; }

  static void put(std::string& content, std::uint64_t offset, std::string_view bytes);

  // What lies in a directory that is moved, in each of these.
  template <typename... ByPath>
  static void move_below(const std::string& from, const std::string& to, ByPath&... all) {
    const auto in_one = [&](auto& by_path) {
      for (auto at = by_path.begin(); at != by_path.end();) {
        const auto each = at++;
        if (each->first != from && !each->first.starts_with(from + "/")) continue;
        auto moved = by_path.extract(each);
        moved.key() = to + moved.key().substr(from.size());
        by_path.insert(std::move(moved));
      }
    };
    (in_one(all), ...);
  }

  // After the first `n` operations and a power loss. `keep`: whether an unsynced change is there (asked once for each).
  enum class Loss { nothing, all_unsynced, random };
  Image after(std::size_t n, Loss loss, std::mt19937_64& random) const;
};

class MemoryFile final : public disk::File {
 public:
  MemoryFile(std::shared_ptr<MemoryDisk> disk, std::size_t inode) : disk_(std::move(disk)), inode_(inode) {}

  Result<std::size_t> read(std::span<std::byte> into, std::uint64_t offset) const override;
  Result<void> write(std::span<const std::byte> bytes, std::uint64_t offset) override;
  Result<void> sync() override;
  Result<void> truncate(std::uint64_t size) override;
  Result<std::uint64_t> size() const override { return std::uint64_t{disk_->inodes[inode_].content.size()}; }

 private:
  std::shared_ptr<MemoryDisk> disk_;
  std::size_t inode_;
  bool sync_failed_ = false;
};

class MemoryFiles final : public disk::FileSystem {
 public:
  explicit MemoryFiles(std::shared_ptr<MemoryDisk> disk) : disk_(std::move(disk)) {}

  Result<Status> status(const std::string& path) const override;
  Result<std::vector<std::string>> list(const std::string& directory) const override;
  Result<std::unique_ptr<disk::File>> open(const std::string& path, bool) override;
  Result<std::unique_ptr<disk::File>> create(const std::string& path) override;
  Result<void> make_directory(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<std::unique_ptr<disk::Lock>> lock(const std::string& path) override;

 private:
  struct MemoryLock final : disk::Lock {
    explicit MemoryLock(std::shared_ptr<MemoryDisk> locked) : disk(std::move(locked)) {}
    ~MemoryLock() override { disk->locked = false; }
    std::shared_ptr<MemoryDisk> disk;
  };
  static Error missing(const std::string& path) { return Error{ErrorCode::not_found, "no " + path}; }
  Result<void> rename_directory(const std::string& from, const std::string& to);

  std::shared_ptr<MemoryDisk> disk_;
};

}  // namespace onced::testing
