// Ending what others began: at once of one key, in bounded steps of a function, a session or everything.
#include <functional>

#include "engine/computations.hpp"
#include "queue_scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

TEST_CASE("a cancellation ends the computation and is told to holder and waiters") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect("pid 9 (oncectl)");
  const auto of_a = scene.ask(a, scene.acquire(chart_key));
  const auto token = scene.take<protocol::Lease>(a, of_a).token;
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  CHECK(scene.take<protocol::Done>(c, scene.ask(c, protocol::Cancel{function_scope("chart")})).count == 1);
  CHECK(scene.take<protocol::LeaseLost>(a, of_a).why == LeaseEnd::cancelled);
  CHECK(scene.take<protocol::Cancelled>(b, of_b).text == "cancelled by pid 9 (oncectl)");
  CHECK(scene.refused(a, scene.ask(a, protocol::Publish{token, Scene::value("x"), 0})) == ErrorCode::unknown_token);
  CHECK(scene.take<protocol::Done>(c, scene.ask(c, protocol::Cancel{everything()})).count == 0);
}

TEST_CASE("a cancellation also ends computations that were detached before") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  scene.lease(a, chart_key);
  const auto of_b = scene.ask(b, scene.acquire(chart_key));
  scene.ask(b, protocol::Invalidate{key_scope(chart_key)});
  CHECK(scene.take<protocol::Done>(b, scene.ask(b, protocol::Cancel{key_scope(chart_key)})).count == 1);
  scene.take<protocol::Cancelled>(b, of_b);
  CHECK(scene.counted("detached_leases") == 0);
}

TEST_CASE("a cancellation of a function ends its computations, detached ones too, and no other") {
  Scene scene;
  const auto a = scene.connect();
  for (int i = 0; i < 3; ++i) scene.lease(a, key_of("chart", i));
  scene.ask(a, protocol::Invalidate{key_scope(key_of("chart", 1))});
  scene.lease(a, key_of("chart", 1));  // a second one beside the detached one
  const auto other = scene.lease(a, key_of("other"));
  CHECK(scene.take<protocol::Done>(a, scene.ask(a, protocol::Cancel{function_scope("chart")})).count == 4);
  CHECK(scene.publish(a, other, "value").stored);
}

namespace {

Settings in_small_steps(std::size_t step) {
  Settings settings;
  settings.invalidated_per_step_max = step;
  return settings;
}

// A worker computes so many keys of "chart", and for each of them so many others wait. Cancelling does so much in a step.
struct LongCancellation : Scene {
  LongCancellation(int keys, int waiters, std::size_t step) : Scene(in_small_steps(step)) {
    for (int i = 0; i < keys; ++i) {
      holders.push_back(ask(worker, acquire(key_of("chart", i))));
      tokens.push_back(take<protocol::Lease>(worker, holders.back()).token);
      for (int j = 0; j < waiters; ++j) waiting.push_back(ask(other, acquire(key_of("chart", i))));
    }
    order.clear();
  }
  RequestId begin(protocol::Scope scope = function_scope("chart")) { return ask(admin, protocol::Cancel{std::move(scope)}); }
  // A turn that the engine asks for; nothing else happens and no time passes. Returns how many messages it sends.
  std::size_t turn() {
    REQUIRE(engine.next_deadline() == now);
    order.clear();
    step(Ticked{});
    return order.size();
  }
  std::uint64_t end(RequestId cancellation) {
    while (!has_reply(admin, cancellation)) turn();
    return take<protocol::Done>(admin, cancellation).count;
  }
  bool is_lost(std::size_t number) { return has_reply(worker, holders.at(number)); }

  ConnectionId worker = connect("pid 1 (worker)"), other = connect("pid 2 (other)"), admin = connect("pid 9 (oncectl)");
  std::vector<RequestId> holders;
  std::vector<protocol::Token> tokens;
  std::vector<RequestId> waiting;
};

}  // namespace

