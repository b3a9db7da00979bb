// What the cache saved within the last hour, in all and per function.
//
// Time is cut into periods of five minutes; the last hour is the present one and the eleven before it: the last 55 to 60
// minutes. What the engine sees itself is counted in the period in which it happens. Readers' own hits are known from their pin
// pages, which are looked at when a period ends and when somebody asks. What has come since the last look is spread evenly over the
// time since then; while readers hit, that is a period at most. When a look finds nothing new there is no wake-up for
// the next one: the daemon sleeps, and what readers begin after that is found by the next request of anybody.
//
// Ownership: numbers only.
// Memory:    a function has its periods (half a KiB) from the first thing that is counted for it.
// Bounds:    a look is one call of RecordStore::hit_totals(); as many steps of a period look as it takes to see every page.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/entry.hpp"
#include "engine/record_store.hpp"
#include "engine/types.hpp"

namespace onced::engine {

// An hour in periods: the present one and those before it that are not over for an hour.
struct LastHour {
  static constexpr Duration period = std::chrono::minutes(5);
  static constexpr std::size_t periods = 12;
  static std::uint64_t period_of(Time at) { return static_cast<std::uint64_t>(at / period); }
};

struct Savings {
  std::uint64_t computations = 0;        // published under a lease
  std::uint64_t avoided = 0;             // callers who were given a value and need not have computed it
  std::uint64_t duplicates_avoided = 0;  // of those: callers who waited for a computation that they would have begun beside it
  std::uint64_t saved_us = 0;            // what computing those values had taken

  Savings& operator+=(const Savings& other) {
    computations += other.computations;
    avoided += other.avoided;
    duplicates_avoided += other.duplicates_avoided;
    saved_us += other.saved_us;
    return *this;
  }
};

class RecentStatistics {
 public:
  void add(FunctionNumber function, const Savings& savings, Time now);

  Savings total(Time now) const { return total_.sum(LastHour::period_of(now)); }
  Savings of(FunctionNumber function, Time now) const;

  // At the end of a step. So many connections may have pages.
  void look_when_due(const RecordStore& store, std::size_t connections, Time now);
  // When the next look wants a step of its own; nothing while readers are not known to hit.
  std::optional<Time> next_look() const;
  // Because somebody asks.
  void look(const RecordStore& store, Time now);

  // As of the last look, by function number (functions from protocol::counter_functions - 1 on share the last).
  const std::vector<RecordStore::HitTotals>& readers() const { return readers_; }

 private:
  class Periods {
   public:
    void add(std::uint64_t period, const Savings& savings);
    Savings sum(std::uint64_t now) const;

   private:
    void move_to(std::uint64_t period);

    std::array<Savings, LastHour::periods> periods_{};  // period p is at p % periods
    std::uint64_t newest_ = 0;
  };

  Periods& of_function(FunctionNumber function);
  void spread(Periods* function, const RecordStore::HitTotals& hits, Time now);

  Periods total_;
  std::vector<std::unique_ptr<Periods>> functions_;  // by number
  std::vector<RecordStore::HitTotals> readers_;
  Time looked_{};                // the last look
  std::uint64_t looked_in_ = 0;  // the last period for which looking has begun
  std::size_t looks_left_ = 0;
  bool readers_hit_ = false;     // since looking for that period began
};

}  // namespace onced::engine
