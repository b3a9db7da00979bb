// What a value is worth that names its upstreams when it is published: they may have changed, or gone, while it was computed.
#include "dependency_scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

TEST_CASE("a value of which an upstream was replaced while it was computed is stored stale") {
  Dependent scene;
  const std::uint64_t old = scene.put_source();
  const auto token = scene.lease(scene.b, chart);
  const auto tolerant = [&] {
    auto request = scene.acquire(chart);
    request.accept_stale = true;
    return request;
  }();
  const auto of_tolerant = scene.ask(scene.a, tolerant);
  const auto of_strict = scene.ask(scene.c, scene.acquire(chart));
  scene.put_source();
  CHECK(scene.publish_on(scene.b, token, {{source, old}}).stored);
  CHECK(scene.is_stale(chart));
  CHECK(scene.counted("stored_outdated") == 1);
  const auto told = scene.take<protocol::Value>(scene.a, of_tolerant);
  CHECK(told.stale);
  // It does not want a stale one, and computes it anew.
  const auto lease = scene.take<protocol::Lease>(scene.c, of_strict);
  CHECK(lease.cause == LeaseCause::abandoned);
  CHECK(scene.publish_on(scene.c, lease.token, {{source, 2}}).stored);
  CHECK(scene.is_fresh(chart));
}

TEST_CASE("a put from what was replaced meanwhile is stale, and answers those to whom that will do") {
  Dependent scene;
  const std::uint64_t old = scene.put_source();
  scene.put_source();
  const auto of_holder = scene.ask(scene.b, scene.acquire(chart));
  (void)scene.take<protocol::Lease>(scene.b, of_holder);
  auto tolerant = scene.acquire(chart);
  tolerant.accept_stale = true;
  const auto of_tolerant = scene.ask(scene.a, tolerant);
  const auto of_strict = scene.ask(scene.c, scene.acquire(chart));
  CHECK(scene.put_on(chart, {{source, old}}).stored);
  CHECK(scene.is_stale(chart));
  CHECK(scene.take<protocol::LeaseLost>(scene.b, of_holder).why == LeaseEnd::superseded);
  CHECK(scene.take<protocol::Value>(scene.a, of_tolerant).stale);
  (void)scene.take<protocol::Lease>(scene.c, of_strict);
}

TEST_CASE("an upstream of version 0, or of none that ever was, makes a value stale at once") {
  Dependent scene;
  scene.put_source();
  SUBCASE("0") { scene.put_on(chart, {{source, 0}}); }
  SUBCASE("of the future") { scene.put_on(chart, {{source, 1'000'000}}); }
  SUBCASE("of a key that nobody knows") { scene.put_on(chart, {{key_of("unknown"), 1}}); }
  SUBCASE("of the one that it is itself") {
    scene.put_on(chart, {{source, 2}});
    CHECK(scene.is_stale(chart));
    scene.put_on(chart, {{source, 3}});
  }
  CHECK(scene.is_stale(chart));
  scene.invalidate(everything());
  scene.pass(0s);
  CHECK(scene.counted("keys_known") == 0);
}

TEST_CASE("a value that was computed from what was invalidated since is not kept (L5)") {
  Dependent scene;
  std::uint64_t old = scene.put_source();
  const auto of_b = scene.ask(scene.b, scene.acquire(chart));
  const auto token = scene.take<protocol::Lease>(scene.b, of_b).token;
  const auto before = scene.ask(scene.a, scene.acquire(chart));
  SUBCASE("its key") { scene.invalidate(key_scope(source)); }
  SUBCASE("its function") { scene.invalidate(function_scope("source")); }
  SUBCASE("and computed anew") {
    scene.invalidate(key_scope(source));
    scene.put_source();
  }
  SUBCASE("which it read without a value to name") {
    scene.invalidate(key_scope(source));
    old = 0;
  }
  const auto after = scene.ask(scene.c, scene.acquire(chart));
  CHECK_FALSE(scene.publish_on(scene.b, token, {{source, old}}).stored);
  CHECK(scene.take<protocol::LeaseLost>(scene.b, of_b).why == LeaseEnd::invalidated);
  CHECK(scene.inline_bytes(scene.a, before) == "computed");
  (void)scene.take<protocol::Lease>(scene.c, after);
  CHECK(scene.is_gone(chart));
  CHECK(scene.counted("overtaken") == 1);
}

