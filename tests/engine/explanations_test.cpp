#include <onced/protocol/session.hpp>

#include "blob_scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

std::vector<std::string> explain(Scene& scene, ConnectionId from) {
  return scene.take<protocol::Explanation>(from, scene.ask(from, protocol::Explain{chart_key})).lines;
}
}  // namespace

TEST_CASE("explain says in sentences how it is with a key, and how it went") {
  Scene scene;
  const auto a = scene.connect("pid 41 (gunicorn)");
  CHECK(explain(scene, a) == std::vector<std::string>{"never computed since the daemon, or its namespace, began"});
  const auto token = scene.lease(a, chart_key);
  scene.now += 3400ms;
  scene.ask(a, protocol::Progress{token, 0.5, "half"});
  {
    const auto b = scene.connect();
    const auto waiting = scene.ask(b, scene.acquire(chart_key));
    CHECK(explain(scene, a).back() == "1 request waits for it");
    scene.ask(b, protocol::Withdraw{waiting});
  }
  CHECK(explain(scene, a) == std::vector<std::string>{"being computed for 3.4 s by pid 41 (gunicorn)", "50 % done: half",
                                                      "its lease ends in 60 min at the latest"});
  scene.publish(a, token, std::string(1229, 'x'), 60'000);
  scene.now += 12s;
  CHECK(explain(scene, a) == std::vector<std::string>{"ready, stored 12 s ago, 1.2 KiB, computed in 3.4 s by pid 41 (gunicorn)",
                                                      "fresh for another 48 s"});
  SUBCASE("expired") {
    scene.pass(60s);
    CHECK(explain(scene, a) == std::vector<std::string>{"expired 12 s ago"});
  }
  SUBCASE("invalidated") {
    scene.ask(a, protocol::Invalidate{key_scope(chart_key)});
    scene.now += 3s;
    CHECK(explain(scene, a) == std::vector<std::string>{"invalidated 3.0 s ago by pid 41 (gunicorn)"});
  }
  SUBCASE("evicted") {
    scene.store.records_max = 1;
    scene.put(a, key_of("other"), "value");
    scene.now += 3s;
    CHECK(explain(scene, a) == std::vector<std::string>{"evicted 3.0 s ago because the arena was full; it cost 3.4 s, last known use 12 s before"});
  }
  SUBCASE("failed") {
    auto forced = scene.acquire(chart_key);
    scene.ask(a, protocol::Invalidate{key_scope(chart_key)});
    scene.ask(a, protocol::Fail{scene.take<protocol::Lease>(a, scene.ask(a, forced)).token, "no input", 10'000});
    scene.now += 2s;
    CHECK(explain(scene, a) == std::vector<std::string>{"failed 2.0 s ago: no input"});
  }
}

TEST_CASE("once something was forgotten, explain says how far back it knows what was there") {
  Scene scene;
  scene.store.records_max = 1;
  const auto a = scene.connect();
  const auto evict = [&](int count) {
    for (int i = 0; i < count; ++i) scene.put(a, key_of("other", i), "value");
  };
  scene.put(a, chart_key, "value");
  evict(4097);
  CHECK(explain(scene, a).front().starts_with("nothing is known of it: it had no value in the last 0.0 us, and"));
  scene.now += 12s;
  CHECK(explain(scene, a) == std::vector<std::string>{"nothing is known of it: it had no value in the last 12 s, and what was before that is forgotten"});
  scene.now += 3s;
  scene.put(a, chart_key, "value");
  evict(1);
  CHECK(explain(scene, a).front().starts_with("evicted 0.0 us ago"));
}

TEST_CASE("the first line of a stale value says that it is stale, as its row does") {
  Scene scene;
  const auto a = scene.connect();
  scene.ask(a, protocol::Put{chart_key, Scene::value("value"), {.ttl_ms = 1000, .grace_ms = 60'000}});
  CHECK(explain(scene, a).front().starts_with("ready, stored "));
  scene.pass(5s);
  const auto explained = scene.take<protocol::Explanation>(a, scene.ask(a, protocol::Explain{chart_key}));
  CHECK(explained.row.stale);
  CHECK(explained.lines.front().starts_with("stale, stored "));
}

TEST_CASE("explain names some of very many detached computations, so that a client takes the answer") {
  Scene scene;
  const auto a = scene.connect();
  for (int i = 0; i < 100; ++i) {
    scene.lease(a, chart_key);
    scene.ask(a, protocol::Invalidate{key_scope(chart_key)});
  }
  const auto lines = explain(scene, a);
  CHECK(lines.size() <= 64);
  CHECK(lines.back() == "so do 84 others");
}

TEST_CASE("explain knows of a computation that was invalidated while it ran") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto token = scene.lease(a, chart_key);
  scene.ask(b, protocol::Invalidate{{protocol::ScopeKind::key, chart_key}});
  CHECK(explain(scene, b).back().find("a computation of before its invalidation still runs") != std::string::npos);
  CHECK_FALSE(scene.publish(a, token, "old").stored);
  const std::string line = explain(scene, b).at(0);
  CAPTURE(line);
  CHECK(line.starts_with("computed "));
  CHECK(line.find("but not kept: ") != std::string::npos);
  CHECK(line.find("invalidated") != std::string::npos);
  SUBCASE("not where a value is there by now") {
    const auto again = scene.lease(a, chart_key);
    scene.ask(b, protocol::Invalidate{{protocol::ScopeKind::key, chart_key}});
    scene.put(b, chart_key, "new");
    scene.publish(a, again, "old");
    CHECK(explain(scene, b).at(0).starts_with("ready"));
  }
}

TEST_CASE("explain says that memory for a value was refused, to whom and why") {
  BlobScene scene(with_budget(10'000));
  const auto a = scene.connect("pid 41 (gunicorn)"), b = scene.connect("pid 9 (oncectl)");
  scene.reserve(b, 8000);
  const auto contains = [](const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; };
  const std::string refused = "not kept 3.0 s ago: memory for it was refused to pid 41 (gunicorn): no room for a blob of 4.9 KiB: 7.8 KiB of blobs are reserved";
  const auto try_to_put = [&](const std::string& of) {
    CHECK(scene.refused(a, scene.ask_to_reserve(a, 5000, true, of)) == ErrorCode::out_of_memory);
    scene.now += 3s;
  };
  SUBCASE("of a key that has no value") {
    try_to_put(chart_key);
    const auto lines = explain(scene, b);
    REQUIRE(lines.size() == 1);
    CAPTURE(lines.front());
    CHECK(lines.front().starts_with(refused));
    CHECK(contains(lines.front(), "(the setting blobs)"));
  }
  SUBCASE("of one that goes on having its former value, until a newer one is stored") {
    scene.put(a, chart_key, "old");
    scene.now += 1s;
    try_to_put(chart_key);
    CHECK(explain(scene, b).back().starts_with("a newer value was " + refused));
    scene.put(a, chart_key, "new");
    for (const std::string& line : explain(scene, b)) CHECK_FALSE(contains(line, "refused"));
  }
  SUBCASE("of the one that it was for, and no other") {
    try_to_put(key_of("other"));
    try_to_put({});
    CHECK(explain(scene, b) == std::vector<std::string>{"never computed since the daemon, or its namespace, began"});
  }
  SUBCASE("of a session's, by who has opened the session") {
    const auto session = scene.new_session(b);
    const std::string of_session(KeyBuilder("chart", "", session.number).add(0).build().value().bytes());
    const auto line = [&] { return scene.take<protocol::Explanation>(b, scene.ask(b, protocol::Explain{of_session})).lines.front(); };
    try_to_put(of_session);
    CHECK(line() == "never computed since the daemon, or its namespace, began");
    scene.take<protocol::SessionOpened>(a, scene.ask(a, protocol::OpenSession{session.id}));
    try_to_put(of_session);
    CHECK(line().starts_with(refused));
  }
}
