// Waiting for a condition, never for a time. The limit is only there so that a broken test ends; it is generous because
// sanitizer builds on busy machines are slow.
#pragma once

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

namespace onced::testing {

inline constexpr std::chrono::seconds watchdog_limit{60};

// Returns as soon as `condition()` holds; throws with `what` when it does not within the watchdog's limit.
template <typename Condition>
void wait_until(Condition&& condition, const std::string& what) {
  const auto end = std::chrono::steady_clock::now() + watchdog_limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error("watchdog: still waiting for " + what);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace onced::testing