TEST_CASE("a value whose upstream was computed from what was invalidated since is not kept, however it is put") {
  Dependent scene;
  const std::uint64_t of_source = scene.put_source();
  const std::uint64_t of_chart = scene.put_on(chart, {{source, of_source}}).version;
  const auto token = scene.lease(scene.b, page);
  scene.put_on(chart, {});  // the old chart is forgotten
  scene.invalidate(key_scope(source));
  CHECK_FALSE(scene.publish_on(scene.b, token, {{chart, of_chart}}).stored);
  CHECK_FALSE(scene.put_on(page, {{chart, of_chart}}).stored);
  CHECK(scene.is_gone(page));
  CHECK(scene.put_on(page, {{chart, 3}}).stored);
}

TEST_CASE("a value is not kept when it is forgotten what its upstream was made from: an invalidation of that would not find it") {
  Dependent scene;
  const std::uint64_t of_source = scene.put_source();
  const std::uint64_t of_chart = scene.put_on(chart, {{source, of_source}}).version;
  scene.put_on(chart, {{source, of_source}});
  const auto token = scene.lease(scene.b, page);  // the former one was gone by then: nothing of it is kept
  CHECK_FALSE(scene.publish_on(scene.b, token, {{chart, of_chart}}).stored);
  const auto again = scene.lease(scene.b, page);
  CHECK(scene.publish_on(scene.b, again, {{chart, 3}}).stored);
  CHECK(scene.is_fresh(page));
}

TEST_CASE("what went while a computation ran is known when that names it, though other derived values have been forgotten") {
  Settings settings;
  Dependent scene(settings);
  const std::string other = key_of("other");
  const auto source_with = [&](std::uint64_t ttl_ms) {
    return scene.take<protocol::Published>(scene.a, scene.ask(scene.a, protocol::Put{source, scene.value("v"), {.ttl_ms = ttl_ms, .tags = {"blue"}}})).version;
  };
  const auto forget_a_derived_value = [&] {  // of a higher version
    const std::uint64_t of_other = scene.put_source(other);
    scene.put_on(key_of("derived"), {{other, of_other}});
    scene.put_on(key_of("derived"), {});
  };
  bool is_fresh = false;
  bool is_kept = true;
  std::uint64_t read = source_with(10);
  SUBCASE("nothing, though it is") {
    forget_a_derived_value();
    const auto token = scene.lease(scene.b, chart);
    scene.pass(1s);
    REQUIRE(scene.is_gone(source));
    CHECK(scene.publish_on(scene.b, token, {{source, read}}).stored);
    CHECK(scene.is_fresh(chart));
    CHECK(scene.invalidate({protocol::ScopeKind::tag, "blue"}) == 1);  // what it was computed from is known as before
    CHECK(scene.is_gone(chart));
    return;
  }
  const auto token = scene.lease(scene.b, chart);
  SUBCASE("expired: that changes nothing") {
    scene.pass(1s);
    is_fresh = true;
  }
  SUBCASE("expired, and computed anew") {
    scene.pass(1s);
    scene.put_source();
  }
  SUBCASE("expired, invalidated softly after that") {
    scene.pass(1s);
    scene.invalidate(function_scope("source"), true);
  }
  SUBCASE("invalidated softly, and expired after that") {
    scene.invalidate(key_scope(source), true);
    scene.pass(2min);
  }
  SUBCASE("replaced") { scene.put_source(); }
  SUBCASE("replaced by a value of another version") {
    const std::string old_key(KeyBuilder("source", "1").add(1).build().value().bytes());
    const std::string new_key(KeyBuilder("source", "2").add(1).build().value().bytes());
    read = scene.put_source(old_key);
    (void)scene.ask(scene.a, protocol::Put{new_key, scene.value("new"), {.ttl_ms = 0, .retire_older = true}});
    scene.pass(0s);
    REQUIRE(scene.is_gone(old_key));
    forget_a_derived_value();
    CHECK(scene.publish_on(scene.b, token, {{old_key, read}}).stored);
    CHECK(scene.is_stale(chart));
    return;
  }
  SUBCASE("expired, invalidated after that") {
    scene.pass(1s);
    scene.invalidate(function_scope("source"));
    is_kept = false;
  }
  SUBCASE("invalidated") {
    scene.invalidate({protocol::ScopeKind::tag, "blue"});
    is_kept = false;
  }
  forget_a_derived_value();
  CHECK(scene.publish_on(scene.b, token, {{source, read}}).stored == is_kept);
  CHECK(scene.is_fresh(chart) == is_fresh);
  CHECK(scene.is_stale(chart) == (is_kept && !is_fresh));
  scene.invalidate(everything());
  scene.pass(0s);
  CHECK(scene.counted("keys_known") == 0);
}

