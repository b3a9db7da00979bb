#include "harness/runner.hpp"

#include <algorithm>
#include <numeric>
#include <onced/protocol/result.hpp>
#include <random>

namespace onced::bench {
namespace {

const FigureResult& figure_named(const CaseResult& result, std::string_view name) {
  const auto found = std::find_if(result.figures.begin(), result.figures.end(),
                                  [&](const FigureResult& candidate) { return candidate.figure.name == name; });
  ONCED_ASSERT(found != result.figures.end());
  return *found;
}

ClaimResult judge(const Claim& claim, const CaseResult& result, std::uint64_t seed) {
  ClaimResult judged;
  judged.claim = claim;
  const FigureResult& subject = figure_named(result, claim.subject);
  judged.measured = claim.reference.empty()
                        ? subject.median
                        : estimate_ratio(subject.rounds, figure_named(result, claim.reference).rounds, seed);
  const bool at_most = claim.bound == Bound::at_most;
  judged.pessimistic = at_most ? judged.measured.high : judged.measured.low;
  judged.met = at_most ? judged.pessimistic <= claim.target : judged.pessimistic >= claim.target;
  return judged;
}

}  // namespace

CaseResult run_case(const Case& benchmark, const Settings& settings, const std::function<void(std::string_view)>& say) {
  const auto& contestants = benchmark.contestants;
  std::vector<std::vector<std::vector<double>>> measured(contestants.size());  // [contestant][figure][round]
  for (std::size_t i = 0; i < contestants.size(); ++i) measured[i].resize(contestants[i].figures.size());

  std::mt19937_64 random(settings.seed);
  std::vector<std::size_t> order(contestants.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (int round = -1; round < settings.rounds; ++round) {  // round -1 warms up
    say(round < 0 ? "warming up" : "round " + std::to_string(round + 1) + " of " + std::to_string(settings.rounds));
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t i : order) {
      const std::vector<double> figures = contestants[i].round();
      ONCED_ASSERT(figures.size() == contestants[i].figures.size());
      if (round < 0) continue;
      for (std::size_t figure = 0; figure < figures.size(); ++figure) measured[i][figure].push_back(figures[figure]);
    }
  }

  CaseResult result{benchmark.name, benchmark.title, benchmark.setting, {}, {}};
  for (std::size_t i = 0; i < contestants.size(); ++i) {
    for (std::size_t figure = 0; figure < contestants[i].figures.size(); ++figure) {
      const std::vector<double>& rounds = measured[i][figure];
      result.figures.push_back({contestants[i].figures[figure], rounds, estimate_median(rounds, settings.seed),
                                quantile(rounds, 0.05), quantile(rounds, 0.95), std::nullopt});
    }
  }
  for (FigureResult& figure : result.figures) {
    if (figure.figure.ours.empty()) continue;
    figure.ratio = estimate_ratio(figure_named(result, figure.figure.ours).rounds, figure.rounds, settings.seed);
  }
  for (const Claim& claim : benchmark.claims) result.claims.push_back(judge(claim, result, settings.seed));
  return result;
}

}  // namespace onced::bench
