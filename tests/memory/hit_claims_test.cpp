#include "memory/hit_claims.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "tests/memory/aligned_memory.hpp"

using namespace onced;
using memory::HitClaims;

TEST_CASE("claims are the sums over the lines in use") {
  test::HeapPinPage page(2);
  page->counters[0][5].hits = 3;
  page->counters[1][5].hits = 4;
  page->counters[1][5].saved_us = 100;
  page->counters[2][5].hits = 1000;  // a line that is not in use
  HitClaims claims;
  std::vector<memory::HitTotals> totals;
  claims.take(*page, totals);
  REQUIRE(totals.size() == 6);
  CHECK(totals[5].hits == 7);
  CHECK(totals[5].saved_us == 100);
  CHECK(totals[0].hits == 0);
}

TEST_CASE("a page that counts backwards is held at its highest") {
  test::HeapPinPage page(1);
  HitClaims claims;
  std::vector<memory::HitTotals> totals;
  page->counters[0][0].hits = 10;
  claims.take(*page, totals);
  page->counters[0][0].hits = 2;
  claims.take(*page, totals);
  page->client_lines_used = 0;
  claims.take(*page, totals);
  CHECK(totals[0].hits == 10);
}

TEST_CASE("the highest numbers everywhere are clamped, and no sum comes round") {
  test::HeapPinPage page(std::numeric_limits<std::uint32_t>::max());
  for (auto& line : page->counters) {
    for (auto& counter : line) {
      counter.hits = std::numeric_limits<std::uint64_t>::max();
      counter.saved_us = std::numeric_limits<std::uint64_t>::max();
    }
  }
  HitClaims claims;
  std::vector<memory::HitTotals> totals;
  claims.take(*page, totals);
  REQUIRE(totals.size() == protocol::counter_functions);
  for (const auto& total : totals) {
    CHECK(total.hits == HitClaims::hits_max);
    CHECK(total.saved_us == HitClaims::saved_us_max);
  }
  for (int i = 0; i < 1000; ++i) HitClaims().take(*page, totals);
  CHECK(totals[0].saved_us == std::numeric_limits<std::uint64_t>::max());
  CHECK(totals[0].hits == 1001 * HitClaims::hits_max);
}
