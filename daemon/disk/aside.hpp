// What was set aside (DISK.md, "Set aside"): damaged files, kept for people as far as their bound goes, and stores of older formats, which stay until
// their room is needed.
//
// Ownership: borrows the file system.
// Threads:   open() and make_room() by the writer; the rest from any.
// Errors:    none: what cannot be looked at or removed is said; what cannot be removed counts, and is tried again when room is needed.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "disk/directory.hpp"
#include "disk/files.hpp"

namespace onced::disk {

class Aside {
 public:
  // `damaged_bytes_max`: of damaged files.
  Aside(FileSystem& files, std::uint64_t damaged_bytes_max, const Say& say) : files_(files), damaged_bytes_max_(damaged_bytes_max), say_(say) {}

  // Looks at what is there. In time with the number of files of older stores, if there are any.
  void open();

  bool has_room_for_damaged(std::uint64_t bytes) const { return damaged_bytes() + bytes <= damaged_bytes_max_; }
  void count_damaged(std::uint64_t bytes) { damaged_bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  std::uint64_t damaged_bytes() const { return damaged_bytes_.load(std::memory_order_relaxed); }

  // Of stores of older formats: whole blocks of their files.
  std::uint64_t older_bytes() const { return older_bytes_.load(std::memory_order_relaxed); }
  // Removes of these so many bytes, or all, up to the first that cannot be removed. False: it was the first of all, or there is none.
  bool make_room(std::uint64_t bytes);

 private:
  struct Older {
    std::string path;
    std::uint64_t bytes = 0;
  };
  void look_into(const std::string& path, std::vector<Older>& found);

  FileSystem& files_;
  std::uint64_t damaged_bytes_max_;
  const Say& say_;
  std::vector<Older> older_;  // what is to be removed next is last: the files of a directory behind it
  std::string being_removed_;  // the store that was said to be
  std::string failed_with_;    // the store of which something could not be: said once
  std::atomic<std::uint64_t> damaged_bytes_{0};  // relaxed, both: sums
  std::atomic<std::uint64_t> older_bytes_{0};
};

}  // namespace onced::disk
