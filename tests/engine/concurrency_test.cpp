// The limit of computations of one function at once: who computes, who queues, and how a place is left (queueing.cpp).
#include <algorithm>

#include "queue_scene.hpp"

using namespace onced;
using namespace onced::engine;

TEST_CASE("so many keys of a function are computed at once; others queue in order of arrival") {
  Queueing s(2);
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const auto second = s.take<protocol::Lease>(s.worker, s.want(s.worker, 2));
  CHECK_FALSE(first.take_up);
  const RequestId third = s.want(s.worker, 3);
  const RequestId fourth = s.want(s.other, 4);
  CHECK_FALSE(s.has_reply(s.worker, third));
  CHECK(s.row(3).queue_position == 1);
  CHECK(s.row(4).queue_position == 2);
  CHECK(s.counted("queued") == 2);

  // The third waits until one of the two ends, whichever that is.
  s.publish(s.worker, second.token, "two");
  const protocol::Token third_token = s.turn(s.worker, third);
  CHECK_FALSE(s.has_reply(s.other, fourth));
  CHECK(s.row(4).queue_position == 1);
  s.publish(s.worker, first.token, "one");
  s.publish(s.other, s.turn(s.other, fourth), "four");
  s.publish(s.worker, third_token, "three");
  CHECK(s.counted("queued") == 0);
  CHECK(s.counted("leases_queued") == 2);
}

TEST_CASE("a function without a limit, and one whose limit is 0, queue nobody") {
  Queueing s(0);
  for (int i = 0; i < 20; ++i) s.take<protocol::Lease>(s.worker, s.want(s.worker, i));
  Queueing limited_elsewhere(1);
  for (int i = 0; i < 20; ++i) limited_elsewhere.lease(limited_elsewhere.worker, key_of("g", i));
  CHECK(limited_elsewhere.counted("queued") == 0);
}

TEST_CASE("further callers of a queued key wait for that key and share its answer") {
  Queueing s;
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId queued = s.want(s.worker, 2);
  const RequestId same = s.want(s.other, 2);
  protocol::Acquire passive = s.acquire(key_of("f", 2));
  passive.may_compute = false;
  const RequestId only_waits = s.ask(s.other, passive);
  CHECK(s.counted("queued") == 1);
  s.publish(s.worker, first.token, "one");
  s.publish(s.worker, s.turn(s.worker, queued), "two");
  CHECK(s.inline_bytes(s.other, same) == "two");
  CHECK(s.inline_bytes(s.other, only_waits) == "two");
}

TEST_CASE("a lease that another process holds exempts nobody from the queue") {
  Queueing s;
  const ConnectionId holder = s.connect("pid 7 (holder)", {.uid = 1000, .pid = 7});
  const ConnectionId same = s.connect("pid 7 (holder)", {.uid = 1000, .pid = 7});
  const ConnectionId child = s.connect("pid 8 (holder)", {.uid = 1000, .pid = 8});
  const ConnectionId unseen = s.connect("another pid namespace", {.uid = 1000, .pid = 0});
  const auto token = s.take<protocol::Lease>(holder, s.want(holder, 1)).token;
  protocol::Acquire nested = s.acquire(key_of("f", 2));
  nested.held = {token};
  SUBCASE("a forked child") { CHECK_FALSE(s.has_reply(child, s.ask(child, nested))); }
  SUBCASE("a process that the daemon cannot see") { CHECK_FALSE(s.has_reply(unseen, s.ask(unseen, nested))); }
  SUBCASE("but its own process does, over whichever connection") {
    (void)s.take<protocol::Lease>(same, s.ask(same, nested));
    nested.key = key_of("f", 1);
    CHECK(s.refused(same, s.ask(same, nested)) == ErrorCode::recursion);
  }
  SUBCASE("and where no pid is seen, who has the same user may be the same process") {
    const ConnectionId first = s.connect("another pid namespace", {.uid = 1001, .pid = 0});
    const ConnectionId second = s.connect("another pid namespace", {.uid = 1001, .pid = 0});
    const auto other = s.take<protocol::Lease>(first, s.ask(first, s.acquire(key_of("g")))).token;
    nested.held = {other};
    CHECK_FALSE(s.has_reply(unseen, s.ask(unseen, nested)));
    (void)s.take<protocol::Lease>(second, s.ask(second, [&] {
      protocol::Acquire third = nested;
      third.key = key_of("f", 3);
      return third;
    }()));
  }
}

