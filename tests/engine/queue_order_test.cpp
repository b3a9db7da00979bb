// The queue of a function: who comes first, who never waits in it (L7), what a reload changes, and who is told (function_queues.hpp).
#include <algorithm>

#include "queue_scene.hpp"

using namespace onced;
using namespace onced::engine;

// ---- who comes first ------------------------------------------------------------------------------------------------

TEST_CASE("whoever takes a stale value is not queued, and refreshes only when there is room and nobody waits") {
  Queueing s;
  s.store_with_grace(1, "old");
  s.store_with_grace(2, "old");
  s.pass(200ms);
  const RequestId refreshing = s.ask(s.worker, s.for_stale(1));
  const auto refresh = s.take<protocol::Lease>(s.worker, refreshing);
  CHECK(refresh.cause == LeaseCause::stale);

  CHECK(s.take<protocol::Value>(s.other, s.ask(s.other, s.for_stale(2))).stale);  // at once
  CHECK(s.counted("queued") == 0);
  const RequestId interactive = s.want(s.other, 3);
  s.publish(s.worker, refresh.token, "new");
  const protocol::Token third = s.turn(s.other, interactive);
  CHECK(s.take<protocol::Value>(s.other, s.ask(s.other, s.for_stale(2))).stale);
  s.publish(s.other, third, "three");
  CHECK(s.take<protocol::Lease>(s.other, s.ask(s.other, s.for_stale(2))).cause == LeaseCause::stale);
}

TEST_CASE("whoever does not take a stale value queues for a fresh one; others still get the stale one meanwhile") {
  Queueing s;
  s.store_with_grace(2, "old");
  s.pass(200ms);
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId strict = s.want(s.other, 2);
  CHECK(s.row(2).state == protocol::KeyState::queued);
  CHECK(s.row(2).version != 0);
  CHECK(s.take<protocol::Value>(s.other, s.ask(s.other, s.for_stale(2))).stale);
  s.publish(s.worker, first.token, "one");
  s.publish(s.other, s.turn(s.other, strict), "new");
}

