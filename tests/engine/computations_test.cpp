#include "engine/connections.hpp"
#include "scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {
}

TEST_CASE("the first to ask gets the lease, and the others wait for its value (L1, L3)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  scene.store.mapped = {c};
  const auto token = scene.lease(a, chart_key);
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  const auto of_c = scene.ask(c, scene.acquire(chart_key));
  CHECK_FALSE(scene.has_reply(b, of_b));
  scene.now += 3s;
  const auto published = scene.publish(a, token, "bytes");
  CHECK(published.stored);
  const auto inline_value = scene.take<protocol::Value>(b, of_b);
  CHECK(inline_value.parts.at(0).bytes == "bytes");
  CHECK(inline_value.waited);
  CHECK(inline_value.cost_us == 3'000'000);
  CHECK(inline_value.version == published.version);
  const auto pinned = scene.take<protocol::Value>(c, of_c);
  CHECK(pinned.record != 0);
  CHECK(pinned.pin == 512);
  CHECK(pinned.parts.empty());
}

TEST_CASE("a value that is there is answered at once, unless it is forced") {
  Scene scene;
  const auto a = scene.connect();
  scene.publish(a, scene.lease(a, chart_key), "one");
  const auto hit = scene.take<protocol::Value>(a, scene.ask(a, scene.acquire(chart_key)));
  CHECK_FALSE(hit.waited);
  auto forced = scene.acquire(chart_key);
  forced.force = true;
  const auto lease = scene.take<protocol::Lease>(a, scene.ask(a, forced));
  CHECK(lease.cause == LeaseCause::forced);
  CHECK(scene.store.visible(chart_key));  // the old value is good until the new one is there
  CHECK(scene.publish(a, lease.token, "two").version > hit.version);
  CHECK(scene.inline_bytes(a, scene.ask(a, scene.acquire(chart_key))) == "two");
}

TEST_CASE("a publish with an old token is refused and changes nothing (L1)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto token = scene.lease(a, chart_key);
  scene.publish(a, token, "one");
  CHECK(scene.refused(a, scene.ask(a, protocol::Publish{token, Scene::value("again"), 0})) == ErrorCode::unknown_token);
  CHECK(scene.refused(b, scene.ask(b, protocol::Fail{token, "no", 0})) == ErrorCode::unknown_token);
  CHECK(scene.refused(b, scene.ask(b, protocol::Abandon{token})) == ErrorCode::unknown_token);
  CHECK(scene.inline_bytes(b, scene.ask(b, scene.acquire(chart_key))) == "one");
}

TEST_CASE("a token of another connection or another epoch is refused (L1)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  auto token = scene.lease(a, chart_key);
  CHECK(scene.refused(b, scene.ask(b, protocol::Publish{token, Scene::value("mine"), 0})) == ErrorCode::unknown_token);
  token.epoch += 1;
  CHECK(scene.refused(a, scene.ask(a, protocol::Publish{token, Scene::value("mine"), 0})) == ErrorCode::unknown_token);
  CHECK_FALSE(scene.store.visible(chart_key));
}

TEST_CASE("a lease that ends without a result goes to the longest waiter that can compute (L2)") {
  Scene scene;
  const auto a = scene.connect(), passive = scene.connect(), b = scene.connect(), c = scene.connect();
  const auto token = scene.lease(a, chart_key);
  auto only_wait = scene.acquire(chart_key);
  only_wait.may_compute = false;
  const auto of_passive = scene.ask(passive, only_wait);
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  const auto of_c = scene.ask(c, scene.acquire(chart_key));
  LeaseCause expected = LeaseCause::abandoned;
  SUBCASE("abandoned") { scene.take<protocol::Done>(a, scene.ask(a, protocol::Abandon{token})); }
  SUBCASE("hang-up") {
    expected = LeaseCause::holder_died;
    scene.step(Disconnected{a});
  }
  SUBCASE("process died while a child keeps the socket") {
    expected = LeaseCause::holder_died;
    scene.step(ProcessDied{a});
    scene.step(Requested{a, 1000, protocol::Publish{token, Scene::value("late"), 0}});
    CHECK_FALSE(scene.has_reply(a, 1000));
  }
  const auto lease = scene.take<protocol::Lease>(b, of_b);
  CHECK(lease.take_up);
  CHECK(lease.cause == expected);
  CHECK(lease.token > token);
  CHECK_FALSE(scene.has_reply(passive, of_passive));
  CHECK_FALSE(scene.has_reply(c, of_c));
  scene.publish(b, lease.token, "value");  // counts as taking up
  CHECK(scene.inline_bytes(passive, of_passive) == "value");
  CHECK(scene.inline_bytes(c, of_c) == "value");
}

