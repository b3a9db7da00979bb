// Keeps a segment's life word: readers see by it, without a system call, that the daemon is gone.
//
// The word is a robust futex owned by a thread that does nothing else. However the daemon ends, the kernel sets
// FUTEX_OWNER_DIED in it when it takes the thread apart: before the process's descriptors are closed, so before its
// lock file is free and a successor can serve. On a clean end the keeper sets the bit itself.
//
// The thread registers a robust list of its own (set_robust_list) with one entry on the daemon's heap, whose futex
// offset leads to the life word: no address of the daemon stands in the segment. The list replaces the one that the C
// library registered for this thread, so the thread must never hold a robust mutex; it sleeps, and nothing else.
//
// Ownership: borrows the word; destroyed before the segment is unmapped, or the word stays as it is.
// Threads:   start(), stop() and the destructor on one thread. A fork of the daemon does not take the keeper along.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <onced/protocol/result.hpp>

namespace onced::memory {

class LifeKeeper {
 public:
  // When this returns, the word holds the keeper's thread id and readers may have the segment.
  static Result<LifeKeeper> start(std::atomic<std::uint32_t>& life_word);
  LifeKeeper(LifeKeeper&&) noexcept;
  LifeKeeper& operator=(LifeKeeper&&) noexcept;
  ~LifeKeeper();  // as stop()

  // No lookup that begins after this returns is a hit. May be called again.
  void stop();

 private:
  struct State;
  explicit LifeKeeper(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace onced::memory