TEST_CASE("what went while a computation ran is found by an invalidation of what it was made from") {
  Dependent scene;
  const std::uint64_t of_source = scene.put_source();
  const std::uint64_t of_chart = scene.put_on(chart, {{source, of_source}}).version;
  const auto token = scene.lease(scene.b, page);
  scene.put_on(chart, {});
  SUBCASE("afterwards") {
    CHECK(scene.publish_on(scene.b, token, {{chart, of_chart}}).stored);
    CHECK(scene.is_stale(page));
    CHECK(scene.invalidate(key_scope(source)) == 2);
    CHECK(scene.is_gone(page));
  }
  SUBCASE("before it is named") {
    CHECK(scene.invalidate(key_scope(source)) == 1);
    CHECK_FALSE(scene.publish_on(scene.b, token, {{chart, of_chart}}).stored);
  }
  CHECK(scene.is_fresh(chart));
}

TEST_CASE("what is kept for computations goes when they have ended, and is bounded") {
  Dependent scene;
  const auto token = scene.lease(scene.b, page);
  const std::string long_argument(30'000, 'x');
  const std::size_t fit = limits::gone_values_key_bytes_max / (long_argument.size() + 100);
  for (std::size_t i = 0; i < fit + 20; ++i) {
    const std::string key(KeyBuilder("source").add(long_argument).add(static_cast<int>(i)).build().value().bytes());
    (void)scene.ask(scene.a, protocol::Put{key, scene.value("v"), {.ttl_ms = 1}});
    scene.pass(10ms);
  }
  CHECK(scene.counted("keys_known") >= fit);
  CHECK(scene.counted("keys_known") < fit + 10);
  scene.publish_on(scene.b, token, {});
  scene.pass(1s);
  CHECK(scene.counted("keys_known") == 1);
}

TEST_CASE("a put from what was invalidated leaves its key as it was") {
  Dependent scene;
  const std::uint64_t old = scene.put_source();
  scene.put_on(chart, {});
  scene.invalidate(key_scope(source));
  const auto of_b = scene.ask(scene.b, [&] {
    auto forced = scene.acquire(chart);
    forced.force = true;
    return forced;
  }());
  const auto token = scene.take<protocol::Lease>(scene.b, of_b).token;
  CHECK_FALSE(scene.put_on(chart, {{source, old}}).stored);
  CHECK(scene.is_fresh(chart));
  CHECK(scene.publish_on(scene.b, token, {}).stored);
}

TEST_CASE("what is computed from a value that was invalidated softly is stale") {
  Dependent scene;
  const std::uint64_t old = scene.put_source();
  const auto token = scene.lease(scene.b, chart);
  scene.invalidate(key_scope(source), true);
  CHECK(scene.publish_on(scene.b, token, {{source, old}}).stored);
  CHECK(scene.is_stale(chart));
}

TEST_CASE("whoever publishes what is not kept is told why: an upstream, its own key, another value") {
  Dependent scene;
  const std::uint64_t of_source = scene.put_source();
  const auto token = scene.take<protocol::Lease>(scene.b, scene.ask(scene.b, scene.acquire(page))).token;
  protocol::Published told;
  SUBCASE("an upstream was invalidated") {
    scene.invalidate(key_scope(source));
    told = scene.publish_on(scene.b, token, {{source, of_source}});
    CHECK(told.why == protocol::NotStored::upstream_invalidated);
    CHECK(told.text.find("computed from was invalidated") != std::string::npos);
  }
  SUBCASE("its key was") {
    scene.invalidate(key_scope(page));
    told = scene.publish_on(scene.b, token, {});
    CHECK(told.why == protocol::NotStored::invalidated);
    CHECK(told.text == "its key was invalidated by pid 9 (oncectl) while it was computed");
  }
  SUBCASE("its key was, softly") {
    scene.invalidate(key_scope(page), true);
    CHECK((told = scene.publish_on(scene.b, token, {})).why == protocol::NotStored::invalidated);
  }
  SUBCASE("a value was put in its place") {
    scene.put_source(page);
    told = scene.publish_on(scene.b, token, {});
    CHECK(told.why == protocol::NotStored::superseded);
    CHECK(told.text == "a value was put in its place by pid 41 (gunicorn) while it was computed");
  }
  SUBCASE("a put whose upstream was invalidated") {
    scene.invalidate(key_scope(source));
    told = scene.put_on(chart, {{source, of_source}});
    CHECK(told.why == protocol::NotStored::upstream_invalidated);
  }
  CHECK_FALSE(told.stored);
  CHECK_FALSE(told.text.empty());
}
