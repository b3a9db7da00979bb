// Clock, and what keeps the compiler from dropping the work that is timed.
#pragma once

#include <time.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "harness/statistics.hpp"

namespace onced::bench {

// CLOCK_MONOTONIC: the same for every process of the machine, so moments of two processes may be subtracted.
inline std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

// The value counts as used: it must have been computed.
template <typename T>
inline void keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

inline constexpr std::size_t small_value_bytes = 64;

// Every byte of a 64-byte value, folded into a word. Each contestant's result is consumed by this.
inline std::uint64_t read_small_value(const void* bytes) {
  std::uint64_t words[small_value_bytes / sizeof(std::uint64_t)];
  std::memcpy(words, bytes, sizeof words);
  std::uint64_t folded = 0;
  for (const std::uint64_t word : words) folded ^= word;
  return folded;
}

// Calls `call(order[i])` for all of `order` in blocks with one clock reading per block; nanoseconds per call of each
// block.
template <typename Call>
std::vector<double> time_blocks(std::span<const std::uint32_t> order, std::size_t block, Call&& call) {
  std::vector<double> blocks;
  blocks.reserve(order.size() / block);
  std::int64_t begin = now_ns();
  for (std::size_t i = 0; i + block <= order.size(); i += block) {
    for (std::size_t j = i; j < i + block; ++j) call(order[j]);
    const std::int64_t end = now_ns();
    blocks.push_back(static_cast<double>(end - begin) / static_cast<double>(block));
    begin = end;
  }
  return blocks;
}

// The median block: an interrupt or a stolen time slice spoils the block it falls into and no other.
template <typename Call>
double median_ns_per_call(std::span<const std::uint32_t> order, std::size_t block, Call&& call) {
  return median(time_blocks(order, block, std::forward<Call>(call)));
}

}  // namespace onced::bench
