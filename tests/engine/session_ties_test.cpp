// Sessions and what reaches out of them: values elsewhere that were computed from theirs, and turns of functions with a limit.
#include "scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

constexpr int many = 12;

struct Tied : Scene {
  explicit Tied(Settings with = {}) : Scene(std::move(with)) {}
  ConnectionId one = connect("pid 1 (one)", {0, 1});
  ConnectionId two = connect("pid 2 (two)", {0, 2});
  protocol::SessionOpened session = new_session(one);

  std::uint64_t put_on(const std::string& key, std::vector<protocol::Dependency> upstreams) {
    return take<protocol::Published>(one, ask(one, protocol::Put{key, value("v"), {.ttl_ms = 0, .depends_on = std::move(upstreams)}})).version;
  }
};

}  // namespace

TEST_CASE("what was computed from a session's values goes with them, over any number of values") {
  Tied scene;
  const std::uint64_t basket = scene.put_on(key_in(scene.session, "basket"), {});
  const std::uint64_t sum = scene.put_on(key_of("sum"), {{key_in(scene.session, "basket"), basket}});
  scene.put_on(key_of("report"), {{key_of("sum"), sum}});
  scene.put_on(key_of("other"), {});
  SUBCASE("at its end") {
    const RequestId ending = scene.ask(scene.one, protocol::EndSession{scene.session.id});
    scene.pass(1s);
    CHECK(scene.take<protocol::Done>(scene.one, ending).count == 1);
    CHECK_FALSE(scene.store.find(key_of("sum")));
    CHECK_FALSE(scene.store.find(key_of("report")));
    CHECK(scene.counted("dependants_dropped") == 2);
    CHECK(scene.counted("dependency_edges") == 0);
  }
  SUBCASE("but not at a rotation") {
    scene.ask(scene.one, protocol::RotateSession{scene.session.id});
    scene.pass(1s);
    CHECK(scene.store.visible(key_of("sum")));
    CHECK(scene.store.visible(key_of("report")));
  }
  CHECK(scene.store.visible(key_of("other")));
}

TEST_CASE("nobody makes a value depend on what is in a session that he has not opened") {
  Tied scene;
  const std::string basket = key_in(scene.session, "basket");
  const std::uint64_t version = scene.put_on(basket, {});
  const protocol::SessionOpened own = scene.new_session(scene.two);
  const auto put_of_two = [&](const std::string& key) {
    return scene.ask(scene.two, protocol::Put{key, scene.value("v"), {.ttl_ms = 0, .depends_on = {{basket, version}}}});
  };
  CHECK(scene.refused(scene.two, put_of_two(key_of("sum"))) == ErrorCode::not_permitted);
  CHECK(scene.refused(scene.two, put_of_two(key_in(own, "sum"))) == ErrorCode::not_permitted);
  const auto token = scene.lease(scene.two, key_of("sum"));
  const protocol::Publish publish{token, scene.value("v"), {.ttl_ms = 0, .depends_on = {{basket, version}}}};
  CHECK(scene.refused(scene.two, scene.ask(scene.two, publish)) == ErrorCode::not_permitted);
  CHECK(scene.counted("dependency_edges") == 0);
  // The lease is held as before, and who opens the session may.
  (void)scene.take<protocol::SessionOpened>(scene.two, scene.ask(scene.two, protocol::OpenSession{scene.session.id}));
  CHECK(scene.take<protocol::Published>(scene.two, scene.ask(scene.two, publish)).stored);
  CHECK(scene.counted("dependency_edges") == 1);
}

TEST_CASE("the end of a session is answered when all has gone that was computed from its values") {
  Settings settings;
  settings.invalidated_per_step_max = 1;
  Tied scene(settings);
  const std::uint64_t basket = scene.put_on(key_in(scene.session, "basket"), {});
  for (int i = 0; i < many; ++i) scene.put_on(key_of("sum", i), {{key_in(scene.session, "basket"), basket}});
  const RequestId ending = scene.ask(scene.one, protocol::EndSession{scene.session.id});
  int steps = 0;
  for (; !scene.has_reply(scene.one, ending); ++steps) {
    REQUIRE(steps < 10 * many);
    scene.step(Ticked{});
  }
  CHECK(steps >= many - 1);
  for (int i = 0; i < many; ++i) CHECK_FALSE(scene.store.find(key_of("sum", i)));
  scene.pass(1s);
  CHECK(scene.counted("dependency_edges") == 0);
  CHECK_FALSE(scene.engine.next_deadline().has_value());  // nothing is left to do
}

