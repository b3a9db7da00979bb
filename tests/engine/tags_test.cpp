// Values with tags: who is meant by an invalidation of one, and what becomes of a computation that has it.
#include "engine/directory.hpp"
#include "engine/tag_fences.hpp"
#include "scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

struct Tagged : Scene {
  explicit Tagged(Settings settings_ = {}) : Scene(std::move(settings_)) {}
  protocol::Published put_tagged(const std::string& of, std::vector<std::string> tags, std::uint64_t grace_ms = 0) {
    return take<protocol::Published>(a, ask(a, protocol::Put{of, value("old"), {.ttl_ms = 0, .grace_ms = grace_ms, .tags = std::move(tags)}}));
  }
  protocol::Published publish_tagged(ConnectionId from, protocol::Token token, const std::string& bytes, std::vector<std::string> tags) {
    return take<protocol::Published>(from, ask(from, protocol::Publish{token, value(bytes), {.ttl_ms = 0, .tags = std::move(tags)}}));
  }
  std::uint64_t invalidate(const std::string& tag, bool soft = false) {
    return take<protocol::Done>(admin, ask(admin, protocol::Invalidate{tag_scope(tag), soft})).count;
  }
  std::vector<std::string> explain(const std::string& of) {
    return take<protocol::Explanation>(admin, ask(admin, protocol::Explain{of})).lines;
  }
  bool explains(const std::string& of, const std::string& line) {
    const std::vector<std::string> lines = explain(of);
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& one) { return one.find(line) != std::string::npos; });
  }

  ConnectionId a = connect(), b = connect(), c = connect(), admin = connect("pid 9 (oncectl)");
};

}  // namespace

TEST_CASE("an invalidation of a tag drops the values that have it, and no other (L6)") {
  Tagged scene;
  scene.put_tagged(chart_key, {"blue", "round"});
  scene.put_tagged(other_key, {"round", "round"});
  scene.put_tagged(key_of("plain"), {});
  CHECK(scene.explains(chart_key, "tags: blue, round"));
  CHECK(scene.counted("tags_known") == 2);
  CHECK(scene.invalidate("blue") == 1);
  CHECK_FALSE(scene.store.visible(chart_key));
  CHECK(scene.store.visible(other_key));
  CHECK(scene.explains(chart_key, "by pid 9 (oncectl) through its tag blue"));
  CHECK(scene.invalidate("blue") == 0);
  CHECK(scene.invalidate("unknown") == 0);
  CHECK(scene.invalidate("round") == 1);
  CHECK(scene.store.records.size() == 1);
  CHECK(scene.counted("tags_known") == 0);
  CHECK(scene.counted("keys_known") == 1);
}

TEST_CASE("a value has the tags it was stored with last") {
  Tagged scene;
  scene.put_tagged(chart_key, {"blue"});
  scene.put_tagged(chart_key, {"red"});
  CHECK(scene.invalidate("blue") == 0);
  CHECK(scene.store.visible(chart_key));
  CHECK(scene.invalidate("red") == 1);
}

TEST_CASE("a soft invalidation of a tag makes the values that have it stale") {
  Tagged scene;
  scene.put_tagged(chart_key, {"blue"}, 1000);
  CHECK(scene.invalidate("blue", true) == 1);
  CHECK(scene.invalidate("blue", true) == 0);
  auto tolerant = scene.acquire(chart_key);
  tolerant.accept_stale = true;
  CHECK(scene.take<protocol::Lease>(scene.a, scene.ask(scene.a, tolerant)).cause == LeaseCause::stale);
  CHECK(scene.take<protocol::Value>(scene.b, scene.ask(scene.b, tolerant)).stale);
}

TEST_CASE("an invalidation of a tag detaches who computes anew what has it (L5)") {
  Tagged scene;
  scene.put_tagged(chart_key, {"blue"});
  auto forced = scene.acquire(chart_key);
  forced.force = true;
  const auto of_b = scene.ask(scene.b, forced);
  const auto token = scene.take<protocol::Lease>(scene.b, of_b).token;
  SUBCASE("while the value is there") {}
  SUBCASE("also when the value has gone meanwhile") {
    scene.settings.invalidated_per_step_max = 1;
    scene.store.records_max = 1;
    scene.put(scene.a, other_key, "in its place");
    REQUIRE_FALSE(scene.store.visible(chart_key));
  }
  scene.invalidate("blue");
  CHECK(scene.take<protocol::LeaseLost>(scene.b, of_b).why == LeaseEnd::invalidated);
  CHECK_FALSE(scene.publish_tagged(scene.b, token, "too old", {}).stored);
  (void)scene.lease(scene.c, chart_key);
}

