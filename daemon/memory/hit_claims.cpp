#include "memory/hit_claims.hpp"

#include <algorithm>
#include <limits>

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

void HitClaims::take(const PinPage& page) {
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
    claimed.hits = std::max(claimed.hits, std::min(sum.hits, hits_max));
    claimed.saved_us = std::max(claimed.saved_us, std::min(sum.saved_us, saved_us_max));
  }
}

void HitClaims::add_to(std::vector<HitTotals>& totals) const {
  for (std::size_t function = 0; function < claimed_.size(); ++function) {
    const HitTotals& claimed = claimed_[function];
    if (claimed.hits == 0 && claimed.saved_us == 0) continue;
    if (totals.size() <= function) totals.resize(function + 1);
    totals[function].hits = saturating_add(totals[function].hits, claimed.hits);
    totals[function].saved_us = saturating_add(totals[function].saved_us, claimed.saved_us);
  }
}

}  // namespace onced::memory
