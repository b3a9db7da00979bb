// Keys of which this process has offered to refresh the value, and the daemon had no use for that now (WIRE.md, max_concurrent): for
// a while their values are taken as they are, so that hits on a popular stale value do not each ask again.
//
// Lossy: a small table by hash. Keys that share a place drive each other out and are asked for more often; two that cannot be told
// apart (one in 2^24 of those) may be asked for a quarter of a second late. It never keeps a value from being used or computed.
//
// Threads: any; a place is one relaxed atomic that nothing else is ordered by. Time comes in.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace onced::client_detail {

class TurnedAway {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds pause{250};

  void note(std::string_view key, Time now) {
    const std::uint64_t hash = std::hash<std::string_view>{}(key);
    place_of(hash).store(tag_of(hash) | ((milliseconds(now) + pause.count()) & time_mask), std::memory_order_relaxed);
  }
  bool is_paused(std::string_view key, Time now) const {
    const std::uint64_t hash = std::hash<std::string_view>{}(key);
    const std::uint64_t place = places_[hash % places].load(std::memory_order_relaxed);
    return (place & ~time_mask) == tag_of(hash) && milliseconds(now) < (place & time_mask);
  }

 private:
  static constexpr std::size_t places = 256;
  static constexpr std::uint64_t time_mask = (std::uint64_t{1} << 40) - 1;  // milliseconds of 34 years
  static std::uint64_t tag_of(std::uint64_t hash) { return hash & ~time_mask; }
  static std::uint64_t milliseconds(Time at) {
    return static_cast<std::uint64_t>(std::chrono::floor<std::chrono::milliseconds>(at.time_since_epoch()).count()) & time_mask;
  }
  std::atomic<std::uint64_t>& place_of(std::uint64_t hash) { return places_[hash % places]; }

  std::array<std::atomic<std::uint64_t>, places> places_{};
};

}  // namespace onced::client_detail