TEST_CASE("a computation from before an invalidation whose value has the tag is not kept (L5)") {
  Tagged scene;
  const auto of_a = scene.ask(scene.a, scene.acquire(chart_key));
  const auto token = scene.take<protocol::Lease>(scene.a, of_a).token;
  const auto watcher = scene.ask(scene.admin, protocol::Subscribe{key_scope(chart_key), 0, 0});
  const auto before = scene.ask(scene.b, scene.acquire(chart_key));
  bool soft = false;
  SUBCASE("after a hard one") {}
  SUBCASE("after a soft one") { soft = true; }
  CHECK(scene.invalidate("blue", soft) == 0);
  const auto after = scene.ask(scene.c, scene.acquire(chart_key));
  CHECK_FALSE(scene.publish_tagged(scene.a, token, "too old", {"red", "blue"}).stored);
  CHECK(scene.take<protocol::LeaseLost>(scene.a, of_a).why == LeaseEnd::invalidated);
  CHECK(scene.inline_bytes(scene.b, before) == "too old");  // it had asked before
  CHECK(scene.explains(chart_key, "being computed"));
  const auto lease = scene.take<protocol::Lease>(scene.c, after);  // it had not
  CHECK(lease.cause == LeaseCause::abandoned);
  CHECK(scene.events(scene.admin, watcher) == std::vector{SignalEvent::abandoned, SignalEvent::started});
  CHECK_FALSE(scene.store.visible(chart_key));
  CHECK(scene.publish_tagged(scene.c, lease.token, "new", {"blue"}).stored);
}

TEST_CASE("a computation is told why its value was not kept") {
  Tagged scene;
  const auto token = scene.lease(scene.a, chart_key);
  scene.invalidate("blue");
  scene.publish_tagged(scene.a, token, "too old", {"blue"});
  CHECK(scene.explains(chart_key, "its tag blue was invalidated while it was computed"));
}

TEST_CASE("what has other tags, or began after the invalidation, is kept") {
  Tagged scene;
  const auto of_old = scene.lease(scene.a, other_key);
  scene.invalidate("blue");
  const auto of_new = scene.lease(scene.a, chart_key);
  CHECK(scene.publish_tagged(scene.a, of_new, "new", {"blue"}).stored);
  CHECK(scene.publish_tagged(scene.a, of_old, "red", {"red"}).stored);
  const auto again = scene.lease(scene.a, key_of("third"));
  CHECK(scene.publish_tagged(scene.a, again, "x", {"blue"}).stored);
  scene.lease(scene.a, key_of("fourth"));
  scene.invalidate("blue");
  scene.put_tagged(chart_key, {"blue"});  // a Put is as new as it comes
  CHECK(scene.store.visible(chart_key));
}

TEST_CASE("a waiter that asked between two invalidations of tags of a value does not get it") {
  Tagged scene;
  const auto token = scene.lease(scene.a, chart_key);
  scene.invalidate("blue");
  const auto between = scene.ask(scene.b, scene.acquire(chart_key));
  scene.invalidate("red");
  scene.publish_tagged(scene.a, token, "too old", {"red", "blue"});
  (void)scene.take<protocol::Lease>(scene.b, between);
}

TEST_CASE("an invalidation of a tag is cut into steps, and answered in its turn after the last of them (L6)") {
  Settings settings;
  settings.invalidated_per_step_max = 2;
  Tagged scene(settings);
  for (int i = 0; i < 7; ++i) scene.put_tagged(key_of("chart", i), {"blue"});
  for (int i = 0; i < 3; ++i) scene.put_tagged(key_of("plain", i), {"red"});
  const auto of_blue = scene.ask(scene.admin, protocol::Invalidate{tag_scope("blue")});
  const auto of_red = scene.ask(scene.b, protocol::Invalidate{tag_scope("red")});
  CHECK(scene.store.records.size() == 8);
  CHECK_FALSE(scene.has_reply(scene.admin, of_blue));
  SUBCASE("what is put meanwhile stays") {
    scene.put_tagged(key_of("chart", 6), {"blue"});
    scene.put_tagged(key_of("chart", 5), {"red"});
    scene.pass(0s);
    CHECK(scene.store.records.size() == 2);
  }
  SUBCASE("what is asked for meanwhile is gone already") {
    for (int i = 0; i < 7; ++i) (void)scene.lease(scene.c, key_of("chart", i));
    scene.pass(0s);
    CHECK(scene.store.records.empty());
  }
  SUBCASE("each turn drops so many") {
    scene.step(Ticked{});
    CHECK(scene.store.records.size() == 6);
    scene.pass(0s);
    CHECK(scene.store.records.empty());
  }
  CHECK(scene.take<protocol::Done>(scene.admin, of_blue).count == 7);
  CHECK(scene.take<protocol::Done>(scene.b, of_red).count == 3);
  CHECK_FALSE(scene.engine.next_deadline() == scene.now);
}