TEST_CASE("a step of a cancellation ends a bounded number of computations and tells a bounded number of requests") {
  constexpr int keys = 100, waiters = 3;
  constexpr std::size_t step = 16;
  LongCancellation s(keys, waiters, step);
  const auto id = s.begin();
  const std::size_t most = step + 1 + waiters;  // the last key of a step is told as a whole: its holder and those who wait
  CHECK(s.order.size() <= most);
  std::size_t told = s.order.size(), steps = 1;
  for (; !s.has_reply(s.admin, id); ++steps) {
    const std::size_t in_step = s.turn();
    CHECK(in_step <= most);
    told += in_step;
  }
  CHECK(steps >= keys * (1 + waiters) / step);
  CHECK(told == keys * (1 + waiters) + 1);
  CHECK(s.take<protocol::Done>(s.admin, id).count == keys);
  for (const auto holder : s.holders) CHECK(s.take<protocol::LeaseLost>(s.worker, holder).why == LeaseEnd::cancelled);
  for (const auto one : s.waiting) CHECK(s.take<protocol::Cancelled>(s.other, one).text == "cancelled by pid 9 (oncectl)");
  CHECK(s.counted("cancellations") == keys);
  CHECK(s.counted("computing") == 0);
  s.pass(0s);
  CHECK(s.engine.next_deadline() != s.now);
}

TEST_CASE("what a cancellation only looks at counts for its steps too") {
  LongCancellation s(64, 0, 8);
  const auto last = s.lease(s.worker, key_of("other"));
  const auto id = s.begin(function_scope("other"));
  std::size_t steps = 1;
  for (; !s.has_reply(s.admin, id); ++steps) s.turn();
  CHECK(steps == 65 / 8 + 1);
  CHECK(s.take<protocol::Done>(s.admin, id).count == 1);
  CHECK(s.refused(s.worker, s.ask(s.worker, protocol::Abandon{last})) == ErrorCode::unknown_token);
  CHECK(s.counted("computing") == 64);
}

TEST_CASE("a small cancellation is answered at once") {
  LongCancellation s(3, 1, 256);
  CHECK(s.take<protocol::Done>(s.admin, s.begin()).count == 3);
}

TEST_CASE("who asks after a cancellation begins anew and is not cancelled, though the sweep has not come to the key yet") {
  LongCancellation s(10, 1, 1);
  const auto id = s.begin();
  REQUIRE_FALSE(s.is_lost(9));
  const auto late = s.ask(s.other, s.acquire(key_of("chart", 9)));
  const auto token = s.take<protocol::Lease>(s.other, late).token;
  CHECK(s.take<protocol::LeaseLost>(s.worker, s.holders.at(9)).why == LeaseEnd::cancelled);
  s.take<protocol::Cancelled>(s.other, s.waiting.at(9));
  const auto waits = s.ask(s.worker, s.acquire(key_of("chart", 9)));
  const auto fresh = s.lease(s.other, key_of("chart", 100));
  CHECK(s.end(id) == 10);
  CHECK(s.publish(s.other, fresh, "value").stored);
  CHECK(s.publish(s.other, token, "value").stored);
  CHECK(s.inline_bytes(s.worker, waits) == "value");
}

