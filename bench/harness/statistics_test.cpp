#include "harness/statistics.hpp"

#include <doctest/doctest.h>

#include <random>
#include <vector>

namespace bench = onced::bench;

TEST_CASE("quantiles interpolate between order statistics, whatever the order of the samples") {
  const std::vector<double> samples{4, 1, 3, 2};
  CHECK(bench::median(samples) == doctest::Approx(2.5));
  CHECK(bench::quantile(samples, 0) == 1);
  CHECK(bench::quantile(samples, 1) == 4);
  CHECK(bench::quantile(samples, 0.25) == doctest::Approx(1.75));
  CHECK(bench::median(std::vector<double>{7}) == 7);
}

TEST_CASE("an interval holds its value, is seeded, and collapses when the rounds agree") {
  const std::vector<double> samples{10, 12, 11, 13, 9, 14, 10, 11, 12, 30};
  const auto once = bench::estimate_median(samples, 1);
  const auto again = bench::estimate_median(samples, 1);
  CHECK(once.value == doctest::Approx(11.5));
  CHECK(once.low < once.value);
  CHECK(once.high > once.value);
  CHECK(once.high < 30);  // one wild round in ten does not carry the median away
  CHECK(once.low == again.low);
  CHECK(once.high == again.high);

  const auto steady = bench::estimate_median(std::vector<double>(10, 5.0), 1);
  CHECK(steady.low == 5);
  CHECK(steady.high == 5);
}

TEST_CASE("a ratio resamples pairs: noise that both sides share cancels") {
  std::vector<double> ours;
  std::vector<double> theirs;
  for (const double slowness : {1.0, 3.0, 2.0, 5.0, 4.0, 1.5, 2.5}) {
    ours.push_back(slowness);
    theirs.push_back(2 * slowness);
  }
  const auto ratio = bench::estimate_ratio(ours, theirs, 7);
  CHECK(ratio.value == doctest::Approx(0.5));
  CHECK(ratio.low == doctest::Approx(0.5));
  CHECK(ratio.high == doctest::Approx(0.5));
}

TEST_CASE("about 95 % of the intervals of a median hold the true median") {
  std::mt19937_64 random(20'240'101);
  std::lognormal_distribution<double> skewed(0, 0.5);  // its median is 1
  int held = 0;
  constexpr int trials = 200;
  for (int trial = 0; trial < trials; ++trial) {
    std::vector<double> samples(21);
    for (double& sample : samples) sample = skewed(random);
    const auto interval = bench::estimate_median(samples, static_cast<std::uint64_t>(trial));
    if (interval.low <= 1 && 1 <= interval.high) ++held;
  }
  CHECK(held >= trials * 88 / 100);
  CHECK(held <= trials * 99 / 100);
}
