#include "engine/recent_statistics.hpp"

#include <onced/protocol/pin_page.hpp>

#include "fake_store.hpp"

#include <doctest/doctest.h>

using namespace onced::engine;
using namespace std::chrono_literals;
namespace protocol = onced::protocol;

namespace {
struct Readers {
  FakeBlobStore blobs;
  FakeStore store{blobs};
  RecentStatistics recent;
};
}  // namespace

TEST_CASE("what is counted is in the last hour for 55 to 60 minutes, in all and for its function") {
  RecentStatistics recent;
  recent.add(3, {.computations = 1, .avoided = 2, .duplicates_avoided = 1, .saved_us = 500}, 4min);
  recent.add(7, {.avoided = 1, .saved_us = 20}, 56min);
  CHECK(recent.total(59min).avoided == 3);
  CHECK(recent.total(59min).saved_us == 520);
  CHECK(recent.total(59min).computations == 1);
  CHECK(recent.of(3, 59min).duplicates_avoided == 1);
  CHECK(recent.of(7, 59min).avoided == 1);
  CHECK(recent.of(4, 59min).avoided == 0);
  CHECK(recent.of(4000, 59min).avoided == 0);
  CHECK(recent.total(60min).avoided == 1);  // the period that ended 55 minutes ago
  CHECK(recent.of(3, 60min).avoided == 0);
  CHECK(recent.total(114min).avoided == 1);
  CHECK(recent.total(115min).avoided == 0);
}

TEST_CASE("after any pause nothing old comes back") {
  RecentStatistics recent;
  for (int minute = 0; minute < 60; ++minute) recent.add(0, {.avoided = 1}, std::chrono::minutes(minute));
  CHECK(recent.total(59min).avoided == 60);
  recent.add(0, {.avoided = 1}, 59min + 30 * 24h);
  CHECK(recent.total(59min + 30 * 24h).avoided == 1);
  recent.add(0, {.avoided = 1}, 70min + 30 * 24h);
  CHECK(recent.total(70min + 30 * 24h).avoided == 2);
}

TEST_CASE("readers' hits are counted as of the look that finds them, once") {
  Readers readers;
  readers.store.totals = {{10, 1000}, {5, 50}};
  readers.recent.look(readers.store, 1min);
  CHECK(readers.recent.total(1min).avoided == 15);
  CHECK(readers.recent.of(1, 1min).saved_us == 50);
  readers.recent.look(readers.store, 2min);
  CHECK(readers.recent.total(2min).avoided == 15);
  readers.store.totals[0].hits = 11;
  readers.recent.look(readers.store, 3min);
  CHECK(readers.recent.total(3min).avoided == 16);
  CHECK(readers.recent.readers().at(0).hits == 11);
}

TEST_CASE("what has come since the last look is spread over the time since then") {
  Readers readers;
  readers.recent.look(readers.store, 0s);
  readers.store.totals = {{1200, 12'000'007}};
  readers.recent.look(readers.store, 2h);  // ten hits a minute; nobody had looked for two hours
  CHECK(readers.recent.total(2h).avoided >= 540);
  CHECK(readers.recent.total(2h).avoided <= 600);
  CHECK(readers.recent.of(0, 2h).avoided == readers.recent.total(2h).avoided);
  CHECK(readers.recent.total(2h + 30min).avoided < readers.recent.total(2h).avoided);
  SUBCASE("nothing is lost by rounding") {
    readers.store.totals = {{1207, 12'000'014}};
    const auto before = readers.recent.total(2h).avoided;
    readers.recent.look(readers.store, 2h + 4min + 59s);
    CHECK(readers.recent.total(2h + 4min + 59s).avoided == before + 7);
    readers.store.totals = {{1214, 12'000'021}};
    readers.recent.look(readers.store, 2h + 5min + 1s);
    CHECK(readers.recent.of(0, 2h + 5min + 1s).saved_us > 0);
  }
}

TEST_CASE("functions that are not told apart count in all only") {
  Readers readers;
  readers.store.totals.resize(protocol::counter_functions);
  readers.store.totals.back() = {100, 0};
  readers.recent.look(readers.store, 1min);
  CHECK(readers.recent.total(1min).avoided == 100);
  CHECK(readers.recent.of(protocol::counter_functions - 1, 1min).avoided == 0);
}

TEST_CASE("a look comes when a period has ended; a turn for the next one is asked for only while readers hit") {
  Readers readers;
  readers.recent.look_when_due(readers.store, 0, 1min);
  CHECK_FALSE(readers.recent.next_look());
  readers.store.totals = {{1, 0}};
  readers.recent.look_when_due(readers.store, 0, 2min);  // not due
  CHECK(readers.recent.readers().empty());
  readers.recent.look_when_due(readers.store, 0, 6min);
  CHECK(readers.recent.readers().size() == 1);
  CHECK(readers.recent.next_look() == std::optional<Time>(10min));
  readers.recent.look_when_due(readers.store, 0, 10min);
  CHECK_FALSE(readers.recent.next_look());
  readers.store.totals = {{2, 0}};
  readers.recent.look(readers.store, 12min);  // somebody asks, and readers hit again
  CHECK(readers.recent.next_look() == std::optional<Time>(15min));
}

TEST_CASE("with many connections a look is cut into steps that follow each other at once") {
  Readers readers;
  readers.recent.look_when_due(readers.store, 3 * RecordStore::totals_pages_per_call, 6min);
  int steps = 1;
  while (readers.recent.next_look()) {
    REQUIRE(*readers.recent.next_look() <= 6min);
    readers.recent.look_when_due(readers.store, 3 * RecordStore::totals_pages_per_call, 6min);
    ++steps;
  }
  CHECK(steps == 4);
}