TEST_CASE("a computation is over when its cancellation arrives, not when its turn comes") {
  LongCancellation s(10, 1, 1);
  const std::string last = key_of("chart", 9);
  const auto id = s.begin();
  REQUIRE_FALSE(s.is_lost(9));
  SUBCASE("its value is not kept, and its waiters are not told it") {
    CHECK(s.refused(s.worker, s.ask(s.worker, protocol::Publish{s.tokens.at(9), Scene::value("late"), {}})) == ErrorCode::unknown_token);
  }
  SUBCASE("nor is its failure") { CHECK(s.refused(s.worker, s.ask(s.worker, protocol::Fail{s.tokens.at(9), "late"})) == ErrorCode::unknown_token); }
  SUBCASE("nor has it progress to tell") {
    const auto watching = s.ask(s.admin, protocol::Subscribe{key_scope(last), 0, 0});
    s.ask(s.worker, protocol::Progress{s.tokens.at(9), 0.5, "half"});
    CHECK(s.events(s.admin, watching) == std::vector{SignalEvent::cancelled});
  }
  SUBCASE("nobody gets it when it is given up") { s.ask(s.worker, protocol::Abandon{s.tokens.at(9)}); }
  SUBCASE("nobody gets it when its holder dies, and that is no death of the key's holder") {
    s.step(ProcessDied{s.worker});
    CHECK(s.counted("holder_deaths") == 0);
  }
  SUBCASE("a value that is put does not reach who waited") { CHECK(s.put(s.admin, last, "put").stored); }
  SUBCASE("a cancellation of the key itself finds nothing left") {
    CHECK(s.take<protocol::Done>(s.admin, s.ask(s.admin, protocol::Cancel{key_scope(last)})).count == 0);
  }
  CHECK(s.take<protocol::Cancelled>(s.other, s.waiting.at(9)).text == "cancelled by pid 9 (oncectl)");
  CHECK(s.end(id) == 10);
  CHECK(s.counted("computing") == 0);
}

TEST_CASE("a cancellation of one key is carried out at once while others are under way") {
  LongCancellation s(10, 1, 1);
  const std::string own = key_of("other");
  s.lease(s.worker, own);
  const auto id = s.begin();
  CHECK(s.take<protocol::Done>(s.admin, s.ask(s.admin, protocol::Cancel{key_scope(own)})).count == 1);
  CHECK(s.end(id) == 10);
}

TEST_CASE("queued keys are cancelled in bounded steps, and those that come later are not") {
  constexpr int keys = 1000;
  constexpr std::size_t step = 4;
  Queueing s;
  s.settings.invalidated_per_step_max = step;
  s.engine.reconfigure(s.settings);
  const auto holder = s.want(s.worker, 0);
  const auto token = s.take<protocol::Lease>(s.worker, holder).token;
  std::vector<RequestId> queued;
  for (int i = 1; i <= keys; ++i) queued.push_back(i % 2 == 0 ? s.want(s.other, i) : s.want_in_background(s.other, i));
  // The sweep's own share, and that of the queue, which has room as soon as the first lease has ended: both count who is told.
  constexpr std::size_t most = step + 1 + Computations::begun_per_step_max;
  s.order.clear();
  const auto id = s.ask(s.worker, protocol::Cancel{function_scope("f")});
  CHECK(s.order.size() <= most);
  const auto late = s.want(s.worker, keys + 1);
  for (std::size_t steps = 1; !s.has_reply(s.worker, id); ++steps) {
    REQUIRE(steps < keys);
    s.order.clear();
    s.step(Ticked{});
    CHECK(s.order.size() <= most);
  }
  CHECK(s.take<protocol::Done>(s.worker, id).count == keys + 1);
  for (const auto one : queued) CHECK(s.take<protocol::Cancelled>(s.other, one).text == "cancelled by pid 1 (worker)");
  CHECK(s.take<protocol::LeaseLost>(s.worker, holder).why == LeaseEnd::cancelled);
  CHECK(s.refused(s.worker, s.ask(s.worker, protocol::Abandon{token})) == ErrorCode::unknown_token);
  s.turn(s.worker, late);
}

