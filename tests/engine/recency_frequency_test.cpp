#include "engine/recency_frequency.hpp"

#include <doctest/doctest.h>

using namespace onced::engine;

namespace {
constexpr std::size_t kept = 100;
constexpr auto half_life = static_cast<int>(RecencyFrequency::hits_per_half_life * kept);
}  // namespace

TEST_CASE("a count weighs half after a half-life of known hits, and each use adds one") {
  RecencyFrequency uses(1024);
  Crf crf = uses.stored(1, kept);
  CHECK(uses.uses(crf) == doctest::Approx(1));
  Crf other = uses.stored(2, kept);
  for (int i = 0; i < half_life; ++i) other = uses.used(other, kept);
  CHECK(uses.uses(crf) == doctest::Approx(0.5).epsilon(0.01));
  crf = uses.used(crf, kept);
  CHECK(uses.uses(crf) == doctest::Approx(1.5).epsilon(0.01));
}

TEST_CASE("misses move the clock as well, so that what is not used any more makes room") {
  RecencyFrequency uses(1024);
  const Crf crf = uses.stored(1, kept);
  for (std::uint64_t i = 0; i < 20U * static_cast<unsigned>(half_life); ++i) uses.stored(2 + i, kept);
  CHECK(uses.uses(crf) < 0.1);
}

TEST_CASE("a value that comes back goes on from its uses before, once") {
  RecencyFrequency uses(1024);
  Crf crf = uses.stored(1, kept);
  for (int i = 0; i < 9; ++i) crf = uses.used(crf, kept);
  uses.evicted(1, crf);
  CHECK(uses.uses(uses.stored(1, kept)) == doctest::Approx(11).epsilon(0.02));
  CHECK(uses.uses(uses.stored(1, kept)) == doctest::Approx(1));
}

TEST_CASE("what was used least is forgotten first among the evicted, of which only so many are remembered") {
  RecencyFrequency uses(4);  // four places
  const Crf once = uses.stored(1, kept);
  const Crf twice = uses.used(once, kept);
  for (std::uint64_t key = 1; key <= 4; ++key) uses.evicted(key, key == 3 ? once : twice);
  uses.evicted(5, twice);
  CHECK(uses.uses(uses.stored(3, kept)) == doctest::Approx(1));
  for (const std::uint64_t key : {1U, 2U, 4U, 5U}) CHECK(uses.uses(uses.stored(key, kept)) > 2);
}

TEST_CASE("counts stay exact after very many half-lives") {
  RecencyFrequency uses(1024);
  for (std::uint64_t i = 0; i < 2'000'000; ++i) uses.stored(i, 1);
  Crf crf = uses.stored(0, 1);
  crf = uses.used(crf, 1'000'000);
  CHECK(uses.uses(crf) == doctest::Approx(2).epsilon(0.001));
}
