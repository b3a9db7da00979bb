// The segment's table of blobs that live records name (SHM.md, "Blobs"): readers learn from it which mappings to let go.
//
// Ownership: borrows table and counter. Threads: the strand writes; readers in any process beside it.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include <onced/protocol/segment.hpp>

namespace onced::memory {

class BlobTable {
 public:
  // The table's size is a power of two.
  BlobTable(std::span<protocol::BlobEntry> entries, std::atomic<std::uint64_t>& dropped)
      : entries_(entries), dropped_(dropped) {}

  std::size_t size() const { return entries_.size(); }
  // Relaxed: a hint; nothing is read through it. Pairs with SegmentReader::blob_live().
  void set(std::uint64_t blob) { entry(blob).store(blob, std::memory_order_relaxed); }
  void clear(std::uint64_t blob) {
    entry(blob).store(0, std::memory_order_relaxed);
    // Release: pairs with the acquire in SegmentReader::blobs_dropped(): who sees the new count sees the entry cleared.
    dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

 private:
  std::atomic<std::uint64_t>& entry(std::uint64_t blob) { return entries_[blob & (entries_.size() - 1)].id; }

  std::span<protocol::BlobEntry> entries_;
  std::atomic<std::uint64_t>& dropped_;
};

}  // namespace onced::memory
