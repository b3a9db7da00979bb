// Values between fresh and gone: who gets them, who refreshes them, and what a soft invalidation does.
#include "engine/context.hpp"
#include "scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

// One value that is fresh for 100 ms and usable for another 1000.
struct Kept : Scene {
  explicit Kept(protocol::Retention retention = {.ttl_ms = 100, .grace_ms = 1000}, Settings settings_ = {}) : Scene(std::move(settings_)) {
    take<protocol::Published>(a, ask(a, protocol::Put{chart_key, value("old"), std::move(retention)}));
  }
  void grow_stale() { pass(100ms); }

  protocol::Acquire tolerant(std::uint64_t wait_ms = 60'000) const {
    protocol::Acquire request = acquire(chart_key, wait_ms);
    request.accept_stale = true;
    return request;
  }
  RequestId ask_tolerantly(ConnectionId from) { return ask(from, tolerant()); }
  protocol::Lease refresh(ConnectionId from) { return take<protocol::Lease>(from, ask_tolerantly(from)); }
  protocol::Done invalidate(protocol::Scope scope, bool soft = true) {
    return take<protocol::Done>(admin, ask(admin, protocol::Invalidate{std::move(scope), soft}));
  }
  const FakeStore::Record& record() const { return store.records.at(*store.find(chart_key)); }

  ConnectionId a = connect(), b = connect(), c = connect(), admin = connect();
};

}  // namespace

// ---- time -----------------------------------------------------------------------------------------------------------

TEST_CASE("a value is fresh for its time-to-live, usable for its grace, and then gone") {
  Kept scene;
  const auto watcher = scene.ask(scene.admin, protocol::Subscribe{key_scope(chart_key), 0, 0});
  scene.pass(99ms);
  CHECK_FALSE(scene.take<protocol::Value>(scene.a, scene.ask_tolerantly(scene.a)).stale);
  scene.pass(1ms);
  CHECK(scene.store.time_ms >= scene.record().fresh_until_ms);
  CHECK(scene.events(scene.admin, watcher) == std::vector{SignalEvent::stale});
  (void)scene.refresh(scene.a);
  CHECK(scene.take<protocol::Value>(scene.b, scene.ask_tolerantly(scene.b)).stale);
  scene.pass(999ms);
  CHECK(scene.take<protocol::Value>(scene.b, scene.ask_tolerantly(scene.b)).stale);
  scene.pass(10ms);
  CHECK(scene.store.records.empty());
  const auto of_b = scene.ask_tolerantly(scene.b);
  CHECK_FALSE(scene.has_reply(scene.b, of_b));  // it waits for who refreshes
  CHECK(scene.events(scene.admin, watcher) == std::vector{SignalEvent::started, SignalEvent::expired});
}

TEST_CASE("a value that is asked for between its end and the tick is stale for the asker, and for readers from then on") {
  Kept scene;
  scene.now += 105ms;  // the tick is late
  (void)scene.refresh(scene.a);
  CHECK(scene.store.time_ms >= scene.record().fresh_until_ms);
  scene.now += 1000ms;
  scene.ask_tolerantly(scene.b);
  CHECK(scene.store.records.empty());
}

TEST_CASE("a value whose grace has passed before anybody looked is not told to be stale") {
  Kept scene;
  const auto watcher = scene.ask(scene.admin, protocol::Subscribe{key_scope(chart_key), 0, 0});
  scene.now += 5s;
  scene.step(Ticked{});
  CHECK(scene.events(scene.admin, watcher) == std::vector{SignalEvent::expired});
}

TEST_CASE("a daemon whose values live for hours sleeps until the first of them changes") {
  Kept scene({.ttl_ms = 3'600'000, .grace_ms = 3'600'000});
  CHECK(scene.engine.next_deadline() == std::optional<Time>(3601s));
  scene.pass(3600s);
  CHECK(scene.engine.next_deadline() == std::optional<Time>(7201s));
}

TEST_CASE("the configuration decides what a publish leaves open, and a reload counts for what comes after it") {
  Settings settings;
  settings.retention.all.ttl_ms = 100;
  settings.retention.functions["chart"].grace_ms = 70;
  Kept scene({}, settings);
  CHECK(scene.record().fresh_until_ms == 1101);
  CHECK(scene.record().grace_ms == 70);
  settings.retention.functions.clear();
  scene.engine.reconfigure(settings);
  CHECK(scene.record().grace_ms == 70);
  scene.put(scene.a, chart_key, "new", protocol::as_configured);
  CHECK(scene.record().fresh_until_ms == 1101);
  CHECK(scene.record().grace_ms == 0);
}

