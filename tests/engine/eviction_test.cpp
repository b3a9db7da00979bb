// What goes when room is short, and what does not.
#include <algorithm>

#include "blob_scene.hpp"
#include "engine/catalog.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

std::string numbered(int number) { return key_of("n", number); }

struct EvictionScene : BlobScene {
  using BlobScene::BlobScene;

  protocol::Published compute(ConnectionId from, const std::string& of, Duration cost, std::size_t bytes = 100) {
    const auto token = lease(from, of);
    now += cost;
    return publish(from, token, std::string(bytes, 'x'));
  }
  void compute_blob(ConnectionId from, const std::string& of, Duration cost, std::uint64_t bytes) {
    const auto token = lease(from, of);
    const BlobId blob = reserve(from, bytes);
    now += cost;
    CHECK(take<protocol::Published>(from, ask(from, protocol::Publish{token, in_blob(blob, bytes), {}})).stored);
  }
  std::vector<std::string> explained(ConnectionId from, const std::string& of) {
    return take<protocol::Explanation>(from, ask(from, protocol::Explain{of})).lines;
  }
  double seconds(const std::string& name) const {
    for (const auto& [field, number] : engine.statistics(now).fields)
      if (field == name) return std::get<double>(number);
    FAIL("no such statistic: " << name);
    return 0;
  }
};

}  // namespace

