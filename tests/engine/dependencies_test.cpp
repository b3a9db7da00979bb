// Values that depend on others: when they become stale, when they go, and what of that is remembered for how long.
#include "scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

const std::string source = key_of("source");
const std::string chart = key_of("chart");
const std::string page = key_of("page");

using Upstreams = std::vector<protocol::Dependency>;

struct Dependent : Scene {
  explicit Dependent(Settings settings_ = {}) : Scene(std::move(settings_)) {}

  protocol::RequestId ask_put(const std::string& key, Upstreams upstreams, std::uint64_t grace_ms = 0, std::vector<std::string> tags = {}) {
    return ask(a, protocol::Put{key, value("v"), {.ttl_ms = 0, .grace_ms = grace_ms, .tags = std::move(tags), .depends_on = std::move(upstreams)}});
  }
  protocol::Published put_on(const std::string& key, Upstreams upstreams, std::uint64_t grace_ms = 0, std::vector<std::string> tags = {}) {
    return take<protocol::Published>(a, ask_put(key, std::move(upstreams), grace_ms, std::move(tags)));
  }
  std::uint64_t put_source(const std::string& key = source) { return put_on(key, {}).version; }
  protocol::Published publish_on(ConnectionId from, protocol::Token token, Upstreams upstreams) {
    return take<protocol::Published>(from, ask(from, protocol::Publish{token, value("computed"), {.ttl_ms = 0, .depends_on = std::move(upstreams)}}));
  }
  std::uint64_t invalidate(protocol::Scope scope, bool soft = false) {
    return take<protocol::Done>(admin, ask(admin, protocol::Invalidate{std::move(scope), soft})).count;
  }
  bool explains(const std::string& key, const std::string& line) {
    const auto lines = take<protocol::Explanation>(admin, ask(admin, protocol::Explain{key})).lines;
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& one) { return one.find(line) != std::string::npos; });
  }
  // As a reader finds it.
  bool is_fresh(const std::string& key) const { return store.visible(key); }
  bool is_stale(const std::string& key) const { return store.find(key) && !store.visible(key); }
  bool is_gone(const std::string& key) const { return !store.find(key); }
  // source <- chart <- page
  void make_chain() {
    const std::uint64_t of_source = put_source();
    const std::uint64_t of_chart = put_on(chart, {{source, of_source}}).version;
    put_on(page, {{chart, of_chart}});
  }

  ConnectionId a = connect(), b = connect(), c = connect(), admin = connect("pid 9 (oncectl)");
};

}  // namespace

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

// ---- steps ----------------------------------------------------------------------------------------------------------