// ---- what is remembered ---------------------------------------------------------------------------------------------

TEST_CASE("an invalidated tag is remembered while an older lease is under way") {
  TagFences fences(BytesHash{HashSecret{}});
  fences.add("blue", 5);
  fences.add("red", 6);
  fences.add("blue", 7);
  CHECK(fences.of({"blue"}, 4)->stamp == 5);
  CHECK(fences.of({"blue"}, 5)->stamp == 7);
  CHECK(fences.of({"blue", "red"}, 5)->stamp == 6);
  CHECK(fences.of({"blue", "red"}, 5)->tag == "red");
  CHECK_FALSE(fences.of({"blue"}, 7));
  CHECK_FALSE(fences.of({"green"}, 0));
  CHECK_FALSE(fences.of({}, 0));
  fences.forget_up_to(6);
  CHECK(fences.size() == 1);
  CHECK(fences.of({"blue"}, 6)->stamp == 7);
  fences.forget_up_to(7);
  CHECK(fences.size() == 0);
}

TEST_CASE("when too many tags were invalidated every older lease counts as invalidated, and no younger one") {
  TagFences fences(BytesHash{HashSecret{}}, 3);
  for (std::uint64_t stamp = 1; stamp <= 5; ++stamp) fences.add("tag " + std::to_string(stamp), stamp);
  CHECK(fences.size() == 3);
  const auto unknown = fences.of({"green"}, 1);  // 1 and 2 are forgotten
  REQUIRE(unknown);
  CHECK(unknown->stamp == 2);  // whoever asked before the lease could be older is told the value
  CHECK(unknown->tag.empty());
  CHECK_FALSE(fences.of({}, 1));
  CHECK_FALSE(fences.of({"green"}, 2));
  CHECK(fences.of({"tag 5"}, 2)->stamp == 5);
}

TEST_CASE("the daemon remembers no more invalidated tags than its limit, and forgets them with the leases") {
  Tagged scene;
  const auto old_lease = scene.lease(scene.a, chart_key);
  for (std::size_t i = 0; i < limits::tag_fences_max; ++i) scene.invalidate("tag " + std::to_string(i));
  const auto young_lease = scene.lease(scene.a, other_key);
  scene.invalidate("one more");
  CHECK(scene.publish_tagged(scene.a, young_lease, "x", {"green"}).stored);
  CHECK_FALSE(scene.publish_tagged(scene.a, old_lease, "x", {"green"}).stored);
  CHECK(scene.explains(chart_key, "it is forgotten which"));
}

TEST_CASE("an invalidation of a tag starts the count of deaths anew for the keys that have it, and for no other (L2)") {
  Tagged scene;
  bool soft = false;
  SUBCASE("a hard one") {}
  SUBCASE("a soft one") { soft = true; }
  for (const std::string& each : {chart_key, other_key}) scene.put_tagged(each, {each == chart_key ? "blue" : "red"});
  const auto die_computing = [&](const std::string& of) {
    const auto crashing = scene.connect();
    auto request = scene.acquire(of);
    request.force = true;
    scene.ask(crashing, request);
    scene.step(Disconnected{crashing});
  };
  for (const std::string& each : {chart_key, other_key}) {
    die_computing(each);
    die_computing(each);
    CHECK(scene.explains(each, "2 processes in a row died"));
  }
  CHECK(scene.invalidate("blue", soft) == 1);
  CHECK_FALSE(scene.explains(chart_key, "died"));
  CHECK(scene.explains(other_key, "2 processes in a row died"));
  die_computing(chart_key);
  die_computing(other_key);
  CHECK_FALSE(scene.explains(chart_key, "holders died in a row"));
  CHECK(scene.explains(other_key, "holders died in a row"));
}