TEST_CASE("who does not take up a lease within the deadline is passed over (L2)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  const auto token = scene.lease(a, chart_key);
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  const auto of_c = scene.ask(c, scene.acquire(chart_key));
  scene.ask(a, protocol::Abandon{token});
  const auto passed = scene.take<protocol::Lease>(b, of_b);
  scene.pass(999ms);
  CHECK_FALSE(scene.has_reply(c, of_c));
  scene.pass(1ms);
  CHECK(scene.take<protocol::LeaseLost>(b, of_b).why == LeaseEnd::not_taken_up);
  const auto next = scene.take<protocol::Lease>(c, of_c);
  CHECK(next.cause == LeaseCause::not_taken_up);
  scene.ask(b, protocol::TakeUp{passed.token});  // too late
  scene.ask(c, protocol::TakeUp{next.token});
  scene.pass(10s);
  CHECK(scene.publish(c, next.token, "value").stored);
  CHECK(scene.counted("regrants_not_taken_up") == 1);
  CHECK(scene.counted("holder_deaths") == 0);
}

TEST_CASE("a holder whose limit has passed loses the lease and its publish is refused (L2)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  auto limited = scene.acquire(chart_key);
  limited.lease_limit_ms = 500;
  const auto of_a = scene.ask(a, limited);
  const auto token = scene.take<protocol::Lease>(a, of_a).token;
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  scene.pass(500ms);
  CHECK(scene.take<protocol::LeaseLost>(a, of_a).why == LeaseEnd::limit_passed);
  CHECK(scene.take<protocol::Lease>(b, of_b).cause == LeaseCause::limit_passed);
  CHECK(scene.refused(a, scene.ask(a, protocol::Publish{token, Scene::value("late"), 0})) == ErrorCode::unknown_token);
}