// ---- who refreshes --------------------------------------------------------------------------------------------------

TEST_CASE("of those who find a stale value exactly one gets the lease, and the others the value at once") {
  Kept scene;
  scene.grow_stale();
  CHECK_FALSE(scene.record().refreshing);
  const auto lease = scene.refresh(scene.a);
  CHECK(lease.cause == LeaseCause::stale);
  CHECK_FALSE(lease.take_up);
  CHECK(scene.record().refreshing);
  for (const ConnectionId other : {scene.b, scene.c}) {
    const auto value = scene.take<protocol::Value>(other, scene.ask_tolerantly(other));
    CHECK(value.stale);
    CHECK(value.parts.at(0).bytes == "old");
  }
  CHECK(scene.publish(scene.a, lease.token, "new").stored);
  CHECK_FALSE(scene.record().refreshing);
  CHECK_FALSE(scene.take<protocol::Value>(scene.b, scene.ask_tolerantly(scene.b)).stale);
  CHECK(scene.counted("stale_answers") == 2);
  CHECK(scene.counted("refreshes_stale") == 1);
}

TEST_CASE("who does not accept a stale value refreshes it, or waits for who does") {
  Kept scene;
  scene.grow_stale();
  const auto lease = scene.take<protocol::Lease>(scene.a, scene.ask(scene.a, scene.acquire(chart_key)));
  CHECK(lease.cause == LeaseCause::stale);
  const auto of_b = scene.ask(scene.b, scene.acquire(chart_key));
  CHECK_FALSE(scene.has_reply(scene.b, of_b));
  scene.publish(scene.a, lease.token, "new");
  const auto value = scene.take<protocol::Value>(scene.b, of_b);
  CHECK(value.parts.at(0).bytes == "new");
  CHECK_FALSE(value.stale);
}

TEST_CASE("who only waits takes a stale value if it says so, and never the lease") {
  Kept scene;
  scene.grow_stale();
  auto passive = scene.tolerant(0);
  passive.may_compute = false;
  CHECK(scene.take<protocol::Value>(scene.a, scene.ask(scene.a, passive)).stale);
  CHECK_FALSE(scene.record().refreshing);
  passive.accept_stale = false;
  CHECK(scene.refused(scene.a, scene.ask(scene.a, passive)) == ErrorCode::not_found);
  passive.wait_ms = 1000;
  const auto waits = scene.ask(scene.a, passive);
  CHECK_FALSE(scene.has_reply(scene.a, waits));
  scene.put(scene.b, chart_key, "new");
  CHECK(scene.inline_bytes(scene.a, waits) == "new");
}

TEST_CASE("a forced request takes no stale value, and its lease says forced") {
  Kept scene;
  scene.grow_stale();
  auto forced = scene.tolerant();
  forced.force = true;
  CHECK(scene.take<protocol::Lease>(scene.a, scene.ask(scene.a, forced)).cause == LeaseCause::forced);
  const auto of_b = scene.ask(scene.b, forced);
  CHECK_FALSE(scene.has_reply(scene.b, of_b));
}

TEST_CASE("a computation that asks for its own stale value gets it, and does not wait for itself") {
  Kept scene;
  scene.grow_stale();
  const auto lease = scene.refresh(scene.a);
  auto within = scene.tolerant();
  within.held = {lease.token};
  CHECK(scene.take<protocol::Value>(scene.a, scene.ask(scene.a, within)).stale);
  within.accept_stale = false;
  CHECK(scene.refused(scene.a, scene.ask(scene.a, within)) == ErrorCode::recursion);
}

TEST_CASE("a refresh that ends without a result leaves the old value and its grace, and the next caller refreshes") {
  Kept scene;
  scene.grow_stale();
  const auto lease = scene.refresh(scene.a);
  SUBCASE("abandoned") { scene.ask(scene.a, protocol::Abandon{lease.token}); }
  SUBCASE("its holder died") { scene.step(ProcessDied{scene.a}); }
  SUBCASE("cancelled") { scene.ask(scene.admin, protocol::Cancel{key_scope(chart_key)}); }
  CHECK_FALSE(scene.record().refreshing);
  CHECK(scene.record().grace_ms == 1000);
  CHECK(scene.refresh(scene.b).cause == LeaseCause::stale);
  CHECK(scene.record().refreshing);
}