TEST_CASE("nobody is refused for a circle that a stranger makes up") {
  Queueing s;
  const ConnectionId one = s.connect("pid 7 (one)", {.uid = 1000, .pid = 7});
  const ConnectionId two = s.connect("pid 8 (two)", {.uid = 1000, .pid = 8});
  const ConnectionId liar = s.connect("pid 9 (liar)", {.uid = 1001, .pid = 9});
  const auto of_one = s.lease(one, key_of("g", 1));
  const auto of_two = s.lease(two, key_of("g", 2));
  protocol::Acquire lie = s.acquire(key_of("g", 2));
  lie.held = {of_one, {of_one.epoch, of_two.counter + 1}};  // and one that nobody has yet
  CHECK_FALSE(s.has_reply(liar, s.ask(liar, lie)));
  protocol::Acquire honest = s.acquire(key_of("g", 1));
  honest.held = {of_two};
  CHECK_FALSE(s.has_reply(two, s.ask(two, honest)));
  const auto next = s.lease(two, key_of("g", 3), {of_two});
  honest.held = {of_two, next};
  CHECK_FALSE(s.has_reply(two, s.ask(two, honest)));
}

TEST_CASE("requests that wait for one key are counted, whether it is computed, queued, or nobody computes it") {
  Queueing s;
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  CHECK(s.counted("waiters_per_key_most") == 0);
  protocol::Acquire passive = s.acquire(key_of("f", 9));
  passive.may_compute = false;
  s.ask(s.other, passive);
  CHECK(s.counted("waiters_per_key_most") == 1);
  s.want(s.worker, 2);
  s.want(s.other, 2);
  CHECK(s.counted("waiters_per_key_most") == 2);
  for (int i = 0; i < 3; ++i) s.want(s.other, 1);
  CHECK(s.counted("waiters_per_key_most") == 3);
  (void)first;
}

TEST_CASE("whichever way a computation ends, the next key begins") {
  Queueing s;
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId second = s.want(s.other, 2);
  const RequestId third = s.want(s.other, 3);
  const RequestId fourth = s.want(s.other, 4);
  const RequestId fifth = s.want(s.other, 5);
  SUBCASE("fail") { s.ask(s.worker, protocol::Fail{first.token, "no", 0}); }
  SUBCASE("abandon") { s.ask(s.worker, protocol::Abandon{first.token}); }
  SUBCASE("cancel") { s.ask(s.other, protocol::Cancel{key_scope(key_of("f", 1))}); }
  SUBCASE("the holder's death") { s.step(ProcessDied{s.worker}); }
  SUBCASE("the holder's hang-up") { s.step(Disconnected{s.worker}); }
  s.publish(s.other, s.turn(s.other, second), "two");
  s.ask(s.other, protocol::Abandon{s.turn(s.other, third)});
  s.ask(s.other, protocol::Fail{s.turn(s.other, fourth), "no", 0});
  s.turn(s.other, fifth);
}

TEST_CASE("a lease that runs into its limit makes room") {
  Queueing s;
  protocol::Acquire request = s.acquire(key_of("f", 1));
  request.lease_limit_ms = 1000;
  s.take<protocol::Lease>(s.worker, s.ask(s.worker, request));
  const RequestId second = s.want(s.other, 2);
  s.pass(999ms);
  CHECK_FALSE(s.has_reply(s.other, second));
  s.pass(1ms);
  s.turn(s.other, second);
}

TEST_CASE("a lease that is handed over stays in its place: who is queued goes on waiting") {
  Queueing s;
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId queued = s.want(s.worker, 2);
  const RequestId heir = s.want(s.other, 1);
  s.ask(s.worker, protocol::Abandon{first.token});
  const auto again = s.take<protocol::Lease>(s.other, heir);
  CHECK(again.cause == LeaseCause::abandoned);
  CHECK_FALSE(s.has_reply(s.worker, queued));
  s.pass(1s);  // it does not take it up, and nobody else waits for that key
  s.turn(s.worker, queued);
}