TEST_CASE("three holders dead in a row are a failure for everybody who waits, and for a while (L2)") {
  Scene scene;
  std::vector<ConnectionId> crashing{scene.connect("pid 1"), scene.connect("pid 2"), scene.connect("pid 3")};
  const auto waiting = scene.connect(), later = scene.connect();
  for (const auto connection : crashing) scene.ask(connection, scene.acquire(chart_key));
  const auto of_waiting = scene.ask(waiting, scene.acquire(chart_key));
  for (const auto connection : crashing) {
    CHECK_FALSE(scene.has_reply(waiting, of_waiting));
    scene.step(Disconnected{connection});
  }
  const auto failure = scene.take<protocol::Failure>(waiting, of_waiting);
  CHECK(failure.text ==
        "3 holders died in a row while computing chart(0); the last was pid 3; it fails for 60 s unless it is forced, put or invalidated");
  scene.pass(59s);
  CHECK(scene.take<protocol::Failure>(later, scene.ask(later, scene.acquire(chart_key))).age_ms == 59'000);
  scene.pass(1s);
  scene.lease(later, chart_key);
}

TEST_CASE("processes that a supervisor starts one after the other do not die of one key for ever (L2)") {
  Scene scene;
  const auto other = scene.connect();
  const auto crash = [&](std::uint32_t pid) {
    const auto connection = scene.connect("pid " + std::to_string(pid), {1000, pid});
    scene.lease(connection, chart_key);  // nobody else waits for it
    scene.step(ProcessDied{connection});
    scene.step(Disconnected{connection});
  };
  crash(1);
  scene.pass(20s);
  crash(2);
  scene.pass(20s);
  SUBCASE("the third is the last") {
    crash(3);
    scene.take<protocol::Failure>(other, scene.ask(other, scene.acquire(chart_key)));
  }
  SUBCASE("unless a value comes between") {
    scene.publish(other, scene.lease(other, chart_key), "value");
    scene.ask(other, protocol::Invalidate{key_scope(chart_key)});
    crash(3);
    scene.lease(other, chart_key);
  }
  SUBCASE("unless the key is invalidated") {
    scene.ask(other, protocol::Invalidate{key_scope(chart_key)});
    crash(3);
    scene.lease(other, chart_key);
  }
  SUBCASE("unless its function is invalidated") {
    scene.ask(other, protocol::Invalidate{function_scope("chart")});
    crash(3);
    scene.lease(other, chart_key);
  }
  SUBCASE("unless it was long ago") {
    scene.pass(41s);
    crash(3);
    scene.lease(other, chart_key);
  }
  SUBCASE("and one more when somebody insists") {
    crash(3);
    auto forced = scene.acquire(chart_key);
    forced.force = true;
    const auto insisting = scene.connect("pid 4", {1000, 4});
    scene.take<protocol::Lease>(insisting, scene.ask(insisting, forced));
    scene.step(Disconnected{insisting});
    scene.take<protocol::Failure>(other, scene.ask(other, scene.acquire(chart_key)));
  }
}

TEST_CASE("a process that dies with several connections is one dead holder (L2)") {
  Scene scene;
  std::vector<ConnectionId> of_one;
  for (int i = 0; i < 4; ++i) of_one.push_back(scene.connect("pid 1", {1000, 1}));
  const auto good = scene.connect("pid 2", {1000, 2});
  for (const auto connection : of_one) scene.ask(connection, scene.acquire(chart_key));
  const auto of_good = scene.ask(good, scene.acquire(chart_key));
  for (const auto connection : of_one) scene.step(ProcessDied{connection});
  CHECK(scene.take<protocol::Lease>(good, of_good).cause == LeaseCause::holder_died);
}

TEST_CASE("a pid that is used again is another process, and connections without one are processes of their own") {
  Connections connections;
  Connection& first = connections.add(ConnectionId{1}, "", {1000, 7});
  Connection& second = connections.add(ConnectionId{2}, "", {1000, 7});
  CHECK(first.process_number == second.process_number);
  CHECK(connections.add(ConnectionId{3}, "", {1001, 7}).process_number != first.process_number);
  connections.set_gone(first);
  connections.set_gone(first);
  CHECK(connections.add(ConnectionId{4}, "", {1000, 7}).process_number == second.process_number);
  connections.set_gone(second);
  connections.set_gone(connections.at(ConnectionId{4}));
  CHECK(connections.add(ConnectionId{5}, "", {1000, 7}).process_number != second.process_number);
  CHECK(connections.add(ConnectionId{6}, "", {1000, 0}).process_number != connections.add(ConnectionId{7}, "", {1000, 0}).process_number);
}

TEST_CASE("a value between two deaths starts the count of deaths anew (L2)") {
  Scene scene;
  std::vector<ConnectionId> crashing{scene.connect(), scene.connect(), scene.connect()};
  const auto good = scene.connect();
  scene.ask(crashing[0], scene.acquire(chart_key));
  scene.ask(crashing[1], scene.acquire(chart_key));
  const auto of_good = scene.ask(good, scene.acquire(chart_key));
  scene.step(Disconnected{crashing[0]});
  scene.step(Disconnected{crashing[1]});
  scene.publish(good, scene.take<protocol::Lease>(good, of_good).token, "value");
  auto forced = scene.acquire(chart_key);
  forced.force = true;
  scene.ask(crashing[2], forced);
  const auto again = scene.ask(good, forced);
  scene.step(Disconnected{crashing[2]});
  CHECK(scene.take<protocol::Lease>(good, again).cause == LeaseCause::holder_died);
}

TEST_CASE("a waiter's own deadline is answered with the name of the holder (L3)") {
  Scene scene;
  const auto a = scene.connect("pid 4711 (gunicorn)"), b = scene.connect();
  scene.lease(a, chart_key);
  scene.pass(2s);
  const auto of_b = scene.ask(b, scene.acquire(chart_key, 5000));
  scene.pass(4999ms);
  CHECK_FALSE(scene.has_reply(b, of_b));
  scene.pass(1ms);
  const auto refused = scene.take<protocol::Refused>(b, of_b);
  CHECK(refused.code == ErrorCode::timed_out);
  CHECK(refused.text == "waited 5.0 s; pid 4711 (gunicorn) has been computing chart(0) for 7.0 s");
}

TEST_CASE("who does not want to wait is told who computes") {
  Scene scene;
  const auto a = scene.connect("pid 4711 (gunicorn)"), b = scene.connect();
  scene.lease(a, chart_key);
  const auto refused = scene.take<protocol::Refused>(b, scene.ask(b, scene.acquire(chart_key, 0)));
  CHECK(refused.code == ErrorCode::timed_out);
  CHECK(refused.text.find("pid 4711 (gunicorn)") == 0);
}

TEST_CASE("who only waits also waits for a key that nobody computes yet (L3)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  auto only_wait = scene.acquire(chart_key, 10'000);
  only_wait.may_compute = false;
  SUBCASE("and gets the value of a later computation") {
    const auto waits = scene.ask(b, only_wait);
    const auto token = scene.lease(a, chart_key);
    scene.publish(a, token, "value");
    CHECK(scene.inline_bytes(b, waits) == "value");
  }
  SUBCASE("and gets a value that is put") {
    const auto waits = scene.ask(b, only_wait);
    scene.put(a, chart_key, "put");
    CHECK(scene.inline_bytes(b, waits) == "put");
  }
  SUBCASE("until its deadline") {
    const auto waits = scene.ask(b, only_wait);
    scene.pass(10s);
    CHECK(scene.refused(b, waits) == ErrorCode::timed_out);
  }
  SUBCASE("but not when it does not want to wait") {
    only_wait.wait_ms = 0;
    CHECK(scene.refused(b, scene.ask(b, only_wait)) == ErrorCode::not_found);
  }
}

TEST_CASE("a lease that was granted before its withdrawal was read ends as abandoned") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto of_a = scene.ask(a, scene.acquire(chart_key));
  const auto token = scene.take<protocol::Lease>(a, of_a).token;
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  scene.ask(b, protocol::Withdraw{of_a});  // another connection's number means nothing
  CHECK_FALSE(scene.has_reply(b, of_b));
  scene.ask(a, protocol::Withdraw{of_a});
  CHECK(scene.take<protocol::Lease>(b, of_b).cause == LeaseCause::abandoned);
  CHECK(scene.refused(a, scene.ask(a, protocol::Abandon{token})) == ErrorCode::unknown_token);
  CHECK_FALSE(scene.has_reply(b, of_b));
}

