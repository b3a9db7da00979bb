// Values that depend on others: when they become stale and when they go, because an upstream has changed.
#include "dependency_scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

TEST_CASE("what depends on a value that is replaced is stale, over any number of values") {
  Dependent scene;
  scene.make_chain();
  scene.put_on(key_of("other"), {});
  CHECK(scene.is_fresh(chart));
  CHECK(scene.counted("dependency_edges") == 2);
  const auto watcher = scene.ask(scene.admin, protocol::Subscribe{everything(), 0, 0});
  SUBCASE("by a put") { scene.put_source(); }
  SUBCASE("by a computation") {
    auto forced = scene.acquire(source);
    forced.force = true;
    const auto token = scene.take<protocol::Lease>(scene.b, scene.ask(scene.b, forced)).token;
    CHECK(scene.is_fresh(chart));
    scene.publish_on(scene.b, token, {});
  }
  CHECK(scene.is_fresh(source));
  CHECK(scene.is_stale(chart));
  CHECK(scene.is_stale(page));
  CHECK(scene.is_fresh(key_of("other")));
  CHECK(scene.counted("dependants_made_stale") == 2);
  const auto told = scene.events(scene.admin, watcher);
  CHECK(std::count(told.begin(), told.end(), SignalEvent::stale) == 2);
  CHECK(scene.explains(chart, "stale because source(0) was replaced by pid 41 (gunicorn)"));
  CHECK(scene.explains(page, "from which its upstream chart(0) was computed"));
  CHECK(scene.explains(page, "depends on 1 value: chart(0)"));
  CHECK(scene.explains(chart, "1 value was computed from it"));
}

TEST_CASE("an explanation has upstreams as fields, with what happened to them and where it began") {
  Dependent scene;
  const std::uint64_t of_source = scene.put_source();
  const std::uint64_t of_chart = scene.put_on(chart, {{source, of_source}}).version;
  scene.put_on(page, {{chart, of_chart}});
  const auto explained = [&](const std::string& key) { return scene.take<protocol::Explanation>(scene.admin, scene.ask(scene.admin, protocol::Explain{key})); };
  REQUIRE(explained(page).upstreams.size() == 1);
  CHECK(explained(page).upstreams_all == 1);
  CHECK(explained(page).stale_cause == protocol::StaleCause::fresh);
  CHECK(explained(chart).dependants == 1);
  const protocol::UpstreamRow before = explained(page).upstreams[0];
  CHECK(before.key == chart);
  CHECK(before.version == of_chart);
  CHECK(before.state == protocol::UpstreamState::current);
  CHECK(before.present);
  CHECK(before.text.empty());
  scene.put_source();
  const protocol::UpstreamRow of_page = explained(page).upstreams[0];
  CHECK(explained(page).stale_cause == protocol::StaleCause::upstream);
  CHECK(of_page.state == protocol::UpstreamState::outdated);
  CHECK(of_page.present);
  CHECK(of_page.text == "was replaced by pid 41 (gunicorn)");
  CHECK(of_page.origin == source);
  const protocol::UpstreamRow on_source = explained(chart).upstreams[0];
  CHECK_FALSE(on_source.present);
  CHECK(on_source.version == of_source);
  CHECK(on_source.origin.empty());
}

TEST_CASE("of very many upstreams an explanation has the first ones and their number") {
  Dependent scene;
  Upstreams upstreams;
  for (int i = 0; i < 100; ++i) upstreams.push_back({key_of("source", i), scene.put_source(key_of("source", i))});
  scene.put_on(page, upstreams);
  const auto explanation = scene.take<protocol::Explanation>(scene.admin, scene.ask(scene.admin, protocol::Explain{page}));
  CHECK(explanation.upstreams.size() == limits::upstream_rows_max);
  CHECK(explanation.upstreams_all == 100);
}