TEST_CASE("a turn that is not taken up goes to the key's next waiter, then to the next key") {
  Queueing s;
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId sleeper = s.want(s.other, 2);
  const RequestId second_sleeper = s.want(s.worker, 2);
  const RequestId next_key = s.want(s.worker, 3);
  s.publish(s.worker, first.token, "one");
  CHECK(s.take<protocol::Lease>(s.other, sleeper).cause == LeaseCause::queued);
  s.pass(1s);
  CHECK(s.take<protocol::LeaseLost>(s.other, sleeper).why == LeaseEnd::not_taken_up);
  CHECK(s.take<protocol::Lease>(s.worker, second_sleeper).cause == LeaseCause::not_taken_up);
  CHECK_FALSE(s.has_reply(s.worker, next_key));
  s.pass(1s);
  s.turn(s.worker, next_key);
}

TEST_CASE("who does not want to wait is refused when the function is full, and told who computes") {
  Queueing s;
  s.want(s.worker, 1);
  s.pass(2s);
  const std::string running = "pid 1 (worker) has been computing f(1) for 2.0 s";
  const std::string not_to_wait = "; the request was not to wait for it";
  const auto refused = s.take<protocol::Refused>(s.other, s.want(s.other, 2, 0));
  CHECK(refused.code == ErrorCode::timed_out);
  CHECK(refused.text == "f(2) would have to wait for its turn behind max_concurrent = 1 of f; " + running + not_to_wait);
  CHECK(s.counted("queued") == 0);
  s.want(s.other, 2);
  protocol::Acquire passive = s.acquire(key_of("f", 2), 0);
  passive.may_compute = false;
  for (const RequestId id : {s.want(s.other, 2, 0), s.ask(s.other, passive)}) {
    const auto again = s.take<protocol::Refused>(s.other, id);
    CHECK(again.code == ErrorCode::timed_out);
    CHECK(again.text == "f(2) is queued as number 1 of 1 behind max_concurrent = 1 of f; " + running + not_to_wait);
  }
}

TEST_CASE("a deadline in the queue names who computes, the first three of them") {
  Queueing s(5);
  for (int i = 1; i <= 5; ++i) s.want(s.worker, i);
  s.want(s.other, 6);
  const RequestId late = s.want(s.other, 7, 3000);
  s.pass(3s);
  const auto refused = s.take<protocol::Refused>(s.other, late);
  CHECK(refused.code == ErrorCode::timed_out);
  CHECK(refused.text ==
        "waited 3.0 s; f(7) is queued as number 2 of 2 behind max_concurrent = 5 of f; pid 1 (worker) has been computing f(1) for 3.0 s; "
        "pid 1 (worker) has been computing f(2) for 3.0 s; pid 1 (worker) has been computing f(3) for 3.0 s; and 2 others");
  CHECK_FALSE(s.is_queued(7));
  CHECK(s.is_queued(6));
}

TEST_CASE("a key for which nobody waits any more leaves the queue") {
  Queueing s;
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId left = s.want(s.other, 2);
  const RequestId stays = s.want(s.worker, 3);
  const RequestId watching = s.ask(s.worker, protocol::Subscribe{key_scope(key_of("f", 2))});
  SUBCASE("withdrawn") { s.ask(s.other, protocol::Withdraw{left}); }
  SUBCASE("disconnected") { s.step(Disconnected{s.other}); }
  SUBCASE("dead") { s.step(ProcessDied{s.other}); }
  CHECK(s.events(s.worker, watching) == std::vector{SignalEvent::abandoned});
  CHECK(s.row(2).state == protocol::KeyState::absent);
  CHECK(s.row(3).queue_position == 1);
  s.publish(s.worker, first.token, "one");
  s.turn(s.worker, stays);
}

TEST_CASE("a queued key stays while somebody waits who can compute it; who only waits does not keep it") {
  Queueing s;
  s.want(s.worker, 1);
  const RequestId first = s.want(s.other, 2);
  const RequestId second = s.want(s.worker, 2);
  protocol::Acquire passive = s.acquire(key_of("f", 2));
  passive.may_compute = false;
  const RequestId only_waits = s.ask(s.other, passive);
  s.ask(s.other, protocol::Withdraw{first});
  CHECK(s.is_queued(2));
  s.ask(s.worker, protocol::Withdraw{second});
  CHECK_FALSE(s.is_queued(2));
  CHECK_FALSE(s.has_reply(s.other, only_waits));  // until somebody comes who can
  s.want(s.worker, 2);
  CHECK(s.is_queued(2));
}

