#include "harness/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <onced/protocol/result.hpp>
#include <random>
#include <vector>

namespace onced::bench {
namespace {

constexpr std::size_t resamplings = 10'000;
constexpr double interval_tail = 0.025;

double quantile_of_sorted(std::span<const double> sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], position - static_cast<double>(below));
}

// The interval of `statistic`, which is told which rounds were drawn.
template <typename Statistic>
Estimate bootstrap(std::size_t rounds, std::uint64_t seed, Statistic&& statistic) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::size_t> any_round(0, rounds - 1);
  std::vector<std::size_t> drawn(rounds);
  std::vector<double> outcomes(resamplings);
  for (double& outcome : outcomes) {
    for (std::size_t& round : drawn) round = any_round(random);
    outcome = statistic(drawn);
  }
  std::sort(outcomes.begin(), outcomes.end());
  for (std::size_t i = 0; i < rounds; ++i) drawn[i] = i;
  return {statistic(drawn), quantile_of_sorted(outcomes, interval_tail),
          quantile_of_sorted(outcomes, 1 - interval_tail)};
}

}  // namespace

double quantile(std::span<const double> samples, double q) {
  ONCED_ASSERT(!samples.empty() && q >= 0 && q <= 1);
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  return quantile_of_sorted(sorted, q);
}

double median(std::span<const double> samples) {
  return quantile(samples, 0.5);
}

Estimate estimate_median(std::span<const double> samples, std::uint64_t seed) {
  ONCED_ASSERT(!samples.empty());
  std::vector<double> picked(samples.size());
  return bootstrap(samples.size(), seed, [&](std::span<const std::size_t> rounds) {
    for (std::size_t i = 0; i < rounds.size(); ++i) picked[i] = samples[rounds[i]];
    return median(picked);
  });
}

Estimate estimate_ratio(std::span<const double> numerator, std::span<const double> denominator, std::uint64_t seed) {
  ONCED_ASSERT(!numerator.empty() && numerator.size() == denominator.size());
  std::vector<double> above(numerator.size());
  std::vector<double> below(numerator.size());
  return bootstrap(numerator.size(), seed, [&](std::span<const std::size_t> rounds) {
    for (std::size_t i = 0; i < rounds.size(); ++i) {
      above[i] = numerator[rounds[i]];
      below[i] = denominator[rounds[i]];
    }
    return median(above) / median(below);
  });
}

}  // namespace onced::bench