TEST_CASE("a refresh that ends without a result goes to the longest waiter, and the record stays marked") {
  Kept scene;
  scene.grow_stale();
  const auto lease = scene.refresh(scene.a);
  const auto of_b = scene.ask(scene.b, scene.acquire(chart_key));
  scene.ask(scene.a, protocol::Abandon{lease.token});
  CHECK(scene.take<protocol::Lease>(scene.b, of_b).cause == LeaseCause::abandoned);
  CHECK(scene.record().refreshing);
}

TEST_CASE("after a failed refresh nobody tries again for the failure's time: the stale value answers, or the failure") {
  Kept scene;
  scene.grow_stale();
  const auto lease = scene.refresh(scene.a);
  const auto of_b = scene.ask(scene.b, scene.acquire(chart_key));
  scene.ask(scene.a, protocol::Fail{lease.token, "no disk", 500});
  CHECK(scene.take<protocol::Failure>(scene.b, of_b).text == "no disk");
  CHECK(scene.record().refreshing);
  CHECK(scene.take<protocol::Value>(scene.c, scene.ask_tolerantly(scene.c)).stale);
  CHECK(scene.take<protocol::Failure>(scene.c, scene.ask(scene.c, scene.acquire(chart_key))).text == "no disk");
  scene.pass(500ms);
  CHECK_FALSE(scene.record().refreshing);
  CHECK(scene.refresh(scene.c).cause == LeaseCause::stale);
}

TEST_CASE("how long a failure counts is the configuration's when its caller leaves it open") {
  Settings settings;
  settings.retention.functions["chart"].failure_ttl_ms = 300;
  Scene scene(settings);
  const auto a = scene.connect();
  scene.ask(a, protocol::Fail{scene.lease(a, chart_key), "no disk", protocol::as_configured});
  scene.pass(299ms);
  scene.take<protocol::Failure>(a, scene.ask(a, scene.acquire(chart_key)));
  scene.pass(1ms);
  scene.take<protocol::Lease>(a, scene.ask(a, scene.acquire(chart_key)));
}

TEST_CASE("a caller with too much under way gets the stale value, and not the refusal of a lease") {
  Settings settings;
  settings.under_way_bytes_per_connection_max = chart_key.size();
  Kept scene({.ttl_ms = 100, .grace_ms = 1000}, settings);
  scene.grow_stale();
  scene.lease(scene.a, key_of("other"));
  CHECK(scene.take<protocol::Value>(scene.a, scene.ask_tolerantly(scene.a)).stale);
  CHECK_FALSE(scene.record().refreshing);
  CHECK(scene.refused(scene.a, scene.ask(scene.a, scene.acquire(chart_key))) == ErrorCode::limit_reached);
}

// ---- ahead of time --------------------------------------------------------------------------------------------------