TEST_CASE("what depends on a value that is invalidated goes with it, over any number of values (L6)") {
  Dependent scene;
  scene.make_chain();
  const auto watcher = scene.ask(scene.admin, protocol::Subscribe{key_scope(page), 0, 0});
  SUBCASE("by its key") { CHECK(scene.invalidate(key_scope(source)) == 3); }
  SUBCASE("by its function") { CHECK(scene.invalidate(function_scope("source")) == 3); }
  SUBCASE("with everything") { CHECK(scene.invalidate(everything()) == 3); }
  SUBCASE("by a tag") {
    scene.put_on(source, {}, 0, {"blue"});
    const std::uint64_t of_chart = scene.put_on(chart, {{source, 4}}).version;
    scene.put_on(page, {{chart, of_chart}});
    (void)scene.events(scene.admin, watcher);
    CHECK(scene.invalidate({protocol::ScopeKind::tag, "blue"}) == 3);
  }
  CHECK(scene.is_gone(source));
  CHECK(scene.is_gone(chart));
  CHECK(scene.is_gone(page));
  CHECK(scene.events(scene.admin, watcher) == std::vector{SignalEvent::invalidated});
  scene.pass(0s);
  CHECK(scene.counted("dependency_edges") == 0);
  CHECK(scene.counted("keys_known") == 0);
}

TEST_CASE("a dependant that was dropped says through what") {
  Dependent scene;
  scene.make_chain();
  scene.invalidate(key_scope(source));
  CHECK(scene.explains(page, "by pid 9 (oncectl) through its dependency on chart(0)"));
}

TEST_CASE("what depends on a value that is invalidated softly is stale") {
  Dependent scene;
  scene.make_chain();
  SUBCASE("by its key") { CHECK(scene.invalidate(key_scope(source), true) == 3); }
  SUBCASE("by its function") { CHECK(scene.invalidate(function_scope("source"), true) == 3); }
  CHECK(scene.is_stale(source));
  CHECK(scene.is_stale(chart));
  CHECK(scene.is_stale(page));
  CHECK(scene.explains(page, "stale because source(0) was invalidated softly by pid 9 (oncectl)"));
  CHECK(scene.invalidate(key_scope(source), true) == 0);
  CHECK(scene.invalidate(key_scope(source)) == 3);  // a hard one drops them
  CHECK(scene.is_gone(page));
}

TEST_CASE("what is computed from a value that is stale by its time is fresh until that is refreshed") {
  Dependent scene;
  const auto put = scene.take<protocol::Published>(scene.a, scene.ask(scene.a, protocol::Put{source, scene.value("v"), {.ttl_ms = 10, .grace_ms = 1'000'000}}));
  scene.pass(1s);
  CHECK(scene.is_stale(source));
  scene.put_on(chart, {{source, put.version}});
  CHECK(scene.is_fresh(chart));
  scene.put_source();
  CHECK(scene.is_stale(chart));
}

TEST_CASE("a value that is refreshed depends on what it was computed from last") {
  Dependent scene;
  const std::string second = key_of("second");
  const std::uint64_t of_source = scene.put_source();
  const std::uint64_t of_second = scene.put_source(second);
  scene.put_on(chart, {{source, of_source}});
  scene.put_on(chart, {{second, of_second}});
  scene.put_source();
  CHECK(scene.is_fresh(chart));
  scene.put_source(second);
  CHECK(scene.is_stale(chart));
  scene.put_on(chart, {});
  scene.invalidate(key_scope(second));
  CHECK(scene.is_fresh(chart));
  CHECK(scene.counted("dependency_edges") == 0);
}