TEST_CASE("when the arena is full the value goes by which the least computing time per byte is lost") {
  EvictionScene scene;
  scene.store.records_max = 3;
  const auto a = scene.connect();
  SUBCASE("one that was cheap, though it is the newest") {
    scene.compute(a, numbered(0), 2s);
    scene.compute(a, numbered(1), 2s);
    scene.compute(a, numbered(2), 1ms);
    CHECK(scene.compute(a, numbered(3), 2s).stored);
    CHECK_FALSE(scene.store.visible(numbered(2)));
  }
  SUBCASE("one that is large, of those that cost the same") {
    scene.compute(a, numbered(0), 1s);
    scene.compute(a, numbered(1), 1s, 10'000);
    scene.compute(a, numbered(2), 1s);
    CHECK(scene.compute(a, numbered(3), 1s).stored);
    CHECK_FALSE(scene.store.visible(numbered(1)));
  }
  SUBCASE("one that nobody asked for again, as the daemon saw or readers report") {
    for (int i = 0; i < 3; ++i) scene.compute(a, numbered(i), 1s);
    scene.ask(a, scene.acquire(numbered(0)));
    scene.store.hits = {*scene.store.find(numbered(1))};
    const auto watcher = scene.ask(a, protocol::Subscribe{everything(), 0, 0});
    CHECK(scene.compute(a, numbered(3), 1s).stored);
    CHECK_FALSE(scene.store.visible(numbered(2)));
    CHECK(scene.events(a, watcher) == std::vector{SignalEvent::started, SignalEvent::evicted, SignalEvent::done});
  }
  SUBCASE("the oldest, of those that do not differ") {
    for (int i = 0; i < 4; ++i) CHECK(scene.compute(a, numbered(i), 1s).stored);
    CHECK_FALSE(scene.store.visible(numbered(0)));
  }
  CHECK(scene.counted("evictions") == 1);
  CHECK(scene.counted("entries") == 3);
}

TEST_CASE("a value that was popular and is not asked for any more goes") {
  EvictionScene scene;
  scene.store.records_max = 3;
  const auto a = scene.connect();
  scene.compute(a, chart_key, 1s);
  for (int i = 0; i < 8; ++i) scene.ask(a, scene.acquire(chart_key));
  for (int i = 0; i < 2; ++i) scene.compute(a, numbered(i), 1s);
  int asked = 0;
  for (; scene.store.visible(chart_key) && asked < 20'000; ++asked) {
    if (asked % 100 == 0) scene.compute(a, key_of("m", asked), 1s, 90);  // a little smaller than its victims: one is enough
    for (int i = 0; i < 2; ++i)
      if (scene.store.visible(numbered(i))) scene.ask(a, scene.acquire(numbered(i)));
  }
  CHECK_FALSE(scene.store.visible(chart_key));
  CHECK(asked > 100);
}

TEST_CASE("a value that comes back goes on from its uses before its eviction") {
  EvictionScene scene;
  scene.store.records_max = 2;
  const auto a = scene.connect();
  scene.compute(a, chart_key, 1s);
  scene.ask(a, scene.acquire(chart_key));
  scene.compute(a, numbered(0), 60s);
  scene.compute(a, numbered(1), 60s);  // the average rises, and the cheaper one goes
  CHECK_FALSE(scene.store.visible(chart_key));
  scene.store.records_max = 4;
  scene.compute(a, chart_key, 1s);                 // its third use
  scene.compute(a, key_of("chart", 2), 1s);  // the first one of this, so it goes before
  scene.compute(a, key_of("chart", 3), 1s);
  CHECK(scene.store.visible(chart_key));
  CHECK_FALSE(scene.store.visible(key_of("chart", 2)));
}

TEST_CASE("a value that was put is worth what its function costs, and little when that is not known") {
  EvictionScene scene;
  scene.store.records_max = 3;
  const auto a = scene.connect();
  scene.compute(a, chart_key, 10s);
  scene.put(a, key_of("chart", 1), std::string(100, 'x'));
  scene.put(a, key_of("settings"), std::string(100, 'x'));
  scene.compute(a, numbered(0), 1s);
  CHECK_FALSE(scene.store.visible(key_of("settings")));
  scene.compute(a, numbered(1), 1s);
  CHECK_FALSE(scene.store.visible(numbered(0)));
  CHECK(scene.store.visible(key_of("chart", 1)));
}

TEST_CASE("one holder that was stopped for long does not make its value dearer than many others") {
  EvictionScene scene;
  scene.store.records_max = 101;
  const auto a = scene.connect();
  for (int i = 0; i < 100; ++i) scene.compute(a, numbered(i), 10ms);
  scene.compute(a, numbered(100), 50min);  // the average of its function is half a minute then, thousandfold is not believed
  scene.compute(a, chart_key, 1s);
  CHECK(scene.seconds("seconds_evicted") == doctest::Approx(0.01).epsilon(0.01));
  scene.ask(a, protocol::Invalidate{key_scope(numbered(1))});
  const auto others = scene.counted("entries");
  CHECK(others == 100);
  // Its worth shows when it goes: as much as is believed, and so before a value that did take a third of an hour.
  const double believed = (100 * 0.01 + 3000) / 101 * static_cast<double>(Catalog::worth_of_averages_max);
  REQUIRE(believed < 20 * 60);
  scene.compute(a, key_of("dear"), 20min);
  for (int i = 0; i < 100; ++i) scene.ask(a, protocol::Invalidate{key_scope(numbered(i))});
  scene.ask(a, protocol::Invalidate{key_scope(chart_key)});
  CHECK(scene.counted("entries") == 2);
  scene.store.records_max = 2;
  scene.put(a, key_of("m"), std::string(50, 'x'));  // smaller than either: one is enough
  CHECK_FALSE(scene.store.visible(numbered(100)));
  CHECK(scene.store.visible(key_of("dear")));
  CHECK(scene.seconds("seconds_evicted") == doctest::Approx(believed).epsilon(0.001));
}

TEST_CASE("the work of eviction in one step is bounded, whatever readers hold") {
  EvictionScene scene(with_budget(2000 * 1000));
  scene.blobs.count_max = 5000;
  const auto a = scene.connect();
  SUBCASE("in an arena that pins block") {
    scene.store.records_max = 2000;
    for (int i = 0; i < 2000; ++i) scene.put(a, numbered(i), "value");
    scene.store.pinned = true;
    const auto before = scene.counted("eviction_looks");
    const int scans = scene.store.place_calls;
    CHECK_FALSE(scene.put(a, chart_key, "value").stored);
    CHECK(scene.counted("eviction_looks") - before <= 256);
    CHECK(scene.counted("evictions") == 256);
    CHECK(scene.store.place_calls - scans <= 6);
  }
  SUBCASE("in an arena that pins block, for a key that has a value") {
    scene.store.records_max = 2000;
    for (int i = 0; i < 2000; ++i) scene.put(a, numbered(i), "value");
    scene.store.pinned = true;
    const int scans = scene.store.place_calls;
    CHECK_FALSE(scene.put(a, numbered(0), "another").stored);
    CHECK(scene.counted("evictions") == 256);
    CHECK(scene.store.place_calls - scans <= 7);
  }
  SUBCASE("when it is weighed whether it is worth it") {
    scene.store.records_max = 2000;
    scene.store.record_bytes = 1;
    for (int i = 0; i < 2000; ++i) scene.put(a, numbered(i), "");
    const auto before = scene.counted("eviction_looks");
    scene.put(a, chart_key, std::string(60'000, 'x'));
    CHECK(scene.counted("eviction_looks") - before <= 2 * 256);
  }
  SUBCASE("among blobs that readers hold") {
    scene.store.records_max = 5000;
    for (int i = 0; i < 2000; ++i) scene.put_blob(a, numbered(i));
    for (const auto& [record, unused] : scene.store.records) scene.store.pin_counts[record] = 1;
    const auto before = scene.counted("eviction_looks");
    scene.store.pin_scans = scene.store.reclaims = 0;
    scene.ask_to_reserve(a, 1000);
    CHECK(scene.counted("eviction_looks") - before <= 2 * 256);
    CHECK(scene.counted("evictions") == 0);
    CHECK(scene.store.pin_scans + scene.store.reclaims <= 3);
  }
  SUBCASE("among blobs whose memory does not come back, though nothing said so") {
    scene.store.records_max = 5000;
    for (int i = 0; i < 2000; ++i) scene.put_blob(a, numbered(i));
    scene.store.pinned = true;  // since they were looked at
    scene.store.pin_scans = scene.store.reclaims = 0;
    CHECK(scene.refused(a, scene.ask_to_reserve(a, 1000)) == ErrorCode::out_of_memory);
    CHECK(scene.counted("evictions") == Catalog::blob_rounds_max);
    CHECK(scene.store.pin_scans + scene.store.reclaims <= 2 * Catalog::blob_rounds_max + 2);
  }
}

TEST_CASE("blobs that readers hold are passed over, and the next ones go, though they are worth more") {
  EvictionScene scene(with_budget(300 * 1000));
  const auto a = scene.connect();
  for (int i = 0; i < 299; ++i) {
    scene.compute_blob(a, numbered(i), 1ms, 1000);
    scene.store.pin_counts[*scene.store.find(numbered(i))] = 1;
  }
  scene.compute_blob(a, chart_key, 1s, 1000);
  const auto first = scene.ask_to_reserve(a, 1000);  // looks at 256 of them in vain
  CHECK(scene.refused(a, first) == ErrorCode::out_of_memory);
  scene.reserve(a, 1000);
  CHECK_FALSE(scene.store.visible(chart_key));
  CHECK(scene.counted("evictions") == 1);
}

TEST_CASE("a large value for which far more computing time would be thrown away is not stored") {
  EvictionScene scene;
  scene.store.records_max = 10;
  const auto a = scene.connect(), b = scene.connect();
  for (int i = 0; i < 10; ++i) scene.compute(a, numbered(i), 10s, 3000);
  const std::size_t large = 11'000;  // of 40,960
  const auto token = scene.lease(a, chart_key);
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  SUBCASE("but holder and waiters have it") {
    scene.now += 10ms;
    CHECK_FALSE(scene.publish(a, token, std::string(large, 'x')).stored);
    CHECK(scene.inline_bytes(b, of_b).size() == large);
    CHECK(scene.counted("evictions") == 0);
    CHECK(scene.counted("not_worth_storing") == 1);
    CHECK(scene.explained(a, chart_key).at(0).find("but not kept: it is large, and values that save far more") != std::string::npos);
  }
  SUBCASE("unless it was about as dear") {
    scene.now += 10s;
    CHECK(scene.publish(a, token, std::string(large, 'x')).stored);
    CHECK(scene.counted("evictions") > 0);
  }
  SUBCASE("unless it is not that large") {
    scene.now += 10ms;
    CHECK(scene.publish(a, token, std::string(large / 2, 'x')).stored);
  }
  SUBCASE("unless there is room") {
    scene.store.records_max = 11;
    scene.store.record_bytes = 3000;
    scene.now += 10ms;
    CHECK(scene.publish(a, token, std::string(large, 'x')).stored);
    CHECK(scene.counted("evictions") == 0);
  }
}

TEST_CASE("a large blob for which far more computing time would be thrown away is refused, when it is known to be cheap") {
  EvictionScene scene(with_budget(10'000));
  const auto a = scene.connect();
  const auto fill = [&] {
    for (int i = 0; i < 10; ++i) scene.compute_blob(a, numbered(i), 10s, 1000);
  };
  SUBCASE("refused") {
    scene.compute(a, key_of("frame", 1), 10ms);
    fill();
    scene.lease(a, key_of("frame", 2));
    CHECK(scene.refused_with(a, scene.ask_to_reserve(a, 5000), "would be evicted for one that is likely to save 10 ms") == ErrorCode::out_of_memory);
    CHECK(scene.counted("evictions") == 0);
    CHECK(scene.counted("not_worth_storing") == 1);
    scene.reserve(a, 2000);  // a small share of the budget
  }
  SUBCASE("not when the computation has taken long already") {
    scene.compute(a, key_of("frame", 1), 10ms);
    fill();
    scene.lease(a, key_of("frame", 2));
    scene.now += 10s;
    scene.reserve(a, 5000);
  }
  SUBCASE("not when the function is new: its computation may have just begun") {
    fill();
    scene.lease(a, key_of("frame", 2));
    scene.reserve(a, 5000);
  }
  SUBCASE("though the function is new, when the value is ready: then it has cost what it has taken") {
    fill();
    scene.lease(a, key_of("frame", 2));
    scene.now += 10ms;
    CHECK(scene.refused_with(a, scene.ask_to_reserve(a, 5000, true), "would be evicted for one that is likely to save 10 ms") == ErrorCode::out_of_memory);
    CHECK(scene.explained(a, key_of("frame", 2)).at(0).find("being computed") != std::string::npos);
    scene.now += 10s;
    scene.reserve(a, 5000);
  }
  SUBCASE("for a value that is put, of which nobody knows what it cost") {
    fill();
    CHECK(scene.refused_with(a, scene.ask_to_reserve(a, 5000), "would be evicted for one that is put") == ErrorCode::out_of_memory);
    CHECK(scene.counted("evictions") == 0);
  }
  SUBCASE("not for a value that is put where there are only such values") {
    for (int i = 0; i < 4; ++i) scene.put_blob(a, numbered(i), 2500);
    scene.reserve(a, 5000);
    CHECK(scene.counted("evictions") == 2);
  }
  SUBCASE("also in many parts, each of them small") {
    scene.compute(a, key_of("frame", 1), 10ms);
    fill();
    scene.lease(a, key_of("frame", 2));
    scene.reserve(a, 2000);
    CHECK(scene.refused_with(a, scene.ask_to_reserve(a, 2000), "would be evicted for one that is likely to save 10 ms") == ErrorCode::out_of_memory);
    CHECK(scene.counted("evictions") == 2);
  }
  SUBCASE("not when nothing goes for it") {
    scene.compute(a, key_of("frame", 1), 10ms);
    scene.compute_blob(a, numbered(0), 10s, 1000);
    scene.lease(a, key_of("frame", 2));
    scene.reserve(a, 9000);
    CHECK(scene.counted("evictions") == 0);
  }
}

TEST_CASE("a reservation that names its key is held against that value, and not against the dearest of its connection") {
  EvictionScene scene(with_budget(10'000));
  const auto a = scene.connect();
  const std::string cheap = key_of("frame", 2), dear = key_of("film", 2);
  scene.compute(a, key_of("frame", 1), 10ms);
  scene.compute(a, key_of("film", 1), 10s);
  for (int i = 0; i < 10; ++i) scene.compute_blob(a, numbered(i), 10s, 1000);
  scene.lease(a, cheap);
  scene.lease(a, dear);
  const auto refusal = [&](const std::string& of) {
    return scene.take<protocol::Refused>(a, scene.ask_to_reserve(a, 5000, false, of)).text;
  };
  const auto contains = [](const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; };
  SUBCASE("a cheap one") { CHECK(contains(refusal(cheap), "for one that is likely to save 10 ms")); }
  SUBCASE("a dear one") { scene.taken(a, scene.ask_to_reserve(a, 5000, false, dear)); }
  SUBCASE("the dearest, when it names none") { scene.taken(a, scene.ask_to_reserve(a, 5000)); }
  SUBCASE("one that is put, and likely to be as cheap as those of its function") {
    CHECK(contains(refusal(key_of("frame", 3)), "for one that is likely to save 10 ms"));
  }
  SUBCASE("one that is put, and likely to be as dear as those of its function") { scene.taken(a, scene.ask_to_reserve(a, 5000, false, key_of("film", 3))); }
  SUBCASE("one that is put, of a function that was never computed") { CHECK(contains(refusal(key_of("plan")), "for one that is put, of which nobody knows")); }
}

TEST_CASE("blobs that are lent are not evicted in vain: the next ones go") {
  EvictionScene scene(with_budget(5 * 1000));
  const auto a = scene.connect(), b = scene.connect();
  for (int i = 0; i < 4; ++i) {
    scene.put_blob(a, numbered(i));
    scene.ask(b, scene.acquire(numbered(i)));  // b has no pin page: they are lent to it
  }
  for (int i = 0; i < 8; ++i) scene.ask(a, scene.acquire(numbered(0)));
  scene.compute_blob(a, chart_key, 10s, 1000);
  scene.reserve(a, 1000);
  CHECK(scene.counted("evictions") == 1);
  CHECK_FALSE(scene.store.visible(chart_key));
}

TEST_CASE("explain says what an evicted value had cost and when it was last used, and statistics what it was worth") {
  EvictionScene scene;
  scene.store.records_max = 1;
  const auto a = scene.connect();
  scene.compute(a, chart_key, 12ms);
  scene.now += 3min;
  scene.put(a, numbered(0), "value");
  CHECK(scene.explained(a, chart_key) == std::vector<std::string>{"evicted 0.0 us ago because the arena was full; it cost 12 ms, last known use 3.0 min before"});
  CHECK(scene.seconds("seconds_evicted") == doctest::Approx(0.012));
  scene.compute(a, chart_key, 12ms);
  CHECK(scene.explained(a, numbered(0)).at(0).find("; it was put, last known use 12 ms before") != std::string::npos);
}