TEST_CASE("many dependants are reached in steps, and the answer comes after the last of them (L6)") {
  Settings settings;
  settings.invalidated_per_step_max = 2;
  Dependent scene(settings);
  const std::uint64_t of_source = scene.put_source();
  const auto chart_of = [](int i) { return key_of("chart", i); };
  for (int i = 0; i < 7; ++i) scene.put_on(chart_of(i), {{source, of_source}});
  const auto stale = [&] {
    int count = 0;
    for (int i = 0; i < 7; ++i) count += scene.is_stale(chart_of(i)) ? 1 : 0;
    return count;
  };
  SUBCASE("of a replaced value") {
    const auto of_put = scene.ask_put(source, {});
    CHECK(scene.is_fresh(source));
    CHECK(stale() == 2);
    CHECK_FALSE(scene.has_reply(scene.a, of_put));
    SUBCASE("in turns of their own") {
      scene.step(Ticked{});
      CHECK(stale() == 4);
      CHECK_FALSE(scene.has_reply(scene.a, of_put));
      scene.pass(0s);
      CHECK(stale() == 7);
      CHECK(scene.take<protocol::Published>(scene.a, of_put).stored);
    }
    SUBCASE("who invalidates the new one softly meanwhile, or puts another, is told after them as well") {
      const auto softly = scene.ask(scene.admin, protocol::Invalidate{key_scope(source), true});
      CHECK_FALSE(scene.has_reply(scene.admin, softly));
      const auto another = scene.ask(scene.b, protocol::Put{source, scene.value("newer"), {.ttl_ms = 0}});
      CHECK(stale() == 6);
      CHECK_FALSE(scene.has_reply(scene.b, another));
      scene.pass(0s);
      CHECK(stale() == 7);
      CHECK(scene.take<protocol::Done>(scene.admin, softly).count == 1);
      CHECK(scene.take<protocol::Published>(scene.b, another).stored);
    }
    SUBCASE("what is published meanwhile from the old value is stale, from the new one fresh") {
      scene.put_on(page, {{source, of_source}});
      CHECK(scene.is_stale(page));
      scene.put_on(chart_of(6), {{source, 9}});
      scene.pass(0s);
      CHECK(stale() == 6);
      CHECK(scene.is_fresh(chart_of(6)));
    }
    SUBCASE("what is published meanwhile from a dependant that is not reached yet is reached after it") {
      const auto at = scene.store.find(chart_of(6));
      REQUIRE(scene.is_fresh(chart_of(6)));
      const auto of_page = scene.ask_put(page, {{chart_of(6), scene.store.records.at(*at).version}});
      scene.pass(0s);
      CHECK(scene.is_stale(page));
      CHECK(scene.take<protocol::Published>(scene.a, of_page).stored);
    }
    SUBCASE("whoever asked may be gone by then") {
      scene.step(Disconnected{scene.a});
      scene.pass(0s);
      CHECK(stale() == 7);
      CHECK_FALSE(scene.has_reply(scene.a, of_put));
    }
    SUBCASE("the daemon may be about to end") {
      scene.step(Draining{});
      CHECK(scene.take<protocol::Published>(scene.a, of_put).stored);
    }
  }
  SUBCASE("of an invalidated key") {
    const auto asked = scene.ask(scene.admin, protocol::Invalidate{key_scope(source)});
    CHECK_FALSE(scene.has_reply(scene.admin, asked));
    SUBCASE("which is invalidated softly meanwhile: that is answered after them as well") {
      const auto softly = scene.ask(scene.b, protocol::Invalidate{key_scope(source), true});
      CHECK_FALSE(scene.has_reply(scene.b, softly));
      scene.pass(0s);
      CHECK(scene.take<protocol::Done>(scene.b, softly).count == 0);
    }
    SUBCASE("which is put anew meanwhile: that is newer") {
      const auto of_put = scene.ask(scene.b, protocol::Put{source, scene.value("new"), {.ttl_ms = 0}});
      CHECK_FALSE(scene.has_reply(scene.b, of_put));  // what was computed from the old one is not all gone yet
      scene.put_on(chart_of(6), {{source, of_source + 8}});
      scene.pass(0s);
      CHECK(scene.take<protocol::Published>(scene.b, of_put).version == of_source + 8);
      CHECK(scene.take<protocol::Done>(scene.admin, asked).count == 7);
      CHECK(scene.is_fresh(chart_of(6)));
    }
    SUBCASE("in turns of their own") {
      scene.pass(0s);
      CHECK(scene.take<protocol::Done>(scene.admin, asked).count == 8);
      CHECK(scene.store.records.empty());
    }
    SUBCASE("the daemon may be about to end") {
      scene.step(Draining{});
      CHECK(scene.refused(scene.admin, asked) == ErrorCode::unavailable);
    }
  }
  SUBCASE("of an invalidated function") {
    const auto asked = scene.ask(scene.admin, protocol::Invalidate{function_scope("source")});
    CHECK_FALSE(scene.has_reply(scene.admin, asked));
    scene.pass(0s);
    CHECK(scene.take<protocol::Done>(scene.admin, asked).count == 8);
    CHECK(scene.store.records.empty());
  }
  scene.pass(0s);
  CHECK_FALSE(scene.engine.next_deadline() == scene.now);
}

TEST_CASE("what a computation read while an invalidation was still dropping it is not kept (L6)") {
  Settings settings;
  settings.invalidated_per_step_max = 1;
  Dependent scene(settings);
  const std::uint64_t of_source = scene.put_source();
  for (int i = 0; i < 4; ++i) scene.put_on(key_of("chart", i), {{source, of_source}});
  const auto asked = scene.ask(scene.admin, protocol::Invalidate{key_scope(source)});
  const auto last = scene.store.find(key_of("chart", 3));
  REQUIRE(last);
  const std::uint64_t read = scene.store.records.at(*last).version;
  const auto token = scene.lease(scene.b, page);  // after the arrival
  scene.pass(0s);
  CHECK(scene.take<protocol::Done>(scene.admin, asked).count == 5);
  CHECK_FALSE(scene.publish_on(scene.b, token, {{key_of("chart", 3), read}}).stored);
}

// ---- bounds ---------------------------------------------------------------------------------------------------------

