// What may be said about a handful of noisy rounds: quantiles, and intervals by bootstrap.
//
// Rounds are the unit: everything inside a round is one figure already. Two contestants of one case are measured side
// by side in each round, so a ratio resamples whole rounds (pairs): what slows a round down slows both.
// Errors: an empty sample or pairs of unequal length are our own mistake and end the program.
#pragma once

#include <cstdint>
#include <span>

namespace onced::bench {

// By linear interpolation between order statistics (Hyndman and Fan's type 7); `q` in [0, 1].
double quantile(std::span<const double> samples, double q);
double median(std::span<const double> samples);

// A value with the ends of its 95 % interval.
struct Estimate {
  double value = 0;
  double low = 0;
  double high = 0;
};

// The percentile bootstrap, 10,000 resamplings; the same seed gives the same interval.
Estimate estimate_median(std::span<const double> samples, std::uint64_t seed);
// median(numerator) / median(denominator); element i of both comes from round i.
Estimate estimate_ratio(std::span<const double> numerator, std::span<const double> denominator, std::uint64_t seed);

}  // namespace onced::bench
