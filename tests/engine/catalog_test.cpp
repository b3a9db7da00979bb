#include "scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {
std::string row_number(int number) { return key_of("n", number); }
}  // namespace

TEST_CASE("a value is never a hit at or after its time-to-live") {
  Scene scene;
  const auto a = scene.connect();
  scene.now = 1s + 700us;
  scene.put(a, chart_key, "value", 100);
  scene.now = 1s + 99ms;
  scene.take<protocol::Value>(a, scene.ask(a, scene.acquire(chart_key)));
  scene.now = 1s + 100ms + 700us;  // the tick is late
  scene.take<protocol::Lease>(a, scene.ask(a, scene.acquire(chart_key)));
  CHECK_FALSE(scene.store.visible(chart_key));
}

TEST_CASE("the time word is set when a value expires, and not before there is need") {
  Scene scene;
  const auto a = scene.connect();
  CHECK(scene.store.time_ms == 1);
  CHECK_FALSE(scene.engine.next_deadline());
  scene.put(a, chart_key, "value", 5005);
  // Rounded up to the period of the time word, so that an idle daemon wakes once and not before.
  CHECK(scene.engine.next_deadline() == std::optional<Time>(6010ms));
  CHECK(scene.store.time_ms == 1);
  scene.pass(6s);
  CHECK(scene.store.time_ms >= 6006);
  CHECK(scene.store.records.empty());
  CHECK(scene.counted("expirations") == 1);
  CHECK_FALSE(scene.engine.next_deadline());
}

TEST_CASE("thousands of values that expire together go in steps, and none is a hit after the first") {
  Scene scene;
  scene.store.records_max = 5000;
  const auto a = scene.connect();
  for (int i = 0; i < 1000; ++i) scene.put(a, row_number(i), "value", 10);
  scene.now += 1s;
  scene.step(Ticked{});
  CHECK(scene.store.records.size() > 0);
  for (int i = 0; i < 1000; ++i) CHECK_FALSE(scene.store.visible(row_number(i)));
  CHECK(*scene.engine.next_deadline() <= scene.now);  // the host comes back at once
  for (int i = 0; i < 10; ++i) scene.step(Ticked{});
  CHECK(scene.store.records.empty());
}

TEST_CASE("when both buckets of a key are full, of the values in them the one goes that saves the least") {
  Scene scene;
  const auto a = scene.connect();
  for (int i = 0; i < 3; ++i) scene.put(a, row_number(i), "value");
  scene.ask(a, scene.acquire(row_number(0)));
  scene.store.full_buckets = {chart_key};
  CHECK(scene.put(a, chart_key, "value").stored);
  CHECK_FALSE(scene.store.visible(row_number(1)));
  CHECK(scene.store.records.size() == 3);
}

TEST_CASE("a value that cannot be stored still reaches holder and waiters, and an old one is not found in its place (L3)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  scene.put(a, chart_key, "old");
  auto forced = scene.acquire(chart_key);
  forced.force = true;
  const auto token = scene.take<protocol::Lease>(a, scene.ask(a, forced)).token;
  const auto of_b = scene.ask(b, forced);
  const auto watcher = scene.ask(b, protocol::Subscribe{key_scope(chart_key), 0, 0});
  std::string why = "the arena is full of values that are being read";
  SUBCASE("because readers pin everything") {
    scene.store.pinned = true;
    scene.store.records_max = 1;
  }
  SUBCASE("because it is larger than the arena") {
    scene.store.too_large = true;
    why = "it is larger than the arena";
  }
  CHECK_FALSE(scene.publish(a, token, "new").stored);
  CHECK(scene.inline_bytes(b, of_b) == "new");
  CHECK_FALSE(scene.store.visible(chart_key));
  CHECK(scene.counted("stored_inline") == 1);
  CHECK(scene.events(b, watcher) == std::vector{SignalEvent::done, SignalEvent::evicted});
  REQUIRE(scene.notes.size() == 1);
  CHECK(scene.notes[0].find("could not be stored (1 so far): " + why) != std::string::npos);
}

TEST_CASE("replacing the only value that fits does not evict anything else") {
  Scene scene;
  scene.store.records_max = 1;
  const auto a = scene.connect();
  scene.put(a, chart_key, "one");
  CHECK(scene.put(a, chart_key, "two").stored);
  CHECK(scene.counted("evictions") == 0);
  CHECK(scene.counted("entries") == 1);
}

TEST_CASE("an arena that pins block is not emptied in vain") {
  Scene scene;
  const auto a = scene.connect();
  for (int i = 0; i < 900; ++i) scene.put(a, row_number(i), "value");
  scene.store.records_max = 900;
  scene.store.pinned = true;
  CHECK_FALSE(scene.put(a, chart_key, "value").stored);
  CHECK(scene.counted("evictions") <= 256);
  CHECK(scene.counted("entries") >= 644);
}

TEST_CASE("hits are not harvested more than once in a millisecond") {
  Scene scene;
  scene.store.records_max = 1;
  const auto a = scene.connect();
  for (int i = 0; i < 10; ++i) scene.put(a, row_number(i), "value");
  CHECK(scene.store.harvests == 1);
  scene.now += 1ms;
  scene.put(a, chart_key, "value");
  CHECK(scene.store.harvests == 2);
}

TEST_CASE("the longest durations that a client may say overflow nothing") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  constexpr std::uint64_t for_ever = ~std::uint64_t{0};
  auto request = scene.acquire(chart_key, for_ever);
  request.lease_limit_ms = for_ever;
  const auto token = scene.take<protocol::Lease>(a, scene.ask(a, request)).token;
  const auto of_b = scene.ask(b, request);
  scene.pass(1000h);
  CHECK(scene.publish(a, token, "value", for_ever).stored);
  CHECK(scene.inline_bytes(b, of_b) == "value");
}
