#include "engine/directory.hpp"
#include "engine/invalidations.hpp"
#include "scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {
}

TEST_CASE("after the reply to an invalidation no reader finds the value (L6)") {
  Scene scene;
  const auto a = scene.connect();
  const std::string other = key_of("other"), second = key_of("chart", 1);
  for (const std::string& each : {chart_key, second, other}) scene.put(a, each, "value");
  SUBCASE("of a key") {
    CHECK(scene.take<protocol::Done>(a, scene.ask(a, protocol::Invalidate{key_scope(chart_key)})).count == 1);
    CHECK_FALSE(scene.store.visible(chart_key));
    CHECK(scene.store.visible(second));
  }
  SUBCASE("of a function") {
    CHECK(scene.take<protocol::Done>(a, scene.ask(a, protocol::Invalidate{function_scope("chart")})).count == 2);
    CHECK_FALSE(scene.store.visible(second));
    CHECK(scene.store.visible(other));
  }
  SUBCASE("of everything") {
    CHECK(scene.take<protocol::Done>(a, scene.ask(a, protocol::Invalidate{everything()})).count == 3);
    CHECK(scene.store.records.empty());
  }
  SUBCASE("of what is not there") {
    CHECK(scene.take<protocol::Done>(a, scene.ask(a, protocol::Invalidate{function_scope("nothing")})).count == 0);
    CHECK(scene.store.records.size() == 3);
  }
}

TEST_CASE("an invalidation detaches a computation: its value reaches those who waited, and is not kept (L5)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  const auto of_a = scene.ask(a, scene.acquire(chart_key));
  const auto old_token = scene.take<protocol::Lease>(a, of_a).token;
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  scene.ask(b, protocol::Invalidate{key_scope(chart_key)});
  CHECK(scene.take<protocol::LeaseLost>(a, of_a).why == LeaseEnd::invalidated);
  const auto new_token = scene.lease(c, chart_key);  // later requests start anew
  const auto published = scene.publish(a, old_token, "old");
  CHECK_FALSE(published.stored);
  CHECK(scene.inline_bytes(b, of_b) == "old");
  CHECK_FALSE(scene.store.visible(chart_key));
  CHECK(scene.publish(c, new_token, "new").stored);
  CHECK(scene.inline_bytes(b, scene.ask(b, scene.acquire(chart_key))) == "new");
}

TEST_CASE("waiters of a detached computation that dies take what the key has by then (L3, L5)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  scene.lease(a, chart_key);
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  scene.ask(c, protocol::Invalidate{key_scope(chart_key)});
  SUBCASE("a lease, when nobody computes") {
    scene.step(Disconnected{a});
    CHECK(scene.take<protocol::Lease>(b, of_b).cause == LeaseCause::holder_died);
  }
  SUBCASE("the present holder's value") {
    const auto token = scene.lease(c, chart_key);
    scene.step(Disconnected{a});
    CHECK_FALSE(scene.has_reply(b, of_b));
    scene.publish(c, token, "new");
    CHECK(scene.inline_bytes(b, of_b) == "new");
  }
  SUBCASE("the value that is there") {
    scene.publish(c, scene.lease(c, chart_key), "new");
    scene.step(Disconnected{a});
    CHECK(scene.inline_bytes(b, of_b) == "new");
  }
}

TEST_CASE("a put answers the waiters and detaches the computation") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  const auto of_a = scene.ask(a, scene.acquire(chart_key));
  const auto token = scene.take<protocol::Lease>(a, of_a).token;
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  CHECK(scene.put(c, chart_key, "put").stored);
  CHECK(scene.inline_bytes(b, of_b) == "put");
  CHECK(scene.take<protocol::LeaseLost>(a, of_a).why == LeaseEnd::superseded);
  CHECK_FALSE(scene.publish(a, token, "computed").stored);
  CHECK(scene.inline_bytes(b, scene.ask(b, scene.acquire(chart_key))) == "put");
}

namespace {

// A scene in which one step drops two entries.
struct LongInvalidation {
  LongInvalidation() : scene(settings()) {
    for (int i = 0; i < 7; ++i) scene.put(worker, key_of("chart", i), "old");
    scene.put(worker, key_of("other"), "old");
  }
  static Settings settings() {
    Settings settings;
    settings.invalidated_per_step_max = 2;
    return settings;
  }
  RequestId begin() { return scene.ask(admin, protocol::Invalidate{function_scope("chart")}); }
  // Runs the steps that the engine asks for; nothing else happens and no time passes.
  std::uint64_t end(RequestId invalidation) {
    while (!scene.has_reply(admin, invalidation)) {
      REQUIRE(scene.engine.next_deadline() == scene.now);
      scene.step(Ticked{});
    }
    return scene.take<protocol::Done>(admin, invalidation).count;
  }
  std::size_t stored() const { return scene.store.records.size(); }

  Scene scene;
  ConnectionId worker = scene.connect(), other = scene.connect(), admin = scene.connect("pid 9 (oncectl)");
};

}  // namespace

TEST_CASE("an invalidation of many keys is cut into steps, and answered after the last of them (L6)") {
  LongInvalidation long_one;
  Scene& scene = long_one.scene;
  const auto id = long_one.begin();
  CHECK(long_one.stored() == 6);
  CHECK_FALSE(scene.has_reply(long_one.admin, id));
  scene.step(Ticked{});
  CHECK(long_one.stored() == 4);
  scene.ask(long_one.worker, protocol::GetStatus{});  // only a turn of its own drops more
  CHECK(long_one.stored() == 4);
  CHECK(long_one.end(id) == 7);
  CHECK(long_one.stored() == 1);
  CHECK(scene.store.visible(key_of("other")));
  CHECK_FALSE(scene.engine.next_deadline());
  CHECK(scene.counted("invalidations") == 7);
}