TEST_CASE("a withdrawn request is not answered") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto token = scene.lease(a, chart_key);
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  scene.ask(b, protocol::Withdraw{of_b});
  scene.publish(a, token, "value");
  CHECK_FALSE(scene.has_reply(b, of_b));
}

TEST_CASE("one failure is told to all waiters and stays an answer for its time-to-live (L4)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  const auto token = scene.lease(a, chart_key);
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  const auto of_c = scene.ask(c, scene.acquire(chart_key));
  scene.take<protocol::Done>(a, scene.ask(a, protocol::Fail{token, "division by zero", 1000}));
  CHECK(scene.take<protocol::Failure>(b, of_b).text == "division by zero");
  CHECK(scene.take<protocol::Failure>(c, of_c).text == "division by zero");
  scene.pass(300ms);
  CHECK(scene.take<protocol::Failure>(b, scene.ask(b, scene.acquire(chart_key))).age_ms == 300);
  SUBCASE("then it is forgotten") {
    scene.pass(700ms);
    scene.lease(b, chart_key);
  }
  SUBCASE("unless an invalidation comes first") {
    scene.ask(b, protocol::Invalidate{key_scope(chart_key)});
    scene.lease(b, chart_key);
  }
  SUBCASE("or somebody insists") {
    auto forced = scene.acquire(chart_key);
    forced.force = true;
    scene.take<protocol::Lease>(b, scene.ask(b, forced));
    CHECK_FALSE(scene.has_reply(c, scene.ask(c, scene.acquire(chart_key))));  // waits like anybody
  }
}