TEST_CASE("when no more can be recorded values go that were stored long ago, and that is counted and said") {
  Settings settings;
  SUBCASE("for their number") { settings.dependency_edges_max = 4; }
  SUBCASE("for the bytes of their keys") { settings.dependency_key_bytes_max = 4 * source.size(); }
  Dependent scene(settings);
  const std::uint64_t of_source = scene.put_source();
  for (int i = 0; i < 4; ++i) scene.put_on(key_of("chart", i), {{source, of_source}});
  CHECK(scene.notes.empty());
  CHECK(scene.put_on(key_of("chart", 4), {{source, of_source}}).stored);
  CHECK(scene.is_gone(key_of("chart", 0)));
  CHECK(scene.is_fresh(key_of("chart", 1)));
  CHECK(scene.explains(key_of("chart", 0), "because no more dependencies of values could be recorded"));
  CHECK(scene.counted("dependency_edges") == 4);
  CHECK(scene.counted("dependency_evictions") == 1);
  CHECK(scene.counted("limits_reached") == 1);
  CHECK(scene.notes.size() == 1);
  scene.put_source();
  for (int i = 1; i < 5; ++i) CHECK(scene.is_stale(key_of("chart", i)));
}

TEST_CASE("a value whose dependencies cannot be recorded is not kept, for an invalidation would not find it") {
  Settings settings;
  settings.dependency_edges_max = 2;
  Dependent scene(settings);
  const std::uint64_t of_source = scene.put_source();
  const auto token = scene.lease(scene.b, chart);
  auto tolerant = scene.acquire(chart);
  tolerant.accept_stale = true;
  const auto waiting = scene.ask(scene.c, tolerant);
  const auto strict = scene.ask(scene.a, scene.acquire(chart));
  const Upstreams three{{source, of_source}, {key_of("x"), 0}, {key_of("y"), 0}};
  const auto kept_not = scene.publish_on(scene.b, token, three);
  CHECK_FALSE(kept_not.stored);
  CHECK(kept_not.why == protocol::NotStored::upstreams_full);
  CHECK(kept_not.text.find("dependency_edges_max") != std::string::npos);
  // More memory would not help, and is not advised.
  CHECK(std::any_of(scene.notes.begin(), scene.notes.end(), [](const auto& note) { return note.find("more memory does not help") != std::string::npos; }));
  CHECK(std::none_of(scene.notes.begin(), scene.notes.end(), [](const auto& note) { return note.find("a larger segment") != std::string::npos; }));
  const auto told = scene.take<protocol::Value>(scene.c, waiting);
  CHECK(told.parts.at(0).bytes == "computed");
  CHECK(told.stale);  // of x and y there was none
  CHECK(scene.is_gone(chart));
  const auto again = scene.take<protocol::Lease>(scene.a, strict).token;
  CHECK_FALSE(scene.publish_on(scene.a, again, three).stored);
  CHECK(scene.explains(chart, "what it depends on cannot be recorded"));
  CHECK(scene.counted("dependency_edges") == 0);
}

TEST_CASE("memory of dependencies is given back in steps") {
  Settings settings;
  Dependent scene(settings);
  const std::uint64_t of_source = scene.put_source();
  for (int i = 0; i < 40; ++i) {
    Upstreams upstreams;
    for (int j = 0; j < 100; ++j) upstreams.push_back({source, of_source});
    scene.put_on(key_of("chart", i), upstreams);
  }
  CHECK(scene.counted("dependency_edges") == 4000);
  scene.ask(scene.admin, protocol::Invalidate{function_scope("chart")});
  CHECK(scene.counted("dependency_edges") >= 4000 - 1024);
  CHECK(scene.counted("dependency_edges") < 4000);
  scene.pass(0s);
  CHECK(scene.counted("dependency_edges") == 0);
  CHECK(scene.is_fresh(source));
  CHECK(scene.counted("keys_known") == 1);
}

TEST_CASE("who invalidates again what another one's invalidation is still busy with is answered after it (L6)") {
  Settings settings;
  settings.invalidated_per_step_max = 2;
  Dependent scene(settings);
  const std::uint64_t of_source = scene.put_source();
  for (int i = 0; i < 9; ++i) scene.put_on(key_of("chart", i), {{source, of_source}});
  const auto fresh = [&] {
    int count = 0;
    for (int i = 0; i < 9; ++i) count += scene.is_fresh(key_of("chart", i)) ? 1 : 0;
    return count;
  };
  bool soft = true;
  SUBCASE("softly, the same key") {}
  SUBCASE("hard, the same key") { soft = false; }
  const auto first = scene.ask(scene.a, protocol::Invalidate{key_scope(source), soft});
  REQUIRE_FALSE(scene.has_reply(scene.a, first));
  const auto second = scene.ask(scene.admin, protocol::Invalidate{key_scope(source), soft});
  for (int steps = 0; !scene.has_reply(scene.admin, second); ++steps) {
    REQUIRE(steps < 100);
    scene.step(Ticked{});
  }
  CHECK(fresh() == 0);
  scene.pass(0s);
  CHECK(scene.has_reply(scene.a, first));
}
