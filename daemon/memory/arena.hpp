// Pieces of the segment for records: allocated and freed by the daemon, each record_phase behind a
// cache line's start.
//
// A best-fit allocator of Boost.Interprocess over a span of bytes; its own book-keeping lies in the span between the
// pieces and is no part of the segment's layout: clients never follow it.
//
// Ownership: borrows the span, which outlives it. Addresses are the span's own.
// Threads:   the strand. No mutex inside (null_mutex_family).
// Errors:    a full arena is nullptr. Boost stays inside arena.cpp.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include <onced/protocol/result.hpp>

namespace onced::memory {

class Arena {
 public:
  // Fails with invalid_argument when the span is too small for any piece or not aligned to a cache line.
  static Result<Arena> create(std::span<std::byte> bytes);
  Arena(Arena&&) noexcept;
  Arena& operator=(Arena&&) noexcept;
  ~Arena();

  // At least `bytes` bytes protocol::record_phase behind a multiple of 64, or nullptr. A piece of 64 n - 16
  // bytes takes 64 n.
  std::byte* allocate(std::size_t bytes);
  // Zeroes the first `bytes` bytes of a piece and gives it back. Nobody may read it any more.
  void wipe_and_free(std::byte* piece, std::size_t bytes);

  std::size_t capacity_bytes() const;       // the span
  std::size_t largest_piece_bytes() const;  // what a single allocate() can give when the arena is empty

 private:
  struct State;
  explicit Arena(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace onced::memory