TEST_CASE("a failure without time-to-live is told to the present waiters only (L4)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto token = scene.lease(a, chart_key);
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  scene.ask(a, protocol::Fail{token, "no", 0});
  scene.take<protocol::Failure>(b, of_b);
  scene.lease(b, chart_key);
}

TEST_CASE("requests that are in flight twice, and a second HELLO, end the connection") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  scene.lease(a, chart_key);
  const auto waits = scene.ask(b, scene.acquire(chart_key));
  scene.step(Requested{b, waits, scene.acquire(chart_key)});
  REQUIRE(scene.closed.size() == 1);
  CHECK(scene.closed[0].find("is in flight already") != std::string::npos);
  scene.ask(a, protocol::Hello{});
  CHECK(scene.closed.size() == 2);
}

TEST_CASE("waiters above the limit are refused with the name of the setting") {
  Settings settings;
  settings.waiters_per_key_max = 2;
  Scene scene(settings);
  const auto a = scene.connect(), b = scene.connect();
  scene.lease(a, chart_key);
  scene.ask(b, scene.acquire(chart_key));
  scene.ask(b, scene.acquire(chart_key));
  const auto refused = scene.take<protocol::Refused>(b, scene.ask(b, scene.acquire(chart_key)));
  CHECK(refused.code == ErrorCode::limit_reached);
  CHECK(refused.text.find("waiters_per_key_max") != std::string::npos);
}

TEST_CASE("leases that were handed over count for the limit of the connection that waited for them") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  constexpr auto most = limits::requests_in_flight_per_connection_max;
  Effects effects;  // without the checks of Scene::step(), which walk everything
  for (const auto from : {a, b})
    for (std::size_t i = 0; i < most; ++i)
      scene.engine.apply(Requested{from, 1'000'000 + i, scene.acquire(key_of("many", static_cast<int>(i)))}, scene.now, effects);
  scene.step(Disconnected{a});  // b has all its leases now
  scene.lease(c, chart_key);
  const auto refused = scene.take<protocol::Refused>(b, scene.ask(b, scene.acquire(chart_key)));
  CHECK(refused.code == ErrorCode::limit_reached);
  CHECK(refused.text.find("requests_in_flight_per_connection_max") != std::string::npos);
}

TEST_CASE("the key bytes that one connection, and all together, have under way are bounded") {
  Settings settings;
  const std::string long_key(KeyBuilder("f").add(std::string(1000, 'x')).build().value().bytes());
  settings.under_way_bytes_per_connection_max = 2 * long_key.size();
  settings.under_way_bytes_max = 3 * long_key.size();
  Scene scene(settings);
  const auto a = scene.connect(), b = scene.connect();
  const auto token = scene.lease(a, long_key);
  const auto waiting = scene.ask(a, scene.acquire(long_key));
  CHECK_FALSE(scene.has_reply(a, waiting));
  const auto refused = [&](ConnectionId from, const std::string& wanted) {
    const auto refusal = scene.take<protocol::Refused>(from, scene.ask(from, scene.acquire(wanted)));
    CHECK(refusal.code == ErrorCode::limit_reached);
    return refusal.text;
  };
  const std::string size = std::to_string(long_key.size());
  CHECK(refused(a, long_key) == "this connection has " + std::to_string(2 * long_key.size()) + " bytes of keys under way, this request adds " +
                                    size + "; the limit is " + std::to_string(2 * long_key.size()) +
                                    " (limits.under_way_bytes_per_connection_max)");
  CHECK(refused(a, chart_key).find("limits.under_way_bytes_per_connection_max") != std::string::npos);  // a lease as well
  scene.ask(b, scene.acquire(long_key));
  CHECK(refused(b, long_key).find("(limits.under_way_bytes_max)") != std::string::npos);
  scene.publish(a, token, "value");  // nothing is under way any more
  scene.lease(a, chart_key);
  scene.lease(b, key_of("other"));
}