TEST_CASE("a put to a queued key answers all who wait for it, and it leaves the queue") {
  Queueing s;
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId queued = s.want(s.other, 2);
  const RequestId next = s.want(s.other, 3);
  const RequestId watching = s.ask(s.worker, protocol::Subscribe{key_scope(key_of("f", 2))});
  s.put(s.worker, key_of("f", 2), "put");
  CHECK(s.inline_bytes(s.other, queued) == "put");
  CHECK(s.events(s.worker, watching) == std::vector{SignalEvent::done});
  CHECK(s.row(3).queue_position == 1);
  s.publish(s.worker, first.token, "one");
  s.turn(s.other, next);
}

TEST_CASE("an outdated put to a queued key answers those to whom that will do; the others keep its place, and subscribers are told so") {
  Queueing s;
  s.want(s.worker, 1);
  const RequestId tolerant = s.ask(s.other, s.for_stale(2));
  const RequestId strict = s.want(s.other, 2);
  s.want(s.other, 3);
  const RequestId watching = s.ask(s.worker, protocol::Subscribe{key_scope(key_of("f", 2))});
  (void)s.take<protocol::State>(s.worker, watching);
  s.ask(s.worker, protocol::Put{key_of("f", 2), s.value("old"), {.depends_on = {{key_of("g"), 0}}}});
  CHECK(s.take<protocol::Value>(s.other, tolerant).stale);
  CHECK_FALSE(s.has_reply(s.other, strict));
  CHECK(s.row(2).queue_position == 1);
  CHECK(s.row(3).queue_position == 2);
  CHECK(s.events(s.worker, watching) == std::vector{SignalEvent::done, SignalEvent::stale, SignalEvent::queued});
}

TEST_CASE("an invalidated key stays queued: what it will get is newer") {
  Queueing s;
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId queued = s.want(s.other, 2);
  bool soft = false;
  SUBCASE("hard") {}
  SUBCASE("softly") { soft = true; }
  s.ask(s.worker, protocol::Invalidate{key_scope(key_of("f", 2)), soft});
  s.ask(s.worker, protocol::Invalidate{protocol::Scope{protocol::ScopeKind::tag, "t"}, soft});
  CHECK(s.is_queued(2));
  s.publish(s.worker, first.token, "one");
  s.publish(s.other, s.turn(s.other, queued), "two");
}

TEST_CASE("explain says that nobody refreshes a stale value while its function is full") {
  Queueing s;
  s.ask(s.worker, protocol::Put{key_of("f", 2), Scene::value("old"), {.ttl_ms = 100, .grace_ms = 5000}});
  s.pass(200ms);
  const std::string why = "; nobody refreshes it while its function computes as many as it may (max_concurrent = 1)\n";
  CHECK(s.explanation(2).find("nobody refreshes it") == std::string::npos);
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  CHECK(s.explanation(2).find(why) != std::string::npos);
  s.publish(s.worker, first.token, "one");
  CHECK(s.explanation(2).find("nobody refreshes it") == std::string::npos);
}

TEST_CASE("a queued key whose stale value is invalidated, or runs out of grace, is queued as before") {
  Queueing s;
  s.ask(s.worker, protocol::Put{key_of("f", 2), Scene::value("old"), {.ttl_ms = 100, .grace_ms = 5000}});
  s.pass(200ms);
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId queued = s.want(s.other, 2);
  const RequestId watching = s.ask(s.worker, protocol::Subscribe{key_scope(key_of("f", 2))});
  CHECK(s.row(2).version != 0);
  SUBCASE("the function is invalidated") {
    s.ask(s.worker, protocol::Invalidate{function_scope("f")});
    CHECK(s.events(s.worker, watching) == std::vector{SignalEvent::invalidated});
  }
  SUBCASE("it is told softly that it is stale already") {
    s.ask(s.worker, protocol::Invalidate{key_scope(key_of("f", 2)), true});
    s.ask(s.worker, protocol::Invalidate{key_scope(key_of("f", 2))});
    CHECK(s.events(s.worker, watching) == std::vector{SignalEvent::invalidated});
  }
  SUBCASE("its grace is over") {
    s.pass(6s);
    CHECK(s.events(s.worker, watching) == std::vector{SignalEvent::expired});
  }
  CHECK(s.row(2).version == 0);
  CHECK(s.is_queued(2));
  s.publish(s.worker, first.token, "one");
  s.publish(s.other, s.turn(s.other, queued), "two");
}

