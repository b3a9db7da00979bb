#include "engine/recent_statistics.hpp"

#include <algorithm>
#include <utility>

#include <onced/protocol/pin_page.hpp>

namespace onced::engine {

void RecentStatistics::add(FunctionNumber function, const Savings& savings, Time now) {
  const std::uint64_t period = LastHour::period_of(now);
  total_.add(period, savings);
  of_function(function).add(period, savings);
}

Savings RecentStatistics::of(FunctionNumber function, Time now) const {
  const bool known = function < functions_.size() && functions_[function] != nullptr;
  return known ? functions_[function]->sum(LastHour::period_of(now)) : Savings{};
}

void RecentStatistics::look_when_due(const RecordStore& store, std::size_t connections, Time now) {
  if (const std::uint64_t period = LastHour::period_of(now); period != looked_in_) {
    looked_in_ = period;
    looks_left_ = 1 + connections / RecordStore::totals_pages_per_call;
    readers_hit_ = false;
  }
  if (looks_left_ == 0) return;
  --looks_left_;
  look(store, now);
}

std::optional<Time> RecentStatistics::next_look() const {
  if (looks_left_ > 0) return looked_;
  if (!readers_hit_) return std::nullopt;
  return LastHour::period * static_cast<Duration::rep>(looked_in_ + 1);
}

void RecentStatistics::look(const RecordStore& store, Time now) {
  std::vector<RecordStore::HitTotals> totals = store.hit_totals();
  for (std::size_t number = 0; number < totals.size(); ++number) {
    RecordStore::HitTotals more = totals[number];
    if (number < readers_.size()) {
      more.hits -= std::min(more.hits, readers_[number].hits);
      more.saved_us -= std::min(more.saved_us, readers_[number].saved_us);
    }
    if (more.hits == 0 && more.saved_us == 0) continue;
    readers_hit_ = true;
    const bool shared = number + 1 >= protocol::counter_functions;  // by functions that are not told apart
    spread(shared ? nullptr : &of_function(static_cast<FunctionNumber>(number)), more, now);
  }
  readers_ = std::move(totals);
  looked_ = std::max(looked_, now);
}

// Rounding leaves nothing out: each period gets what is due up to its end, less what those before it got.
void RecentStatistics::spread(Periods* function, const RecordStore::HitTotals& hits, Time now) {
  const Time from = std::min(looked_, now);
  const auto length = static_cast<long double>((now - from).count());
  RecordStore::HitTotals given;
  for (std::uint64_t period = LastHour::period_of(from); period <= LastHour::period_of(now); ++period) {
    const Time end = std::min(now, LastHour::period * static_cast<Duration::rep>(period + 1));
    const long double share = end == now ? 1 : static_cast<long double>((end - from).count()) / length;
    const auto until = [&](std::uint64_t all) { return end == now ? all : static_cast<std::uint64_t>(static_cast<long double>(all) * share); };
    const Savings savings{.avoided = until(hits.hits) - given.hits, .saved_us = until(hits.saved_us) - given.saved_us};
    given = {given.hits + savings.avoided, given.saved_us + savings.saved_us};
    if (period + LastHour::periods <= LastHour::period_of(now)) continue;  // longer ago
    total_.add(period, savings);
    if (function != nullptr) function->add(period, savings);
  }
}

RecentStatistics::Periods& RecentStatistics::of_function(FunctionNumber function) {
  if (function >= functions_.size()) functions_.resize(function + 1);
  if (functions_[function] == nullptr) functions_[function] = std::make_unique<Periods>();
  return *functions_[function];
}

// ---- periods --------------------------------------------------------------------------------------------------------

void RecentStatistics::Periods::move_to(std::uint64_t period) {
  if (period <= newest_) return;
  for (std::uint64_t passed = std::max(newest_ + 1, period - std::min<std::uint64_t>(period, LastHour::periods - 1)); passed <= period; ++passed)
    periods_[passed % LastHour::periods] = {};
  newest_ = period;
}

void RecentStatistics::Periods::add(std::uint64_t period, const Savings& savings) {
  move_to(period);
  if (period + LastHour::periods > newest_) periods_[period % LastHour::periods] += savings;
}

Savings RecentStatistics::Periods::sum(std::uint64_t now) const {
  Savings sum;
  for (std::uint64_t back = 0; back < LastHour::periods && back <= newest_; ++back) {
    if (newest_ - back + LastHour::periods > now) sum += periods_[(newest_ - back) % LastHour::periods];
  }
  return sum;
}

}  // namespace onced::engine
