// What one connection says its readers hit and saved, by function number.
//
// The counters lie in memory that the client may scribble on at any time, so they are a claim: every word is read once
// and clamped; a total never falls (a page that counts backwards is held at its highest), and no sum overflows.
//
// Threads: the strand. The client's threads add beside it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <onced/protocol/pin_page.hpp>

#include "engine/record_store.hpp"

namespace onced::memory {

using HitTotals = engine::RecordStore::HitTotals;

class HitClaims {
 public:
  // The most that one connection may claim for one function: 2^48 hits (a billion a second for three days) and 2^56
  // microseconds saved (two thousand years).
  static constexpr std::uint64_t hits_max = std::uint64_t{1} << 48;
  static constexpr std::uint64_t saved_us_max = std::uint64_t{1} << 56;

  // Takes over what the page's counters say now: all lines in use, 4 KiB each. What has come since the last time is added to
  // `totals` by function number, saturating; it grows to hold the highest number in use.
  void take(const protocol::PinPage& page, std::vector<HitTotals>& totals);

 private:
  std::array<HitTotals, protocol::counter_functions> claimed_{};
};

// Client lines that the page says are in use, clamped to what there is.
std::size_t client_lines_in_use(const protocol::PinPage& page);

// At most the highest value: a sum of claims must not come round.
std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b);

}  // namespace onced::memory