TEST_CASE("whoever only waits for a cancelled key is told so, though who would have computed it leaves before the sweep comes to it") {
  const auto withdraw = [](Queueing& s, RequestId able) { s.ask(s.other, protocol::Withdraw{able}); };
  const auto hang_up = [](Queueing& s, RequestId) { s.step(Disconnected{s.other}); };
  const auto time_out = [](Queueing& s, RequestId) { s.pass(61s); };
  for (const auto& leave : std::vector<std::function<void(Queueing&, RequestId)>>{withdraw, hang_up, time_out}) {
    Queueing s;
    s.settings.invalidated_per_step_max = 1;
    s.engine.reconfigure(s.settings);
    s.lease(s.worker, key_of("g"));
    s.want(s.worker, 0);
    const auto able = s.want(s.other, 1);
    const ConnectionId third = s.connect();
    protocol::Acquire passive = s.acquire(key_of("f", 1), 600'000);
    passive.may_compute = false;
    const auto waits = s.ask(third, passive);
    const auto id = s.ask(s.worker, protocol::Cancel{function_scope("f")});
    REQUIRE_FALSE(s.has_reply(s.worker, id));  // "g" was looked at
    leave(s, able);
    s.pass(10ms);
    s.take<protocol::Cancelled>(third, waits);
    CHECK(s.take<protocol::Done>(s.worker, id).count == 2);
  }
}

TEST_CASE("a place that becomes free is not for a queued key that is cancelled") {
  Queueing s;
  s.settings.invalidated_per_step_max = 1;
  s.engine.reconfigure(s.settings);
  const auto first = s.lease(s.worker, key_of("g"));
  s.want(s.worker, 0);
  const auto queued = s.want(s.other, 1);
  const auto id = s.ask(s.worker, protocol::Cancel{function_scope("f")});
  REQUIRE_FALSE(s.has_reply(s.other, queued));  // "g" was looked at
  s.limit_to(2);
  s.ask(s.worker, protocol::GetStatus{});
  s.take<protocol::Cancelled>(s.other, queued);
  CHECK_FALSE(s.has_reply(s.other, queued));
  s.pass(0s);
  CHECK(s.take<protocol::Done>(s.worker, id).count == 2);
  CHECK(s.publish(s.worker, first, "value").stored);
}

TEST_CASE("a wait that is cancelled, and not told so yet, closes no circle") {
  LongCancellation s(4, 0, 1);
  const auto own = s.lease(s.other, key_of("b"));
  // The worker, who computes chart 3, waits for b.
  protocol::Acquire for_b = s.acquire(key_of("b"));
  for_b.held = {s.tokens.at(3)};
  const auto waits = s.ask(s.worker, for_b);
  // Who computes b asks for a key whose holder waits for a cancelled one.
  const auto third = s.connect("pid 3 (third)");
  const auto of_c = s.lease(third, key_of("c"));
  protocol::Acquire for_chart = s.acquire(key_of("chart", 3));
  for_chart.held = {of_c};
  const auto of_third = s.ask(third, for_chart);
  protocol::Acquire for_c = s.acquire(key_of("c"));
  for_c.held = {own};
  CHECK(s.refused(s.other, s.ask(s.other, for_c)) == ErrorCode::deadlock);
  const auto id = s.begin();
  REQUIRE_FALSE(s.is_lost(3));
  const auto again = s.ask(s.other, for_c);
  CHECK_FALSE(s.has_reply(s.other, again));
  CHECK(s.end(id) == 4);
  s.take<protocol::Cancelled>(third, of_third);
  CHECK(s.publish(third, of_c, "c").stored);
  CHECK(s.inline_bytes(s.other, again) == "c");
  CHECK(s.publish(s.other, own, "b").stored);
  CHECK(s.inline_bytes(s.worker, waits) == "b");
}

TEST_CASE("invalidations and cancellations of the same keys are carried out in the order in which they came") {
  LongCancellation s(6, 1, 1);
  const auto watching = s.ask(s.other, protocol::Subscribe{key_scope(key_of("chart", 5)), 0, 0});
  std::vector<SignalEvent> told;
  RequestId id = 0;
  SUBCASE("cancelled first") {
    id = s.begin();
    const auto invalidation = s.ask(s.admin, protocol::Invalidate{function_scope("chart")});
    CHECK(s.end(id) == 6);
    s.pass(0s);
    CHECK(s.take<protocol::Done>(s.admin, invalidation).count == 0);
    CHECK(s.take<protocol::LeaseLost>(s.worker, s.holders.at(5)).why == LeaseEnd::cancelled);
    told = {SignalEvent::cancelled};
  }
  SUBCASE("invalidated first") {
    const auto invalidation = s.ask(s.admin, protocol::Invalidate{function_scope("chart")});
    id = s.begin();
    CHECK(s.end(id) == 6);
    s.pass(0s);
    CHECK(s.take<protocol::Done>(s.admin, invalidation).count == 0);
    CHECK(s.take<protocol::LeaseLost>(s.worker, s.holders.at(5)).why == LeaseEnd::invalidated);
    CHECK(s.take<protocol::LeaseLost>(s.worker, s.holders.at(5)).why == LeaseEnd::cancelled);
    told = {SignalEvent::invalidated};
  }
  CHECK_FALSE(s.has_reply(s.worker, s.holders.at(5)));
  CHECK(s.events(s.other, watching) == told);
  s.take<protocol::Cancelled>(s.other, s.waiting.at(5));
}

TEST_CASE("cancellations under way are answered in order of arrival, and a computation counts for the first that meant it") {
  LongCancellation s(4, 0, 1);
  s.lease(s.worker, key_of("other"));
  const auto first = s.begin();
  const auto of_all = s.begin(everything());
  const auto again = s.begin();
  CHECK(s.end(first) == 4);
  CHECK_FALSE(s.has_reply(s.admin, of_all));
  CHECK(s.end(of_all) == 1);
  CHECK(s.end(again) == 0);
}

TEST_CASE("a cancellation goes on when whoever asked for it is gone") {
  LongCancellation s(10, 1, 1);
  const auto id = s.begin();
  SUBCASE("its connection") { s.step(Disconnected{s.admin}); }
  SUBCASE("its process") { s.step(ProcessDied{s.admin}); }
  s.pass(0s);
  CHECK_FALSE(s.has_reply(s.admin, id));
  CHECK(s.counted("computing") == 0);
  CHECK(s.counted("waiting") == 0);
  CHECK(s.engine.next_deadline() != s.now);
}

TEST_CASE("who waits for a cancellation is told when the daemon goes, and so are those whom it has not told") {
  LongCancellation s(10, 1, 1);
  const auto id = s.begin();
  s.step(Draining{});
  CHECK(s.refused(s.admin, id) == ErrorCode::unavailable);
  CHECK(s.refused(s.other, s.waiting.back()) == ErrorCode::unavailable);
  s.pass(0s);
  CHECK(s.take<protocol::LeaseLost>(s.worker, s.holders.back()).why == LeaseEnd::cancelled);
  CHECK(s.engine.next_deadline() != s.now);
}

TEST_CASE("the id of a cancellation that is under way cannot be used for another request") {
  LongCancellation s(10, 0, 1);
  const auto id = s.begin();
  s.step(Requested{s.admin, id, protocol::GetStatus{}});
  CHECK(s.closed.size() == 1);
}

TEST_CASE("cancellations and invalidations that are cut into steps share their limits") {
  LongCancellation s(10, 0, 1);
  for (std::size_t i = 0; i < limits::invalidations_per_connection_max; ++i) {
    if (i % 2 == 0) s.begin();
    else s.ask(s.admin, protocol::Invalidate{everything()});
  }
  for (const protocol::Request& request : {protocol::Request(protocol::Cancel{everything()}), protocol::Request(protocol::Invalidate{everything()})}) {
    const auto refused = s.take<protocol::Refused>(s.admin, s.ask(s.admin, request));
    CHECK(refused.code == ErrorCode::limit_reached);
    CHECK(contains(refused.text, "16 invalidations and cancellations; the limit is 16 (limits.invalidations_per_connection_max)"));
  }
  CHECK(s.has_reply(s.admin, s.ask(s.admin, protocol::Cancel{key_scope(chart_key)})));  // one of a key is none of them
  s.settings.invalidations_max = limits::invalidations_per_connection_max;
  s.engine.reconfigure(s.settings);
  const auto refused = s.take<protocol::Refused>(s.other, s.ask(s.other, protocol::Cancel{everything()}));
  CHECK(contains(refused.text, "limits.invalidations_max"));
}