TEST_CASE("a refresh ahead of time is offered to nobody while the function is full") {
  Queueing s;
  const auto slow = s.take<protocol::Lease>(s.worker, s.want(s.worker, 2));
  s.pass(10s);
  s.ask(s.worker, protocol::Publish{slow.token, Scene::value("dear"), {.ttl_ms = 20'000, .refresh_ahead_permille = 1000}});
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  protocol::Acquire offer = s.for_stale(2);
  offer.refresh = true;
  CHECK_FALSE(s.take<protocol::Value>(s.other, s.ask(s.other, offer)).stale);
  s.publish(s.worker, first.token, "one");
  CHECK(s.take<protocol::Lease>(s.other, s.ask(s.other, offer)).cause == LeaseCause::ahead);
}

TEST_CASE("callers in the background come after the others, in order of arrival among themselves") {
  Queueing s;
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId prefetch = s.want_in_background(s.other, 2);
  const RequestId second_prefetch = s.want_in_background(s.other, 3);
  CHECK(s.row(2).queue_position == 1);
  const RequestId interactive = s.want(s.worker, 4);
  CHECK(s.row(4).queue_position == 1);
  CHECK(s.row(2).queue_position == 2);
  CHECK(s.row(3).queue_position == 3);
  CHECK(contains(s.explanation(3), ", in the background"));
  s.publish(s.worker, first.token, "one");
  s.publish(s.worker, s.turn(s.worker, interactive), "four");
  s.publish(s.other, s.turn(s.other, prefetch), "two");
  s.turn(s.other, second_prefetch);
}

TEST_CASE("a key in the background for which somebody else comes to wait is no longer in the background") {
  Queueing s;
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  s.want_in_background(s.other, 2);
  const RequestId prefetch = s.want_in_background(s.other, 3);
  const RequestId interactive = s.want(s.worker, 4);
  const RequestId same = s.want(s.worker, 3);
  s.want_in_background(s.worker, 3);  // that takes nothing back
  CHECK(s.row(4).queue_position == 1);
  CHECK(s.row(3).queue_position == 2);
  CHECK(s.row(2).queue_position == 3);
  s.publish(s.worker, first.token, "one");
  s.publish(s.worker, s.turn(s.worker, interactive), "four");
  s.publish(s.other, s.turn(s.other, prefetch), "three");  // it has waited longest for this key
  CHECK(s.inline_bytes(s.worker, same) == "three");
}

// ---- no deadlock (L7) -----------------------------------------------------------------------------------------------

TEST_CASE("a computation that asks for another key of its full function gets the lease at once") {
  Queueing s;
  const protocol::Token outer = s.lease(s.worker, key_of("f", 1));
  const RequestId queued = s.want(s.other, 2);
  const protocol::Token inner = s.lease(s.worker, key_of("f", 3), {outer});
  const protocol::Token innermost = s.lease(s.worker, key_of("f", 2), {outer, inner});  // a queued key
  CHECK(s.row(2).state == protocol::KeyState::computing);
  CHECK(s.counted("queued") == 0);
  s.publish(s.worker, innermost, "two");
  CHECK(s.inline_bytes(s.other, queued) == "two");
  const RequestId next = s.want(s.other, 4);
  s.publish(s.worker, inner, "three");
  CHECK_FALSE(s.has_reply(s.other, next));  // the outer one still runs
  s.publish(s.worker, outer, "one");
  s.turn(s.other, next);
}

TEST_CASE("a computation whose lease was detached is exempt too; one whose lease ended is not") {
  Queueing s;
  const protocol::Token outer = s.lease(s.worker, key_of("f", 1));
  s.ask(s.other, protocol::Invalidate{everything()});
  const protocol::Token inner = s.lease(s.worker, key_of("f", 2), {outer});
  s.publish(s.worker, outer, "one");
  protocol::Acquire request = s.acquire(key_of("f", 3));
  request.held = {outer};
  const RequestId queued = s.ask(s.worker, request);
  CHECK_FALSE(s.has_reply(s.worker, queued));
  request.held = {outer, inner};
  request.key = key_of("f", 4);
  s.take<protocol::Lease>(s.worker, s.ask(s.worker, request));
}

TEST_CASE("a key that a computation only waits for is not queued: who can compute it begins") {
  Queueing s;
  const protocol::Token outer = s.lease(s.worker, key_of("f", 1));
  protocol::Acquire passive = s.acquire(key_of("f", 2));
  passive.may_compute = false;
  passive.held = {outer};
  SUBCASE("it is queued already") {
    const RequestId queued = s.want(s.other, 2);
    const RequestId waits = s.ask(s.worker, passive);
    s.publish(s.other, s.turn(s.other, queued), "two");
    CHECK(s.inline_bytes(s.worker, waits) == "two");
  }
  SUBCASE("somebody comes who can") {
    const RequestId waits = s.ask(s.worker, passive);
    CHECK_FALSE(s.has_reply(s.worker, waits));
    const auto lease = s.take<protocol::Lease>(s.other, s.want(s.other, 2));
    s.publish(s.other, lease.token, "two");
    CHECK(s.inline_bytes(s.worker, waits) == "two");
  }
}

TEST_CASE("two full functions whose computations ask for each other do not block each other") {
  Scene s([] {
    Settings settings;
    settings.max_concurrent = {{"f", 1}, {"g", 1}};
    return settings;
  }());
  const ConnectionId a = s.connect();
  const ConnectionId b = s.connect();
  const protocol::Token of_f = s.lease(a, key_of("f", 1));
  const protocol::Token of_g = s.lease(b, key_of("g", 1));
  protocol::Acquire from_f = s.acquire(key_of("g", 2));
  from_f.held = {of_f};
  const protocol::Token inner_g = s.take<protocol::Lease>(a, s.ask(a, from_f)).token;
  protocol::Acquire from_g = s.acquire(key_of("f", 2));
  from_g.held = {of_g};
  const protocol::Token inner_f = s.take<protocol::Lease>(b, s.ask(b, from_g)).token;
  // And circles of leases are refused as ever.
  protocol::Acquire waits = s.acquire(key_of("f", 2));
  waits.held = {of_f, inner_g};
  const RequestId waiting = s.ask(a, waits);
  CHECK_FALSE(s.has_reply(a, waiting));
  protocol::Acquire closes = s.acquire(key_of("g", 2));
  closes.held = {of_g, inner_f};
  CHECK(s.refused(b, s.ask(b, closes)) == ErrorCode::deadlock);
}

// ---- reloading ------------------------------------------------------------------------------------------------------

TEST_CASE("a raised limit lets those in that are queued, a bounded number in a step") {
  Queueing s;
  s.want(s.worker, 0);
  std::vector<RequestId> queued;
  for (int i = 1; i <= 300; ++i) queued.push_back(s.want(s.other, i));
  const auto begun = [&] {
    return std::count_if(queued.begin(), queued.end(), [&](RequestId id) { return s.has_reply(s.other, id); });
  };
  s.limit_to(4);
  REQUIRE(s.engine.next_deadline() == s.now);
  s.step(Ticked{});
  CHECK(begun() == 3);
  s.limit_to(1000);
  s.step(Ticked{});
  CHECK(begun() == 3 + 256);
  REQUIRE(s.engine.next_deadline() == s.now);
  s.step(Ticked{});
  CHECK(begun() == 300);
  CHECK(s.counted("queued") == 0);
}

TEST_CASE("without a limit nobody is queued any more") {
  Queueing s;
  s.want(s.worker, 0);
  const RequestId queued = s.want(s.other, 1);
  s.settings.max_concurrent.clear();
  s.engine.reconfigure(s.settings);
  s.step(Ticked{});
  s.turn(s.other, queued);
  CHECK(s.engine.next_deadline() > s.now);
}

TEST_CASE("a lowered limit lets those finish that run; a new one counts those that run already") {
  Queueing s(0);
  std::vector<protocol::Token> running;
  for (int i = 0; i < 3; ++i) running.push_back(s.lease(s.worker, key_of("f", i)));
  s.limit_to(2);
  const RequestId queued = s.want(s.other, 7);
  s.publish(s.worker, running[0], "zero");
  CHECK_FALSE(s.has_reply(s.other, queued));
  s.limit_to(1);
  s.publish(s.worker, running[1], "one");
  CHECK_FALSE(s.has_reply(s.other, queued));
  s.publish(s.worker, running[2], "two");
  s.turn(s.other, queued);
}

// ---- who is told ----------------------------------------------------------------------------------------------------

TEST_CASE("a subscriber learns that a key is queued, at which place, and when it begins") {
  Queueing s;
  const auto first = s.take<protocol::Lease>(s.worker, s.want(s.worker, 1));
  const RequestId watching = s.ask(s.worker, protocol::Subscribe{key_scope(key_of("f", 3))});
  s.inbox[{s.worker, watching}].clear();
  const RequestId second = s.want(s.other, 2);
  const RequestId third = s.want(s.other, 3);
  const auto entered = s.take<protocol::Signal>(s.worker, watching);
  CHECK(entered.event == SignalEvent::queued);
  CHECK(entered.queue_position == 2);
  CHECK(entered.text == "number 2 of 2 behind max_concurrent = 1 of f");

  for (const protocol::Scope& scope : {key_scope(key_of("f", 3)), function_scope("f"), everything()}) {
    const auto state = s.take<protocol::State>(s.other, s.ask(s.other, protocol::Subscribe{scope}));
    const auto entry = std::find_if(state.entries.begin(), state.entries.end(), [](const auto& one) { return one.key == key_of("f", 3); });
    REQUIRE(entry != state.entries.end());
    CHECK(entry->state == protocol::KeyState::queued);
    CHECK(entry->queue_position == 2);
    CHECK(entry->waiting == 1);
  }

  s.publish(s.worker, first.token, "one");
  CHECK(s.take<protocol::Signal>(s.worker, watching).queue_position == 1);
  s.publish(s.other, s.turn(s.other, second), "two");
  CHECK(s.take<protocol::Signal>(s.worker, watching).event == SignalEvent::started);
  s.turn(s.other, third);
}

TEST_CASE("a long queue that moves by one tells a few: those that come to 1, 2, 4 ... 64") {
  Queueing s;
  s.settings.signals_queued_per_subscription_max = 100'000;
  s.engine.reconfigure(s.settings);
  protocol::Token running = s.lease(s.worker, key_of("f", 0));
  std::vector<RequestId> queued;
  for (int i = 1; i <= 1000; ++i) queued.push_back(s.want(s.other, i));
  const RequestId watching = s.ask(s.worker, protocol::Subscribe{function_scope("f")});
  for (int i = 0; i < 3; ++i) {
    s.inbox[{s.worker, watching}].clear();
    s.ask(s.worker, protocol::Publish{running, Scene::value("x"), {}});
    if (i > 0) s.ask(s.other, protocol::Publish{running, Scene::value("x"), {}});
    std::vector<std::uint64_t> positions;
    for (const protocol::Reply& reply : s.inbox[{s.worker, watching}]) {
      const auto* signal = std::get_if<protocol::Signal>(&reply);
      if (signal == nullptr || signal->event != SignalEvent::queued) continue;
      positions.push_back(signal->queue_position);
      CHECK(signal->key == key_of("f", static_cast<int>(signal->queue_position) + i + 1));
    }
    CHECK(positions == std::vector<std::uint64_t>{1, 2, 4, 8, 16, 32, 64});
    running = s.turn(s.other, queued[static_cast<std::size_t>(i)]);
  }
  // A thousand that leave at once move the queue once.
  s.inbox[{s.worker, watching}].clear();
  s.want(s.worker, 5000);
  s.inbox[{s.worker, watching}].clear();
  s.step(ProcessDied{s.other});
  const auto told = s.events(s.worker, watching);
  CHECK(std::count(told.begin(), told.end(), SignalEvent::queued) <= 7);
  CHECK(std::count(told.begin(), told.end(), SignalEvent::started) == 1);
}

TEST_CASE("listings, explanations and statistics say who is queued") {
  Queueing s(2);
  s.want(s.worker, 1);
  s.want(s.worker, 2);
  s.want(s.other, 3);
  s.want(s.other, 4);
  s.pass(3s);
  s.want(s.other, 4);
  const auto listing = s.take<protocol::Listing>(s.worker, s.ask(s.worker, protocol::List{"f", {}}));
  REQUIRE(listing.rows.size() == 4);
  CHECK(listing.rows[3].state == protocol::KeyState::queued);
  CHECK(listing.rows[3].queue_position == 2);
  CHECK(listing.rows[3].age_ms == 3000);
  CHECK(listing.rows[3].waiting == 2);
  CHECK(listing.rows[0].queue_position == 0);
  const std::string text = s.explanation(4);
  CHECK(contains(text, "queued for 3.0 s as number 2 of 2 behind max_concurrent = 2 of f\n"));
  CHECK(contains(text, "before it: pid 1 (worker) has been computing f(1) for 3.0 s; pid 1 (worker) has been computing f(2) for 3.0 s\n"));
  CHECK(contains(text, "2 requests wait for it\n"));
  const auto statistics = s.engine.statistics(s.now);
  const auto field = [&](const char* name) {
    const auto& fields = statistics.functions.at(0).fields;
    const auto found = std::find_if(fields.begin(), fields.end(), [&](const auto& one) { return one.first == name; });
    REQUIRE(found != fields.end());
    return std::get<std::uint64_t>(found->second);
  };
  CHECK(field("running") == 2);
  CHECK(field("queued") == 2);
  CHECK(field("max_concurrent") == 2);
  const auto status = s.take<protocol::StatusReport>(s.worker, s.ask(s.worker, protocol::GetStatus{}));
  CHECK(std::find(status.fields.begin(), status.fields.end(), std::pair<std::string, protocol::Number>{"queued", std::uint64_t{2}}) != status.fields.end());
}
