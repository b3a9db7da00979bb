// Until when a call may take: a point of the monotonic clock, and the ways to sleep until it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace onced::client_detail {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC: what futex_wait() and wait_for() are given
using Deadline = Clock::time_point;

// What stands for ever.
inline constexpr std::chrono::milliseconds longest_timeout = std::chrono::hours{24 * 365};

// Milliseconds from now that overflow nothing: a caller may say Milliseconds::max().
Deadline deadline_in(std::chrono::milliseconds timeout);
// Until `deadline`, rounded up, not negative, at most what poll() takes.
int poll_timeout_ms(Deadline deadline);

// Sleeps while `word` is `expected`. Returns when woken, when the word has changed, at the deadline, or for no reason:
// the caller looks at its condition again. (Not a condition variable: glibc 2.36's can lose a wake-up, BZ 25847.)
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, Deadline deadline);
void futex_wake_all(const std::atomic<std::uint32_t>& word);

// poll() for one descriptor. Returns the events that are there, 0 at the deadline.
short wait_for(int descriptor, short events, Deadline deadline);

}  // namespace onced::client_detail
