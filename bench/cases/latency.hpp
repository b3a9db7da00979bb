// How long one exchange between processes takes: onced and its bare counterpart, in every placement.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "harness/case.hpp"
#include "harness/placement.hpp"
#include "harness/statistics.hpp"

namespace onced::bench {

struct Exchange {
  std::string ours;    // onced's name for it in the tables
  std::string theirs;  // what it is compared with
  std::string claim;
  double target = 0;  // ours is to take at most so many times theirs
  int calls = 0;      // a round; its figures are their p50 and p99
};

// Adds both in all placements, with one claim each. Parties have place_parties(Placement) and exchange_us().
template <typename Ours, typename Theirs>
void add_latency(Case& benchmark, const Exchange& exchange, const std::shared_ptr<Ours>& ours,
                 const std::shared_ptr<Theirs>& theirs) {
  const auto measure = [calls = exchange.calls](auto& parties, Placement placement) -> std::vector<double> {
    parties.place_parties(placement);
    std::vector<double> taken_us;
    for (int i = 0; i < calls; ++i) taken_us.push_back(parties.exchange_us());
    return {median(taken_us), quantile(taken_us, 0.99)};
  };
  for (const Placement placement : all_placements) {
    const std::string p50 = " p50, " + name_of(placement);
    const std::string p99 = " p99, " + name_of(placement);
    benchmark.contestants.push_back({{{exchange.ours + p50, "us", ""}, {exchange.ours + p99, "us", ""}},
                                     [=] { return measure(*ours, placement); }});
    benchmark.contestants.push_back(
        {{{exchange.theirs + p50, "us", exchange.ours + p50}, {exchange.theirs + p99, "us", exchange.ours + p99}},
         [=] { return measure(*theirs, placement); }});
    benchmark.claims.push_back({exchange.claim + ", " + name_of(placement), exchange.ours + p50, exchange.theirs + p50,
                                Bound::at_most, exchange.target});
  }
}

}  // namespace onced::bench
