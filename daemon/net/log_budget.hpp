// How many lines clients may cause in the log: a client that misbehaves in a loop must not fill the disk.
//
// Pure: time comes in as `now`. So many lines in a second; the rest is counted, and the count is told with the first line
// of a later second.
#pragma once

#include <chrono>
#include <cstdint>

#include "engine/types.hpp"

namespace onced::net {

class LogBudget {
 public:
  static constexpr std::uint32_t lines_per_second_max = 50;

  struct Verdict {
    bool write = true;
    std::uint64_t suppressed = 0;  // since the last line that was written; to be told before this one
  };
  Verdict ask(engine::Time now) {
    if (const auto second = std::chrono::floor<std::chrono::seconds>(now); second != second_) {
      second_ = second;
      written_ = 0;
    }
    if (written_ == lines_per_second_max) {
      ++suppressed_;
      return {false, 0};
    }
    ++written_;
    const std::uint64_t suppressed = suppressed_;
    suppressed_ = 0;
    return {true, suppressed};
  }

 private:
  std::chrono::seconds second_{-1};
  std::uint32_t written_ = 0;
  std::uint64_t suppressed_ = 0;
};

}  // namespace onced::net