TEST_CASE("what was computed from a session's value is not kept when the session has ended meanwhile") {
  Tied scene;
  const std::uint64_t basket = scene.put_on(key_in(scene.session, "basket"), {});
  scene.ask(scene.two, protocol::OpenSession{scene.session.id});
  const protocol::Token token = scene.lease(scene.two, key_of("sum"));
  scene.ask(scene.one, protocol::EndSession{scene.session.id});
  scene.pass(1s);
  const auto published = scene.take<protocol::Published>(
      scene.two, scene.ask(scene.two, protocol::Publish{token, Scene::value("v"), {.ttl_ms = 0, .depends_on = {{key_in(scene.session, "basket"), basket}}}}));
  CHECK_FALSE(published.stored);
  CHECK_FALSE(scene.store.find(key_of("sum")));
}

TEST_CASE("a session goes though what was computed from its values names them for longer") {
  Tied scene;
  const std::string key = key_in(scene.session, "basket");
  const std::uint64_t basket = scene.put_on(key, {});
  scene.ask(scene.two, protocol::OpenSession{scene.session.id});
  scene.ask(scene.one, protocol::EndSession{scene.session.id});
  // Put without a lease, by somebody who read it long ago: whatever becomes of that value, the session's place is free.
  scene.ask(scene.two, protocol::Put{key_of("sum"), Scene::value("v"), {.ttl_ms = 0, .depends_on = {{key, basket}}}});
  scene.pass(1s);
  CHECK(scene.counted("sessions") == 0);
  for (std::size_t i = 0; i < 2 * scene.store.places; ++i) {
    const auto next = scene.new_session(scene.one);
    scene.ask(scene.one, protocol::EndSession{next.id});
  }
}

TEST_CASE("a key that is queued leaves the queue with its session's id, and who waits is told") {
  Settings settings;
  settings.max_concurrent["f"] = 1;
  Tied scene(settings);
  const protocol::Token running = scene.lease(scene.two, key_of("f", 1));
  const RequestId in_session = scene.ask(scene.one, scene.acquire(key_in(scene.session)));
  const RequestId behind = scene.ask(scene.two, scene.acquire(key_of("f", 2)));
  const RequestId watcher = scene.ask(scene.two, protocol::Subscribe{everything(), 0, 0});
  CHECK_FALSE(scene.has_reply(scene.one, in_session));
  scene.events(scene.two, watcher);
  SUBCASE("at its end") { scene.ask(scene.one, protocol::EndSession{scene.session.id}); }
  SUBCASE("at a rotation") { scene.ask(scene.one, protocol::RotateSession{scene.session.id}); }
  scene.pass(1ms);
  CHECK(scene.refused(scene.one, in_session) == ErrorCode::session_ended);
  const auto told = scene.events(scene.two, watcher);
  CHECK(std::count(told.begin(), told.end(), SignalEvent::abandoned) == 1);
  CHECK_FALSE(scene.has_reply(scene.two, behind));
  scene.publish(scene.two, running, "done");
  CHECK(scene.take<protocol::Lease>(scene.two, behind).cause == protocol::LeaseCause::queued);
}

TEST_CASE("a computation that is fenced gives its turn to who is next") {
  Settings settings;
  settings.max_concurrent["f"] = 1;
  Tied scene(settings);
  scene.lease(scene.one, key_in(scene.session));
  const RequestId behind = scene.ask(scene.two, scene.acquire(key_of("f", 2)));
  CHECK_FALSE(scene.has_reply(scene.two, behind));
  scene.ask(scene.one, protocol::EndSession{scene.session.id});
  scene.pass(1ms);
  CHECK(scene.take<protocol::Lease>(scene.two, behind).cause == protocol::LeaseCause::queued);
}