TEST_CASE("eviction and expiry of an upstream change nothing, and forget nothing") {
  Dependent scene;
  std::uint64_t ttl_ms = 0;
  SUBCASE("eviction") {}
  SUBCASE("expiry") { ttl_ms = 10; }
  (void)scene.ask(scene.a, protocol::Put{source, scene.value("v"), {.ttl_ms = ttl_ms, .tags = {"blue"}}});
  scene.put_on(chart, {{source, 1}});
  if (ttl_ms == 0) {
    scene.store.hits.assign(5, *scene.store.find(chart));
    scene.store.full_buckets = {key_of("other")};
    scene.pass(1s);
    scene.put_source(key_of("other"));
  } else {
    scene.pass(1s);
  }
  REQUIRE(scene.is_gone(source));
  REQUIRE(scene.is_fresh(chart));
  CHECK(scene.explains(source, "1 value was computed from it"));
  SUBCASE("its version is still known") {
    scene.put_on(page, {{source, 1}});
    CHECK(scene.is_fresh(page));
  }
  SUBCASE("an invalidation of it drops its dependants") {
    CHECK(scene.invalidate(key_scope(source)) == 1);
    CHECK(scene.is_gone(chart));
  }
  SUBCASE("an invalidation of the tag that it had drops them") {
    CHECK(scene.invalidate({protocol::ScopeKind::tag, "blue"}, true) == 1);
    CHECK(scene.is_stale(chart));
    CHECK(scene.invalidate({protocol::ScopeKind::tag, "blue"}) == 1);
    CHECK(scene.is_gone(chart));
  }
  SUBCASE("another value in its place makes them stale") {
    scene.put_source();
    CHECK(scene.is_stale(chart));
  }
}

TEST_CASE("what hangs on a value that was evicted and replaced is still found") {
  Dependent scene;
  scene.make_chain();
  scene.put_on(chart, {});  // page is stale now, and was computed from the source over a chart that is no more
  CHECK(scene.is_stale(page));
  CHECK(scene.counted("dependency_edges") == 2);
  CHECK(scene.invalidate(key_scope(source)) == 2);
  CHECK(scene.is_gone(page));
  CHECK(scene.is_fresh(chart));
  CHECK(scene.counted("dependency_edges") == 0);
}

TEST_CASE("keys that depend on each other in turn come to rest") {
  Dependent scene;
  std::uint64_t of_chart = scene.put_source(chart);
  std::uint64_t of_page = 0;
  for (int round = 0; round < 5; ++round) {
    of_page = scene.put_on(page, {{chart, of_chart}}).version;
    of_chart = scene.put_on(chart, {{page, of_page}}).version;
  }
  CHECK(scene.is_stale(page));
  CHECK(scene.invalidate(key_scope(chart)) == 2);
  CHECK(scene.is_gone(page));
  scene.pass(0s);
  CHECK(scene.counted("keys_known") == 0);
}

TEST_CASE("a value does not depend on itself") {
  Dependent scene;
  const std::uint64_t old = scene.put_source(chart);
  scene.put_on(chart, {{chart, old}});
  CHECK(scene.is_fresh(chart));
  CHECK(scene.counted("dependency_edges") == 0);
}

TEST_CASE("a computation of a dependant goes on when its upstream changes, and is kept if it has read the new value") {
  Dependent scene;
  scene.make_chain();
  auto forced = scene.acquire(chart);
  forced.force = true;
  const auto of_b = scene.ask(scene.b, forced);
  const auto token = scene.take<protocol::Lease>(scene.b, of_b).token;
  SUBCASE("replaced") {}
  SUBCASE("invalidated") { scene.invalidate(key_scope(source)); }
  const std::uint64_t now = scene.put_source();
  CHECK_FALSE(scene.has_reply(scene.b, of_b));
  CHECK(scene.publish_on(scene.b, token, {{source, now}}).stored);
  CHECK(scene.is_fresh(chart));
}

TEST_CASE("a value of another version that takes the place of older ones makes stale what depends on those") {
  Dependent scene;
  const std::string old_key(KeyBuilder("f", "1").add(1).build().value().bytes());
  const std::string new_key(KeyBuilder("f", "2").add(1).build().value().bytes());
  scene.put_on(page, {{old_key, scene.put_source(old_key)}});
  (void)scene.ask(scene.a, protocol::Put{new_key, scene.value("new"), {.ttl_ms = 0, .retire_older = true}});
  scene.pass(0s);
  CHECK(scene.is_gone(old_key));
  CHECK(scene.is_stale(page));
  CHECK(scene.explains(page, "was superseded by version 2"));
}
