// How many lines clients may cause in the log: a client that misbehaves in a loop must neither fill the disk nor hide what others do.
//
// Each who (a user, or a namespace of which nobody knows whose doing it was) has so many lines in a second, whatever the others cause. What is
// left out is counted, and told with the first line of a later second.
//
// Pure:   time comes in as `now`.
// Bounds: shares_max have one of their own in a second, those that come later have one together. Who is many has many: users are
//         bounded by who may connect at all.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "engine/types.hpp"

namespace onced::net {

class LogBudget {
 public:
  static constexpr std::uint32_t lines_per_second_max = 50;  // of each
  static constexpr std::size_t shares_max = 256;
  static constexpr std::size_t named_max = 4;                // in one text

  struct Verdict {
    bool write = true;
    std::string left_out{};  // "7 of uid 1000, 3 of others"; not empty: to be told before this line
  };
  Verdict ask(const std::string& who, engine::Time now) {
    if (const auto second = std::chrono::floor<std::chrono::seconds>(now); second != second_) begin(second);
    Share& share = shares_.size() < shares_max || shares_.contains(who) ? shares_[who] : others_;
    if (share.written == lines_per_second_max) {
      ++share.left_out;
      return {false, {}};
    }
    ++share.written;
    return {true, take_left_out()};
  }

 private:
  struct Share {
    std::uint32_t written = 0;
    std::uint64_t left_out = 0;
  };

  void begin(std::chrono::seconds second) {
    second_ = second;
    for (const auto& [who, share] : shares_) {
      if (share.left_out == 0) continue;
      if (left_out_.size() < shares_max || left_out_.contains(who)) left_out_[who] += share.left_out;
      else left_out_of_others_ += share.left_out;
    }
    left_out_of_others_ += others_.left_out;
    shares_.clear();
    others_ = {};
  }

  std::string take_left_out() {
    std::string text;
    std::size_t named = 0;
    std::uint64_t rest = std::exchange(left_out_of_others_, 0);
    for (const auto& [who, lines] : std::exchange(left_out_, {})) {
      if (named++ < named_max) text += (text.empty() ? "" : ", ") + std::to_string(lines) + " of " + who;
      else rest += lines;
    }
    if (rest != 0) text += (text.empty() ? "" : ", ") + std::to_string(rest) + " of others";
    return text;
  }

  std::chrono::seconds second_{-1};
  std::map<std::string, Share> shares_;                // of this second
  Share others_;
  std::map<std::string, std::uint64_t> left_out_;      // before it, and not told yet
  std::uint64_t left_out_of_others_ = 0;
};

}  // namespace onced::net
