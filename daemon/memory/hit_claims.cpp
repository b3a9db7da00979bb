#include "memory/hit_claims.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace onced::memory {

using protocol::PinPage;

std::size_t client_lines_in_use(const PinPage& page) {
  // Seq_cst: pairs with the client's store before it first uses a line; a pin in a line that is not counted here
  // belongs to a reader whose second slot load sees every slot store made before this load.
  return std::min<std::size_t>(page.client_lines_used.load(std::memory_order_seq_cst), protocol::client_pin_lines);
}

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) {
  return a > std::numeric_limits<std::uint64_t>::max() - b ? std::numeric_limits<std::uint64_t>::max() : a + b;
}

void HitClaims::take(const PinPage& page, std::vector<HitTotals>& totals) {
  // 64 lines of at most 2^56 each: no overflow within one page.
  static_assert(saved_us_max <= std::numeric_limits<std::uint64_t>::max() / protocol::client_pin_lines);
  const std::size_t lines = client_lines_in_use(page);
  for (std::size_t function = 0; function < protocol::counter_functions; ++function) {
    HitTotals sum;
    for (std::size_t line = 0; line < lines; ++line) {
      const protocol::HitCounter& counter = page.counters[line][function];
      // Relaxed: pairs with nothing, numbers that are added up.
      sum.hits += std::min(counter.hits.load(std::memory_order_relaxed), hits_max);
      sum.saved_us += std::min(counter.saved_us.load(std::memory_order_relaxed), saved_us_max);
    }
    HitTotals& claimed = claimed_[function];
    const HitTotals now{.hits = std::max(claimed.hits, std::min(sum.hits, hits_max)),
                        .saved_us = std::max(claimed.saved_us, std::min(sum.saved_us, saved_us_max))};
    const HitTotals before = std::exchange(claimed, now);
    if (now.hits == before.hits && now.saved_us == before.saved_us) continue;
    if (totals.size() <= function) totals.resize(function + 1);
    totals[function].hits = saturating_add(totals[function].hits, now.hits - before.hits);
    totals[function].saved_us = saturating_add(totals[function].saved_us, now.saved_us - before.saved_us);
  }
}

}  // namespace onced::memory
