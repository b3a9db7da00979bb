#include "scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {
const std::string key = key_of("chart");
}

TEST_CASE("after the reply to an invalidation no reader finds the value (L6)") {
  Scene scene;
  const auto a = scene.connect();
  const std::string other = key_of("other"), second = key_of("chart", 1);
  for (const std::string& each : {key, second, other}) scene.put(a, each, "value");
  SUBCASE("of a key") {
    CHECK(scene.take<protocol::Done>(a, scene.ask(a, protocol::Invalidate{key_scope(key)})).count == 1);
    CHECK_FALSE(scene.store.visible(key));
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
  const auto of_a = scene.ask(a, scene.acquire(key));
  const auto old_token = scene.take<protocol::Lease>(a, of_a).token;
  const auto of_b = scene.ask(b, scene.acquire(key));
  scene.ask(b, protocol::Invalidate{key_scope(key)});
  CHECK(scene.take<protocol::LeaseLost>(a, of_a).why == LeaseEnd::invalidated);
  const auto new_token = scene.lease(c, key);  // later requests start anew
  const auto published = scene.publish(a, old_token, "old");
  CHECK_FALSE(published.stored);
  CHECK(scene.inline_bytes(b, of_b) == "old");
  CHECK_FALSE(scene.store.visible(key));
  CHECK(scene.publish(c, new_token, "new").stored);
  CHECK(scene.inline_bytes(b, scene.ask(b, scene.acquire(key))) == "new");
}

TEST_CASE("waiters of a detached computation that dies take what the key has by then (L3, L5)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  scene.lease(a, key);
  const auto of_b = scene.ask(b, scene.acquire(key));
  scene.ask(c, protocol::Invalidate{key_scope(key)});
  SUBCASE("a lease, when nobody computes") {
    scene.step(Disconnected{a});
    CHECK(scene.take<protocol::Lease>(b, of_b).cause == LeaseCause::holder_died);
  }
  SUBCASE("the present holder's value") {
    const auto token = scene.lease(c, key);
    scene.step(Disconnected{a});
    CHECK_FALSE(scene.has_reply(b, of_b));
    scene.publish(c, token, "new");
    CHECK(scene.inline_bytes(b, of_b) == "new");
  }
  SUBCASE("the value that is there") {
    scene.publish(c, scene.lease(c, key), "new");
    scene.step(Disconnected{a});
    CHECK(scene.inline_bytes(b, of_b) == "new");
  }
}

TEST_CASE("a put answers the waiters and detaches the computation") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  const auto of_a = scene.ask(a, scene.acquire(key));
  const auto token = scene.take<protocol::Lease>(a, of_a).token;
  const auto of_b = scene.ask(b, scene.acquire(key));
  CHECK(scene.put(c, key, "put").stored);
  CHECK(scene.inline_bytes(b, of_b) == "put");
  CHECK(scene.take<protocol::LeaseLost>(a, of_a).why == LeaseEnd::superseded);
  CHECK_FALSE(scene.publish(a, token, "computed").stored);
  CHECK(scene.inline_bytes(b, scene.ask(b, scene.acquire(key))) == "put");
}

TEST_CASE("a cancellation ends the computation and is told to holder and waiters") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect("pid 9 (oncectl)");
  const auto of_a = scene.ask(a, scene.acquire(key));
  const auto token = scene.take<protocol::Lease>(a, of_a).token;
  const auto of_b = scene.ask(b, scene.acquire(key));
  CHECK(scene.take<protocol::Done>(c, scene.ask(c, protocol::Cancel{function_scope("chart")})).count == 1);
  CHECK(scene.take<protocol::LeaseLost>(a, of_a).why == LeaseEnd::cancelled);
  CHECK(scene.take<protocol::Cancelled>(b, of_b).text == "cancelled by pid 9 (oncectl)");
  CHECK(scene.refused(a, scene.ask(a, protocol::Publish{token, Scene::value("x"), 0})) == ErrorCode::unknown_token);
  CHECK(scene.take<protocol::Done>(c, scene.ask(c, protocol::Cancel{everything()})).count == 0);
}

TEST_CASE("a cancellation also ends computations that were detached before") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  scene.lease(a, key);
  const auto of_b = scene.ask(b, scene.acquire(key));
  scene.ask(b, protocol::Invalidate{key_scope(key)});
  CHECK(scene.take<protocol::Done>(b, scene.ask(b, protocol::Cancel{key_scope(key)})).count == 1);
  scene.take<protocol::Cancelled>(b, of_b);
  CHECK(scene.counted("detached_leases") == 0);
}