TEST_CASE("what is published after an invalidation has arrived survives it") {
  LongInvalidation long_one;
  Scene& scene = long_one.scene;
  const auto id = long_one.begin();
  for (int i = 0; i < 7; ++i) CHECK(scene.publish(long_one.worker, scene.lease(long_one.worker, key_of("chart", i)), "new").stored);
  scene.put(long_one.worker, key_of("chart", 100), "new");
  CHECK(long_one.end(id) == 7);
  for (int i = 0; i < 7; ++i) CHECK(scene.store.visible(key_of("chart", i)));
  CHECK(scene.store.visible(key_of("chart", 100)));
}

TEST_CASE("a computation is fenced when the invalidation arrives, not when its turn comes (L5)") {
  LongInvalidation long_one;
  Scene& scene = long_one.scene;
  const std::string computed = key_of("chart", 50);
  const auto of_worker = scene.ask(long_one.worker, scene.acquire(computed));
  const auto token = scene.take<protocol::Lease>(long_one.worker, of_worker).token;
  const auto before = scene.ask(long_one.other, scene.acquire(computed));
  const auto id = long_one.begin();
  SUBCASE("its value is kept nowhere") {
    CHECK_FALSE(scene.publish(long_one.worker, token, "too old").stored);
    CHECK(scene.take<protocol::LeaseLost>(long_one.worker, of_worker).why == LeaseEnd::invalidated);
    CHECK(scene.inline_bytes(long_one.other, before) == "too old");
    CHECK_FALSE(scene.store.visible(computed));
  }
  SUBCASE("later requests begin anew") {
    CHECK(scene.publish(long_one.admin, scene.lease(long_one.admin, computed), "new").stored);
    CHECK_FALSE(scene.has_reply(long_one.other, before));
  }
  SUBCASE("its holder's death is no death of the key's holder") {
    scene.step(ProcessDied{long_one.worker});
    CHECK(scene.take<protocol::Lease>(long_one.other, before).cause == LeaseCause::holder_died);
  }
  CHECK(long_one.end(id) == 7);
}

TEST_CASE("a failure from before an invalidation is told to nobody after it") {
  LongInvalidation long_one;
  Scene& scene = long_one.scene;
  const std::string failed = key_of("chart", 50);
  scene.ask(long_one.worker, protocol::Fail{scene.lease(long_one.worker, failed), "no", 60'000});
  const auto id = long_one.begin();
  scene.lease(long_one.other, failed);
  long_one.end(id);
}

TEST_CASE("an invalidation goes on when whoever asked for it is gone") {
  LongInvalidation long_one;
  Scene& scene = long_one.scene;
  long_one.begin();
  scene.step(Disconnected{long_one.admin});
  scene.pass(0s);
  CHECK(long_one.stored() == 1);
  CHECK_FALSE(scene.engine.next_deadline());
}

TEST_CASE("invalidations under way are answered in order of arrival, and a value counts for the first that meant it") {
  LongInvalidation long_one;
  Scene& scene = long_one.scene;
  const auto of_function = long_one.begin();
  const auto of_all = scene.ask(long_one.other, protocol::Invalidate{everything()});
  const auto again = scene.ask(long_one.worker, protocol::Invalidate{function_scope("chart")});
  CHECK_FALSE(scene.has_reply(long_one.other, of_all));
  CHECK(long_one.end(of_function) == 7);
  scene.pass(0s);
  CHECK(scene.take<protocol::Done>(long_one.other, of_all).count == 1);
  CHECK(scene.take<protocol::Done>(long_one.worker, again).count == 0);
}

TEST_CASE("invalidations under way are bounded per connection") {
  LongInvalidation long_one;
  Scene& scene = long_one.scene;
  for (std::size_t i = 0; i < limits::invalidations_per_connection_max; ++i) long_one.begin();
  const auto refused = scene.take<protocol::Refused>(long_one.admin, long_one.begin());
  CHECK(refused.code == ErrorCode::limit_reached);
  CHECK(refused.text.find("invalidations_per_connection_max") != std::string::npos);
}

TEST_CASE("who waits for an invalidation is told when the daemon goes") {
  LongInvalidation long_one;
  const auto id = long_one.begin();
  long_one.scene.step(Draining{});
  CHECK(long_one.scene.refused(long_one.admin, id) == ErrorCode::unavailable);
}

TEST_CASE("functions that share a number are invalidated apart") {
  const BytesHash hash{HashSecret{}};
  FunctionTable table(hash, 1);
  SessionTable sessions(hash, 1);
  Directory directory(table, sessions, hash);
  Invalidations invalidations(table);
  Entry& a = directory.obtain(key_of("a"));
  Entry& b = directory.obtain(key_of("b"));
  REQUIRE(a.function == b.function);
  invalidations.add({.stamp = directory.next_stamp(), .function = a.function, .function_name = "a", .to = {}, .by = {}});
  CHECK(invalidations.is_due(invalidations.front(), a));
  CHECK_FALSE(invalidations.is_due(invalidations.front(), b));
  CHECK_FALSE(invalidations.is_due(invalidations.front(), directory.obtain(key_of("a", 1))));  // it came later
}