namespace {

// A value that took 100 ms to compute and is fresh for 10 s: its early stretch are the last 1.4 s.
struct Early : Kept {
  Early() : Kept({.ttl_ms = 1}) {
    pass(10ms);
    const auto token = lease(a, chart_key);
    pass(100ms);
    take<protocol::Published>(a, ask(a, protocol::Publish{token, value("old"), {.ttl_ms = 10'000, .grace_ms = 1000, .refresh_ahead_permille = 1000}}));
  }
  RequestId offer(ConnectionId from) {
    auto request = tolerant();
    request.refresh = true;
    return ask(from, request);
  }
};

}  // namespace

TEST_CASE("a value's early stretch is 14 times its cost, and who offers to refresh it then gets the lease, one at a time") {
  Early scene;
  CHECK(scene.record().early_ms == 1400);
  scene.pass(8590ms);
  CHECK_FALSE(scene.take<protocol::Value>(scene.b, scene.offer(scene.b)).stale);  // too early
  scene.pass(10ms);
  const auto lease = scene.take<protocol::Lease>(scene.b, scene.offer(scene.b));
  CHECK(lease.cause == LeaseCause::ahead);
  CHECK(scene.record().refreshing);
  CHECK_FALSE(scene.take<protocol::Value>(scene.c, scene.offer(scene.c)).stale);
  CHECK_FALSE(scene.take<protocol::Value>(scene.c, scene.ask(scene.c, scene.acquire(chart_key))).stale);
  CHECK(scene.counted("refreshes_ahead") == 1);
  scene.pass(100ms);
  CHECK(scene.publish(scene.b, lease.token, "new").stored);
  CHECK(scene.inline_bytes(scene.c, scene.offer(scene.c)) == "new");
}

TEST_CASE("who does not offer to refresh a value in its early stretch is given it") {
  Early scene;
  scene.pass(9s);
  CHECK_FALSE(scene.take<protocol::Value>(scene.b, scene.ask_tolerantly(scene.b)).stale);
}

TEST_CASE("a value that becomes stale while it is refreshed ahead of time is not refreshed twice") {
  Early scene;
  scene.pass(9s);
  const auto lease = scene.take<protocol::Lease>(scene.b, scene.offer(scene.b));
  scene.pass(1100ms);
  CHECK(scene.take<protocol::Value>(scene.c, scene.ask_tolerantly(scene.c)).stale);
  CHECK(scene.publish(scene.b, lease.token, "new").stored);
}

TEST_CASE("the time word moves through an early stretch by a 64th of it, and not before") {
  Early scene;
  const std::uint64_t stored = scene.store.time_ms;
  scene.pass(8s);
  CHECK(scene.store.time_ms == stored);
  scene.pass(700ms);
  for (int i = 0; i < 100; ++i) {
    scene.pass(10ms);
    CHECK(time_word(scene.now) - scene.store.time_ms <= 1400 / 64);
  }
  scene.pass(400ms);
  CHECK_FALSE(scene.record().refreshing);
  CHECK(*scene.engine.next_deadline() > scene.now + 500ms);  // stale: nobody draws lots any more
}

// ---- soft invalidation ----------------------------------------------------------------------------------------------

TEST_CASE("a soft invalidation makes a fresh value stale at once, for its grace") {
  Kept scene({.ttl_ms = 0, .grace_ms = 1000});
  scene.pass(5s);
  const auto watcher = scene.ask(scene.c, protocol::Subscribe{key_scope(chart_key), 0, 0});
  SUBCASE("by key") { CHECK(scene.invalidate(key_scope(chart_key)).count == 1); }
  SUBCASE("by function") { CHECK(scene.invalidate(function_scope("chart")).count == 1); }
  SUBCASE("everything") { CHECK(scene.invalidate(everything()).count == 1); }
  CHECK(scene.store.time_ms >= scene.record().fresh_until_ms);  // or readers would still take it for fresh
  CHECK(scene.record().grace_ms == 1000);
  CHECK(scene.events(scene.c, watcher) == std::vector{SignalEvent::stale});
  CHECK(scene.counted("soft_invalidations") == 1);
  CHECK(scene.counted("invalidations") == 0);
  CHECK(scene.refresh(scene.a).cause == LeaseCause::stale);
  CHECK(scene.take<protocol::Value>(scene.b, scene.ask_tolerantly(scene.b)).stale);
  scene.pass(1010ms);
  CHECK(scene.store.records.empty());
}

TEST_CASE("a value without a grace is usable for a minute after a soft invalidation") {
  Kept scene({.ttl_ms = 0, .grace_ms = 0});
  scene.invalidate(key_scope(chart_key));
  CHECK(scene.record().grace_ms == 60'000);
  scene.pass(59s);
  (void)scene.refresh(scene.a);
  CHECK(scene.take<protocol::Value>(scene.b, scene.ask_tolerantly(scene.b)).stale);
  scene.pass(2s);
  CHECK(scene.store.records.empty());
}

TEST_CASE("a soft invalidation of a stale value changes nothing about its grace, and is not counted") {
  Kept scene;
  scene.grow_stale();
  const std::uint64_t fresh_until = scene.record().fresh_until_ms;
  scene.pass(500ms);
  CHECK(scene.invalidate(key_scope(chart_key)).count == 0);
  CHECK(scene.record().fresh_until_ms == fresh_until);
  CHECK(scene.record().grace_ms == 1000);
}

TEST_CASE("a soft invalidation detaches the computation: a late publish does not undo it (L5)") {
  Kept scene({.ttl_ms = 0, .grace_ms = 1000});
  auto forced = scene.acquire(chart_key);
  forced.force = true;
  const auto asked = scene.ask(scene.a, forced);
  const auto token = scene.take<protocol::Lease>(scene.a, asked).token;
  const auto waits = scene.ask(scene.b, forced);
  const auto watcher = scene.ask(scene.c, protocol::Subscribe{key_scope(chart_key), 0, 0});
  CHECK(scene.invalidate(key_scope(chart_key)).count == 1);
  CHECK(scene.take<protocol::LeaseLost>(scene.a, asked).why == LeaseEnd::invalidated);
  CHECK(scene.events(scene.c, watcher) == std::vector{SignalEvent::abandoned, SignalEvent::stale});
  CHECK_FALSE(scene.record().refreshing);
  CHECK_FALSE(scene.publish(scene.a, token, "late").stored);
  CHECK(scene.inline_bytes(scene.b, waits) == "late");  // it asked before
  CHECK(scene.record().parts.at(0).bytes == "old");
  CHECK(scene.refresh(scene.c).cause == LeaseCause::stale);
}

TEST_CASE("who waited for a computation that a soft invalidation detached does not get the value that it made stale") {
  Kept scene({.ttl_ms = 0, .grace_ms = 1000});
  auto forced = scene.acquire(chart_key);
  forced.force = true;
  const auto token = scene.take<protocol::Lease>(scene.a, scene.ask(scene.a, forced)).token;
  const auto waits = scene.ask(scene.b, forced);
  scene.invalidate(key_scope(chart_key));
  scene.ask(scene.a, protocol::Abandon{token});
  CHECK(scene.take<protocol::Lease>(scene.b, waits).cause == LeaseCause::abandoned);
}

TEST_CASE("a soft invalidation ends the time for which a failure is told") {
  Kept scene;
  scene.grow_stale();
  const auto lease = scene.refresh(scene.a);
  scene.ask(scene.a, protocol::Fail{lease.token, "no disk", 500});
  scene.invalidate(key_scope(chart_key));
  CHECK_FALSE(scene.record().refreshing);
  CHECK(scene.refresh(scene.b).cause == LeaseCause::stale);
}

TEST_CASE("a long soft invalidation is carried out in steps, and requests are ahead of them") {
  Settings settings;
  settings.invalidated_per_step_max = 2;
  Scene scene(settings);
  const auto a = scene.connect();
  for (int i = 0; i < 9; ++i) scene.put(a, key_of("chart", i), "value");
  const auto id = scene.ask(a, protocol::Invalidate{function_scope("chart"), true});
  CHECK_FALSE(scene.has_reply(a, id));
  auto request = scene.acquire(key_of("chart", 8));
  request.accept_stale = true;
  CHECK(scene.take<protocol::Lease>(a, scene.ask(a, request)).cause == LeaseCause::stale);
  const auto newer = key_of("chart", 7);
  scene.put(a, newer, "new");
  while (!scene.has_reply(a, id)) scene.step(Ticked{});
  CHECK(scene.take<protocol::Done>(a, id).count == 9);
  CHECK(scene.store.visible(newer));
  CHECK_FALSE(scene.store.visible(key_of("chart", 0)));
  CHECK(scene.store.records.size() == 9);
}

TEST_CASE("a hard invalidation that follows a soft one under way drops what that made stale") {
  Settings settings;
  settings.invalidated_per_step_max = 1;
  Scene scene(settings);
  const auto a = scene.connect();
  for (int i = 0; i < 3; ++i) scene.put(a, key_of("chart", i), "value");
  const auto soft = scene.ask(a, protocol::Invalidate{function_scope("chart"), true});
  const auto hard = scene.ask(a, protocol::Invalidate{everything()});
  while (!scene.has_reply(a, hard)) scene.step(Ticked{});
  CHECK(scene.take<protocol::Done>(a, soft).count == 3);
  CHECK(scene.take<protocol::Done>(a, hard).count == 3);
  CHECK(scene.store.records.empty());
}

// ---- what people are told -------------------------------------------------------------------------------------------

TEST_CASE("an explanation says whether a value is stale by its time or was invalidated softly, when and by whom") {
  Kept scene({.ttl_ms = 10'000, .grace_ms = 60'000});
  const auto explain = [&] { return scene.take<protocol::Explanation>(scene.admin, scene.ask(scene.admin, protocol::Explain{chart_key})); };
  const auto soften = [&] { scene.ask(scene.a, protocol::Invalidate{key_scope(chart_key), true}); };
  CHECK(explain().stale_cause == protocol::StaleCause::fresh);
  CHECK(explain().softened_by.empty());
  SUBCASE("by its time") {
    scene.pass(13s);
    CHECK(explain().stale_cause == protocol::StaleCause::time);
    CHECK(explain().stale_ms == 3000);
    CHECK(explain().lines.at(2) == "stale because its time-to-live was over");
    soften();
    scene.pass(1s);
    CHECK(explain().stale_cause == protocol::StaleCause::time);
    CHECK(explain().softened_ms == 1000);
    CHECK(explain().lines.at(3) == "invalidated softly 1.0 s ago by pid 41 (gunicorn), when it was stale already");
  }
  SUBCASE("by an invalidation, of which the first counts") {
    soften();
    scene.pass(2s);
    soften();
    scene.pass(1s);
    CHECK(explain().stale_cause == protocol::StaleCause::invalidated);
    CHECK(explain().stale_ms == 3000);
    CHECK(explain().softened_by == "pid 41 (gunicorn)");
    CHECK(explain().softened_ms == 3000);
    CHECK(explain().lines.at(2) == "stale because it was invalidated softly 3.0 s ago by pid 41 (gunicorn)");
  }
}

TEST_CASE("of a refresh a row says how long it has been under way") {
  Kept scene({.ttl_ms = 10'000, .grace_ms = 60'000});
  const auto row = [&] { return scene.take<protocol::Explanation>(scene.admin, scene.ask(scene.admin, protocol::Explain{chart_key})).row; };
  CHECK(row().under_way_ms == 0);
  scene.pass(13s);
  const auto lease = scene.refresh(scene.a);
  scene.pass(4s);
  CHECK(row().under_way_ms == 4000);
  CHECK(row().age_ms == 17'000);
  scene.ask(scene.a, protocol::Abandon{lease.token});
  CHECK(row().under_way_ms == 0);
}

TEST_CASE("a listing and an explanation say how fresh a value is and who refreshes it") {
  Kept scene({.ttl_ms = 10'000, .grace_ms = 60'000});
  const auto explain = [&] { return scene.take<protocol::Explanation>(scene.admin, scene.ask(scene.admin, protocol::Explain{chart_key})); };
  CHECK(explain().lines.at(1) == "fresh for another 10 s, then usable for 60 s while it is refreshed");
  CHECK(explain().row.ttl_left_ms == 10'000);
  CHECK(explain().row.grace_left_ms == 60'000);
  CHECK_FALSE(explain().row.stale);
  scene.pass(13s);
  const auto lease = scene.refresh(scene.a);
  const auto stale = explain();
  CHECK(stale.lines.at(1) == "stale for 3.0 s, usable for another 57 s, being refreshed by pid 41 (gunicorn)");
  CHECK(stale.row.stale);
  CHECK(stale.row.ttl_left_ms == 0);
  CHECK(stale.row.grace_left_ms == 57'000);
  scene.ask(scene.a, protocol::Fail{lease.token, "no disk", 2000});
  CHECK(explain().lines.at(1) == "stale for 3.0 s, usable for another 57 s; nobody tries again for another 2.0 s");
  const auto listed = scene.take<protocol::Listing>(scene.admin, scene.ask(scene.admin, protocol::List{}));
  CHECK(listed.rows.at(0).stale);
  CHECK(listed.rows.at(0).state == protocol::KeyState::ready);
}

TEST_CASE("an explanation says when a value may be refreshed ahead of time") {
  Early scene;
  const auto line = [&] { return scene.take<protocol::Explanation>(scene.admin, scene.ask(scene.admin, protocol::Explain{chart_key})).lines.at(1); };
  CHECK(line() == "fresh for another 10 s, then usable for 1.0 s while it is refreshed; in 8.6 s a reader may refresh it ahead of time");
  scene.pass(9s);
  CHECK(line() == "fresh for another 1.0 s, then usable for 1.0 s while it is refreshed; already now a reader may refresh it ahead of time");
}