TEST_CASE("what a computation says of its progress counts, and is left out above the limit") {
  Settings settings;
  settings.under_way_bytes_per_connection_max = 500;
  Scene scene(settings);
  const auto a = scene.connect();
  const auto token = scene.lease(a, chart_key);
  const auto explained = [&] {
    std::string all;
    for (const auto& line : scene.take<protocol::Explanation>(a, scene.ask(a, protocol::Explain{chart_key})).lines) all += line;
    return all;
  };
  scene.ask(a, protocol::Progress{token, 0.5, std::string(400, 'p')});
  CHECK(explained().find("ppp") != std::string::npos);
  scene.ask(a, protocol::Progress{token, 0.5, std::string(600, 'q')});
  CHECK(explained().find("qqq") == std::string::npos);
  scene.publish(a, token, "value");
}

TEST_CASE("draining answers every waiter and refuses what comes later (L3)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto token = scene.lease(a, chart_key);
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  scene.step(Draining{});
  CHECK(scene.refused(b, of_b) == ErrorCode::unavailable);
  CHECK(scene.refused(a, scene.ask(a, protocol::Publish{token, Scene::value("x"), 0})) == ErrorCode::unavailable);
  CHECK(scene.refused(a, scene.ask(a, scene.acquire(key_of("other")))) == ErrorCode::unavailable);
  scene.take<protocol::StatusReport>(a, scene.ask(a, protocol::GetStatus{}));
}

TEST_CASE("who waits when it drains is told why that is") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  scene.lease(a, chart_key);
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  scene.step(Draining{"the namespace begins anew"});
  CHECK(scene.take<protocol::Refused>(b, of_b).text == "the namespace begins anew");
  CHECK(scene.take<protocol::Refused>(a, scene.ask(a, scene.acquire(key_of("other")))).text == "the namespace begins anew");
}

TEST_CASE("an event for a connection that is gone names nothing") {
  Scene scene;
  const auto a = scene.connect();
  scene.step(Disconnected{a});
  scene.step(Disconnected{a});
  scene.step(ProcessDied{a});
  scene.step(SignalsSent{a, 1, 5});
  scene.ask(a, scene.acquire(chart_key));
  CHECK(scene.inbox.empty());
}

TEST_CASE("time that goes back counts as standing still") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  scene.now = 10s;
  scene.lease(a, chart_key);
  scene.now = 5s;
  const auto of_b = scene.ask(b, scene.acquire(chart_key, 1000));
  CHECK(scene.engine.next_deadline() == std::optional<Time>(11s));
  scene.now = 11s;
  scene.step(Ticked{});
  CHECK(scene.refused(b, of_b) == ErrorCode::timed_out);
}

TEST_CASE("all who are told a value in their answers share one copy of it") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto token = scene.lease(a, chart_key);
  for (int i = 0; i < 32; ++i) scene.ask(b, scene.acquire(chart_key));  // without a pin page
  SUBCASE("when it is stored") {}
  SUBCASE("when it cannot be stored") { scene.store.too_large = true; }
  SUBCASE("when its lease was detached") { scene.ask(a, protocol::Invalidate{key_scope(chart_key)}); }
  Effects effects;
  scene.engine.apply(Requested{a, 1000, protocol::Publish{token, Scene::value("value"), 0}}, scene.now, effects);
  std::vector<SharedParts> told;
  for (const Effect& effect : effects) {
    const auto* send = std::get_if<Send>(&effect);
    if (send == nullptr || !std::holds_alternative<protocol::Value>(send->reply)) continue;
    CHECK(std::get<protocol::Value>(send->reply).parts.empty());
    CHECK(std::get<protocol::Value>(whole_reply(*send)).parts.at(0).bytes == "value");
    told.push_back(send->parts);
  }
  REQUIRE(told.size() == 32);
  for (const SharedParts& parts : told) CHECK(parts == told.front());
}
