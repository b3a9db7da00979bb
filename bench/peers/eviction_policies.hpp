// What a cache keeps when not everything fits, as simulators without values: policies that are compared by what they save.
//
// Ownership: borrow the items, whose numbers are their places.
// Invariant: the bytes of what is kept never exceed the capacity.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

namespace onced::bench {

// A value that somebody may ask for.
struct CacheItem {
  std::uint64_t cost_us = 0;
  std::uint64_t bytes = 0;
};
using ItemNumber = std::uint32_t;

class EvictionPolicy {
 public:
  EvictionPolicy(std::span<const CacheItem> items, std::uint64_t capacity_bytes) : items_(items), capacity_bytes_(capacity_bytes) {}
  virtual ~EvictionPolicy() = default;
  EvictionPolicy(const EvictionPolicy&) = delete;
  EvictionPolicy& operator=(const EvictionPolicy&) = delete;

  virtual bool keeps(ItemNumber item) const = 0;
  // It is kept, and was used.
  virtual void hit(ItemNumber item) = 0;
  // It was computed, and is not kept.
  void store(ItemNumber item) {
    const std::uint64_t bytes = items_[item].bytes;
    if (bytes > capacity_bytes_) return;
    while (used_bytes_ + bytes > capacity_bytes_) evict();
    used_bytes_ += bytes;
    insert(item);
  }

 protected:
  const CacheItem& item(ItemNumber number) const { return items_[number]; }
  std::uint64_t capacity_bytes() const { return capacity_bytes_; }
  void gone(ItemNumber item) { used_bytes_ -= items_[item].bytes; }

 private:
  // At least one goes; each that does is told to gone().
  virtual void evict() = 0;
  virtual void insert(ItemNumber item) = 0;

  std::span<const CacheItem> items_;
  std::uint64_t capacity_bytes_;
  std::uint64_t used_bytes_ = 0;
};

// The least recently used goes.
std::unique_ptr<EvictionPolicy> make_lru(std::span<const CacheItem> items, std::uint64_t capacity_bytes);
// J. Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023: a small queue of a tenth of the bytes, a main
// one, and as many bytes of ghosts as the main one has.
std::unique_ptr<EvictionPolicy> make_s3_fifo(std::span<const CacheItem> items, std::uint64_t capacity_bytes);
// L. Cherkasova, HP Labs technical report 98-69R1, 1998: priority = age + uses * cost / size, the age is the priority of the
// latest victim.
std::unique_ptr<EvictionPolicy> make_gdsf(std::span<const CacheItem> items, std::uint64_t capacity_bytes);

}  // namespace onced::bench