TEST_CASE("a computation that was detached still counts until it ends; the same key queues behind it") {
  Queueing s;
  const auto old = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId waited_before = s.want(s.worker, 1);
  s.ask(s.other, protocol::Invalidate{function_scope("f")});
  const RequestId anew = s.want(s.other, 1);
  CHECK_FALSE(s.has_reply(s.other, anew));
  CHECK(s.is_queued(1));
  SUBCASE("it is published to those who waited before") {
    s.publish(s.worker, old.token, "old");
    CHECK(s.inline_bytes(s.worker, waited_before) == "old");
    s.publish(s.other, s.turn(s.other, anew), "new");
  }
  SUBCASE("it is abandoned: they waited longest") {
    s.ask(s.worker, protocol::Abandon{old.token});
    const auto lease = s.take<protocol::Lease>(s.worker, waited_before);
    CHECK(lease.cause == LeaseCause::abandoned);
    s.publish(s.worker, lease.token, "new");
    CHECK(s.inline_bytes(s.other, anew) == "new");
  }
}

TEST_CASE("a detached computation that nobody waits for leaves its place to the queue, not to its key") {
  Queueing s;
  const auto old = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId before = s.want(s.other, 2);
  s.ask(s.other, protocol::Invalidate{key_scope(key_of("f", 1))});
  const RequestId anew = s.want(s.other, 1);
  s.ask(s.worker, protocol::Abandon{old.token});
  s.turn(s.other, before);
  CHECK_FALSE(s.has_reply(s.other, anew));
}

TEST_CASE("cancelling ends what is queued as well, and counts it") {
  Queueing s;
  const RequestId holder = s.want(s.worker, 1);
  const auto first = s.take<protocol::Lease>(s.worker, holder);
  const RequestId second = s.want(s.other, 2);
  const RequestId third = s.want(s.other, 3);
  const RequestId watching = s.ask(s.worker, protocol::Subscribe{function_scope("f")});
  s.inbox[{s.worker, watching}].clear();
  SUBCASE("one key") {
    CHECK(s.take<protocol::Done>(s.worker, s.ask(s.worker, protocol::Cancel{key_scope(key_of("f", 2))})).count == 1);
    CHECK(s.take<protocol::Cancelled>(s.other, second).text == "cancelled by pid 1 (worker)");
    CHECK_FALSE(s.has_reply(s.other, third));
    const auto told = s.events(s.worker, watching);
    CHECK(told.front() == SignalEvent::cancelled);
    s.publish(s.worker, first.token, "one");
    s.turn(s.other, third);
    return;
  }
  protocol::Scope scope = everything();
  SUBCASE("the function") { scope = function_scope("f"); }
  SUBCASE("everything") {}
  CHECK(s.take<protocol::Done>(s.worker, s.ask(s.worker, protocol::Cancel{scope})).count == 3);
  CHECK(s.take<protocol::LeaseLost>(s.worker, holder).why == LeaseEnd::cancelled);
  CHECK(s.take<protocol::Cancelled>(s.other, second).text == "cancelled by pid 1 (worker)");
  s.take<protocol::Cancelled>(s.other, third);
  CHECK(s.counted("queued") == 0);
  CHECK(s.counted("computing") == 0);
  CHECK(s.events(s.worker, watching) == std::vector(3, SignalEvent::cancelled));
}

TEST_CASE("cancelling another function leaves the queue alone") {
  Queueing s;
  s.want(s.worker, 1);
  s.want(s.other, 2);
  CHECK(s.take<protocol::Done>(s.worker, s.ask(s.worker, protocol::Cancel{function_scope("g")})).count == 0);
  CHECK(s.is_queued(2));
}

TEST_CASE("draining answers whoever is queued") {
  Queueing s;
  s.want(s.worker, 1);
  const RequestId queued = s.want(s.other, 2);
  s.step(Draining{});
  CHECK(s.refused(s.other, queued) == ErrorCode::unavailable);
  CHECK(s.counted("queued") == 0);
  CHECK(s.counted("computing") == 1);
}
