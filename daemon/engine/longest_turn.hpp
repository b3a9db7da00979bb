// How long the daemon's loop kept everybody else waiting at most: the longest of its turns, since the start and within
// the last hour (recent_statistics.hpp says what that is).
//
// A turn is what one wake-up of the loop brings: reading, steps, sending. It holds up every other client for so long.
#pragma once

#include <array>
#include <cstdint>

#include "engine/recent_statistics.hpp"
#include "engine/types.hpp"

namespace onced::engine {

class LongestTurn {
 public:
  struct Turn {
    Duration took{};
    Time ended{};
  };

  void add(Duration took, Time ended) {
    const std::uint64_t period = LastHour::period_of(ended);
    Recent& present = recent_[period % LastHour::periods];
    if (present.period != period) present = {period, {}};
    if (took <= present.longest.took) return;
    present.longest = {took, ended};
    if (took > ever_.took) ever_ = {took, ended};
  }

  const Turn& ever() const { return ever_; }
  Turn in_last_hour(Time now) const {
    Turn longest;
    for (const Recent& one : recent_) {
      if (one.period + LastHour::periods > LastHour::period_of(now) && one.longest.took > longest.took) longest = one.longest;
    }
    return longest;
  }

 private:
  struct Recent {
    std::uint64_t period = 0;
    Turn longest;
  };
  Turn ever_;
  std::array<Recent, LastHour::periods> recent_{};  // period p is at p % periods
};

}  // namespace onced::engine
