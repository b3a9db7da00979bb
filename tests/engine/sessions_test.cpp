// Sessions: who may use one, and what a rotation and an end leave of it. Times, quotas and limits: session_limits_test.cpp.
#include <onced/protocol/session.hpp>

#include "engine/sessions.hpp"
#include "scene.hpp"

using namespace onced;
using namespace onced::engine;

namespace {

// A session that two connections have open.
struct SessionsStage : Scene {
  explicit SessionsStage(Settings with = {}) : Scene(std::move(with)) {}
  ConnectionId one = connect("pid 1 (one)", {0, 1});
  ConnectionId two = connect("pid 2 (two)", {0, 2});
  protocol::SessionOpened session = new_session(one);

  protocol::SessionOpened open(ConnectionId from, const std::string& id) {
    return take<protocol::SessionOpened>(from, ask(from, protocol::OpenSession{id}));
  }
  ErrorCode refusal(ConnectionId from, protocol::Request request) { return refused(from, ask(from, std::move(request))); }
  std::uint64_t in_table() const { return store.generations.at(session.number % store.places); }
};

}  // namespace

TEST_CASE("a session's id is made of the bytes that come with the event, and told once") {
  SessionsStage stage;
  Scene twin;
  CHECK(stage.session.id == protocol::session_id_of(twin.fresh_secret()));
  CHECK(protocol::is_session_id(stage.session.id));
  CHECK(stage.session.generation == stage.in_table());
  const auto opened = stage.open(stage.two, stage.session.id);
  CHECK(opened.number == stage.session.number);
  CHECK(opened.generation == stage.session.generation);
  CHECK(opened.id.empty());
}

TEST_CASE("an unknown id is refused, and is unknown afterwards too") {
  SessionsStage stage;
  const std::string unknown(43, 'A');
  REQUIRE(protocol::is_session_id(unknown));
  for (int times = 0; times < 2; ++times) {
    for (const std::string& id : {unknown, std::string(), std::string("; drop"), stage.session.id + "A"}) {
      CHECK(stage.refusal(stage.two, protocol::OpenSession{id}) == ErrorCode::session_ended);
      CHECK(stage.refusal(stage.two, protocol::RotateSession{id}) == ErrorCode::session_ended);
      CHECK(stage.refusal(stage.two, protocol::EndSession{id}) == ErrorCode::session_ended);
    }
  }
  CHECK(stage.counted("sessions") == 1);
}

TEST_CASE("a key may name a session only on a connection that has opened it") {
  SessionsStage stage;
  const std::string key = key_in(stage.session);
  stage.put(stage.one, key, "mine");
  const std::vector<protocol::Request> requests{
      stage.acquire(key), protocol::Put{key, Scene::value("theirs")}, protocol::Invalidate{key_scope(key)}, protocol::Cancel{key_scope(key)},
      protocol::Subscribe{key_scope(key)}, protocol::Explain{key}, protocol::Invalidate{session_scope(stage.session)},
      protocol::Cancel{session_scope(stage.session)}, protocol::Subscribe{session_scope(stage.session)},
      protocol::List{{}, {}, stage.session.number}, protocol::TouchSession{stage.session.number}};
  for (const protocol::Request& request : requests) {
    CAPTURE(request.index());
    CHECK(stage.refusal(stage.two, request) == ErrorCode::not_permitted);
  }
  // Nor one that there is not, and may be some day.
  for (const std::uint64_t number : {std::uint64_t{1}, stage.session.number + 1, stage.session.number + stage.store.places, ~std::uint64_t{0}})
    CHECK(stage.refusal(stage.one, stage.acquire(std::string(KeyBuilder("f", "", number).build().value().bytes()))) == ErrorCode::not_permitted);
  CHECK(stage.store.find(key).has_value());

  stage.open(stage.two, stage.session.id);
  CHECK(stage.inline_bytes(stage.two, stage.ask(stage.two, stage.acquire(key))) == "mine");
}

TEST_CASE("a key is computed once in each session, and one without a session once for all") {
  SessionsStage stage;
  stage.open(stage.two, stage.session.id);
  const auto other = stage.new_session(stage.two);
  const auto computes = [&](ConnectionId from, const std::string& key, const std::string& bytes) {
    const RequestId id = stage.ask(from, stage.acquire(key));
    if (std::holds_alternative<protocol::Value>(stage.inbox[{from, id}].front())) {
      CHECK(stage.inline_bytes(from, id) == bytes);
      return false;
    }
    stage.publish(from, stage.take<protocol::Lease>(from, id).token, bytes);
    return true;
  };
  CHECK(computes(stage.one, key_in(stage.session), "of the first"));
  CHECK_FALSE(computes(stage.two, key_in(stage.session), "of the first"));
  CHECK(computes(stage.two, key_in(other), "of the second"));
  CHECK(computes(stage.one, key_of("f"), "of all"));
  CHECK_FALSE(computes(stage.two, key_of("f"), "of all"));
}

TEST_CASE("a session that ends while its value is computed: waiters are told, the result is not stored") {
  SessionsStage stage;
  const std::string key = key_in(stage.session);
  stage.open(stage.two, stage.session.id);
  const RequestId computing = stage.ask(stage.one, stage.acquire(key));
  const protocol::Token token = stage.take<protocol::Lease>(stage.one, computing).token;
  const RequestId waiting = stage.ask(stage.two, stage.acquire(key));

  const RequestId ending = stage.ask(stage.two, protocol::EndSession{stage.session.id});
  CHECK(stage.take<protocol::Done>(stage.two, ending).count == 0);
  CHECK(stage.in_table() == 0);
  CHECK(stage.refused(stage.two, waiting) == ErrorCode::session_ended);
  CHECK(stage.take<protocol::LeaseLost>(stage.one, computing).why == LeaseEnd::session_ended);
  CHECK(stage.refusal(stage.one, protocol::Publish{token, Scene::value("secret")}) == ErrorCode::unknown_token);
  CHECK(stage.store.records.empty());
  for (const ConnectionId from : {stage.one, stage.two}) CHECK(stage.refusal(from, stage.acquire(key)) == ErrorCode::session_ended);
  CHECK(stage.refusal(stage.one, protocol::OpenSession{stage.session.id}) == ErrorCode::session_ended);
  CHECK(stage.counted("keys_known") == 0);
  CHECK(stage.counted("sessions_ending") == 0);
  CHECK(stage.counted("fenced_computations") == 1);
}

TEST_CASE("a detached computation of a session that ends answers nobody any more") {
  SessionsStage stage;
  const std::string key = key_in(stage.session);
  stage.open(stage.two, stage.session.id);
  const RequestId computing = stage.ask(stage.one, stage.acquire(key));
  const protocol::Token token = stage.take<protocol::Lease>(stage.one, computing).token;
  const RequestId waiting = stage.ask(stage.two, stage.acquire(key));
  stage.ask(stage.two, protocol::Invalidate{key_scope(key)});
  CHECK(stage.take<protocol::LeaseLost>(stage.one, computing).why == LeaseEnd::invalidated);
  CHECK_FALSE(stage.has_reply(stage.two, waiting));
  stage.ask(stage.one, protocol::EndSession{stage.session.id});
  CHECK(stage.refused(stage.two, waiting) == ErrorCode::session_ended);
  CHECK(stage.refusal(stage.one, protocol::Publish{token, Scene::value("late")}) == ErrorCode::unknown_token);
  CHECK(stage.counted("keys_known") == 0);
}

TEST_CASE("a session ends at once for readers and requests, however much it has, and is answered when nothing is left") {
  Settings settings;
  settings.invalidated_per_step_max = 4;
  SessionsStage stage(settings);
  stage.open(stage.two, stage.session.id);
  for (int i = 0; i < 20; ++i) stage.put(stage.one, key_in(stage.session, "f", i), "value");
  const std::string computed = key_in(stage.session, "g");
  const protocol::Token token = stage.lease(stage.one, computed);  // settled last of all
  stage.put(stage.one, key_of("f"), "of no session");

  const RequestId ending = stage.ask(stage.two, protocol::EndSession{stage.session.id});
  CHECK(stage.in_table() == 0);
  CHECK_FALSE(stage.has_reply(stage.two, ending));
  CHECK(stage.store.records.size() > 10);  // and nobody finds one of them:
  CHECK(stage.refusal(stage.one, stage.acquire(key_in(stage.session, "f", 19))) == ErrorCode::session_ended);
  CHECK(stage.refusal(stage.one, protocol::Publish{token, Scene::value("late")}) == ErrorCode::unknown_token);

  std::size_t left = stage.store.records.size();
  while (!stage.has_reply(stage.two, ending)) {
    REQUIRE(stage.engine.next_deadline() == stage.now);
    stage.step(Ticked{});
    CHECK(left - stage.store.records.size() <= 4);
    left = stage.store.records.size();
  }
  CHECK(stage.take<protocol::Done>(stage.two, ending).count == 20);
  CHECK(stage.store.records.size() == 1);
  CHECK(stage.store.find(key_of("f")).has_value());
}

TEST_CASE("after a rotation the data is under the new id, and the old one is dead") {
  SessionsStage stage;
  const std::string key = key_in(stage.session);
  stage.open(stage.two, stage.session.id);
  stage.put(stage.one, key, "kept");
  const auto rotated = stage.take<protocol::SessionOpened>(stage.one, stage.ask(stage.one, protocol::RotateSession{stage.session.id}));
  CHECK(rotated.number == stage.session.number);
  CHECK(rotated.generation > stage.session.generation);
  CHECK(rotated.id != stage.session.id);
  CHECK(stage.in_table() == rotated.generation);

  CHECK(stage.inline_bytes(stage.one, stage.ask(stage.one, stage.acquire(key))) == "kept");
  CHECK(stage.refusal(stage.two, stage.acquire(key)) == ErrorCode::session_ended);
  CHECK(stage.refusal(stage.two, protocol::OpenSession{stage.session.id}) == ErrorCode::session_ended);
  CHECK(stage.refusal(stage.two, protocol::EndSession{stage.session.id}) == ErrorCode::session_ended);
  stage.open(stage.two, rotated.id);
  CHECK(stage.inline_bytes(stage.two, stage.ask(stage.two, stage.acquire(key))) == "kept");
}

TEST_CASE("what was begun under the old id is nobody's after a rotation") {
  SessionsStage stage;
  const std::string key = key_in(stage.session);
  const std::string failed = key_in(stage.session, "g");
  stage.open(stage.two, stage.session.id);
  const RequestId computing = stage.ask(stage.two, stage.acquire(key));
  const protocol::Token token = stage.take<protocol::Lease>(stage.two, computing).token;
  const RequestId waiting = stage.ask(stage.one, stage.acquire(key));
  stage.ask(stage.two, protocol::Fail{stage.lease(stage.two, failed), "planted", 60'000});

  const auto rotated = stage.take<protocol::SessionOpened>(stage.one, stage.ask(stage.one, protocol::RotateSession{stage.session.id}));
  CHECK(stage.refusal(stage.two, protocol::Publish{token, Scene::value("planted")}) == ErrorCode::unknown_token);
  CHECK(stage.take<protocol::LeaseLost>(stage.two, computing).why == LeaseEnd::session_ended);
  stage.pass(0ms);
  CHECK(stage.refused(stage.one, waiting) == ErrorCode::session_ended);
  CHECK(stage.store.records.empty());
  stage.take<protocol::Lease>(stage.one, stage.ask(stage.one, stage.acquire(failed)));
  CHECK(rotated.number == stage.session.number);
}

TEST_CASE("subscriptions in a session hear of its end, and end with it and with its id") {
  SessionsStage stage;
  stage.open(stage.two, stage.session.id);
  const std::string key = key_in(stage.session);
  const RequestId all = stage.ask(stage.one, protocol::Subscribe{everything()});
  const RequestId of_session = stage.ask(stage.two, protocol::Subscribe{session_scope(stage.session)});
  const RequestId of_key = stage.ask(stage.two, protocol::Subscribe{key_scope(key)});
  stage.put(stage.one, key, "value");
  stage.put(stage.one, key_of("f"), "another");
  CHECK(stage.events(stage.one, all) == std::vector{SignalEvent::done, SignalEvent::done});
  CHECK(stage.events(stage.two, of_session) == std::vector{SignalEvent::done});
  CHECK(stage.events(stage.two, of_key) == std::vector{SignalEvent::done});

  SUBCASE("ended") {
    stage.ask(stage.one, protocol::EndSession{stage.session.id});
    const auto signal = stage.take<protocol::Signal>(stage.two, of_session);
    CHECK(signal.event == SignalEvent::session_ended);
    CHECK(signal.version == stage.session.number);
    CHECK(signal.text == "ended");
    CHECK(signal.key.empty());
    CHECK(stage.events(stage.one, all) == std::vector{SignalEvent::session_ended, SignalEvent::invalidated});
  }
  SUBCASE("rotated") {
    stage.ask(stage.one, protocol::RotateSession{stage.session.id});
    CHECK(stage.events(stage.one, all).empty());
  }
  CHECK(stage.refused(stage.two, of_session) == ErrorCode::session_ended);
  CHECK(stage.refused(stage.two, of_key) == ErrorCode::session_ended);
  CHECK(stage.counted("subscriptions") == 1);
}

TEST_CASE("a session's values can be dropped without ending it, and its computations cancelled") {
  SessionsStage stage;
  const auto other = stage.new_session(stage.one);
  for (int i = 0; i < 3; ++i) stage.put(stage.one, key_in(stage.session, "f", i), "value");
  stage.put(stage.one, key_in(other), "another");
  stage.put(stage.one, key_of("f"), "shared");
  CHECK(stage.take<protocol::Done>(stage.one, stage.ask(stage.one, protocol::Invalidate{session_scope(stage.session)})).count == 3);
  CHECK(stage.store.records.size() == 2);
  stage.lease(stage.one, key_in(stage.session));
  stage.lease(stage.one, key_in(other, "g"));
  CHECK(stage.take<protocol::Done>(stage.one, stage.ask(stage.one, protocol::Cancel{session_scope(stage.session)})).count == 1);
  CHECK(stage.counted("computing") == 1);
}

TEST_CASE("an invalidation of a function or of everything is one for sessions too") {
  SessionsStage stage;
  stage.put(stage.one, key_in(stage.session), "value");
  CHECK(stage.take<protocol::Done>(stage.two, stage.ask(stage.two, protocol::Invalidate{function_scope("f")})).count == 1);
  stage.put(stage.one, key_in(stage.session), "value");
  CHECK(stage.take<protocol::Done>(stage.two, stage.ask(stage.two, protocol::Invalidate{everything()})).count == 1);
  CHECK(stage.store.records.empty());
}

TEST_CASE("records of sessions are wiped as soon as nobody pins them") {
  SessionsStage stage;
  const std::string key = key_in(stage.session);
  stage.put(stage.one, key_of("f"), "of no session");
  stage.ask(stage.one, protocol::Invalidate{key_scope(key_of("f"))});
  CHECK(stage.store.reclaims == 0);  // there is no hurry
  stage.put(stage.one, key, "one");
  stage.put(stage.one, key, "two");
  CHECK(stage.store.reclaims == 1);
  stage.store.pinned = true;
  stage.ask(stage.one, protocol::EndSession{stage.session.id});
  CHECK(stage.counted("retired_of_sessions") == 1);
  REQUIRE(stage.engine.next_deadline().has_value());
  stage.store.pinned = false;
  stage.pass(1s);
  CHECK(stage.counted("retired_of_sessions") == 0);
  CHECK_FALSE(stage.engine.next_deadline().has_value());
}

TEST_CASE("whoever has asked for an end and is gone is not answered; the end goes on") {
  Settings settings;
  settings.invalidated_per_step_max = 2;
  SessionsStage stage(settings);
  for (int i = 0; i < 9; ++i) stage.put(stage.one, key_in(stage.session, "f", i), "value");
  const RequestId ending = stage.ask(stage.one, protocol::EndSession{stage.session.id});
  stage.step(Disconnected{stage.one});
  stage.pass(1s);
  CHECK_FALSE(stage.has_reply(stage.one, ending));
  CHECK(stage.store.records.empty());
  CHECK(stage.counted("sessions_ending") == 0);
}

TEST_CASE("the end of the daemon answers who waits for a session's end") {
  Settings settings;
  settings.invalidated_per_step_max = 2;
  SessionsStage stage(settings);
  for (int i = 0; i < 9; ++i) stage.put(stage.one, key_in(stage.session, "f", i), "value");
  const RequestId ending = stage.ask(stage.one, protocol::EndSession{stage.session.id});
  stage.step(Draining{});
  CHECK(stage.refused(stage.one, ending) == ErrorCode::unavailable);
}

TEST_CASE("a session's row has its digest, never its id, and neither has the log") {
  SessionsStage stage;
  stage.put(stage.one, key_in(stage.session), "12345");
  stage.pass(2s);
  const auto listing = stage.take<protocol::SessionListing>(stage.two, stage.ask(stage.two, protocol::ListSessions{}));
  REQUIRE(listing.rows.size() == 1);
  const protocol::SessionRow& row = listing.rows.front();
  CHECK(row.number == stage.session.number);
  CHECK(row.bytes == 5);
  CHECK(row.entries == 1);
  CHECK(row.idle_ms == 2000);
  CHECK(row.idle_left_ms == 30 * 60 * 1000 - 2000);
  const ContentDigest digest = content_digest(std::as_bytes(std::span(stage.session.id)));
  CHECK(row.digest == Sessions::digest_text({reinterpret_cast<const char*>(digest.bytes), sizeof digest.bytes}));
  CHECK(row.digest.size() == 12);
  CHECK(stage.take<protocol::SessionListing>(stage.two, stage.ask(stage.two, protocol::ListSessions{row.number})).rows.empty());

  stage.ask(stage.one, protocol::RotateSession{stage.session.id});
  stage.ask(stage.one, protocol::EndSession{stage.session.id});
  REQUIRE_FALSE(stage.notes.empty());
  for (const std::string& note : stage.notes) CHECK(note.find(stage.session.id) == std::string::npos);
}

TEST_CASE("many sessions are listed page by page") {
  Settings settings;
  SessionsStage stage(settings);
  stage.store.places = 64;
  for (int i = 1; i < 64; ++i) stage.new_session(stage.one);
  const auto listing = stage.take<protocol::SessionListing>(stage.one, stage.ask(stage.one, protocol::ListSessions{}));
  CHECK(listing.rows.size() == 64);
  CHECK(listing.cursor == 0);
}

TEST_CASE("explain, listings and the state of a subscription show what a session has") {
  SessionsStage stage;
  const std::string key = key_in(stage.session);
  stage.put(stage.one, key, "value");
  stage.put(stage.one, key_of("f"), "shared");
  CHECK(stage.take<protocol::Explanation>(stage.one, stage.ask(stage.one, protocol::Explain{key})).row.state == protocol::KeyState::ready);
  const auto listing = stage.take<protocol::Listing>(stage.one, stage.ask(stage.one, protocol::List{{}, {}, stage.session.number}));
  REQUIRE(listing.rows.size() == 1);
  CHECK(listing.rows.front().key == key);
  const auto state = stage.take<protocol::State>(stage.one, stage.ask(stage.one, protocol::Subscribe{session_scope(stage.session)}));
  REQUIRE(state.entries.size() == 1);
  CHECK(state.entries.front().key == key);
}

TEST_CASE("cancelling what is computed in a session leaves what others have queued") {
  Settings settings;
  settings.max_concurrent["f"] = 1;
  SessionsStage stage(settings);
  const auto three = stage.connect("pid 3 (three)", {0, 3});
  stage.lease(stage.one, key_in(stage.session, "f", 1));
  const auto of_session = stage.ask(stage.one, stage.acquire(key_in(stage.session, "f", 2)));
  const auto of_nobody = stage.ask(three, stage.acquire(key_of("f", 3)));
  CHECK(stage.take<protocol::Done>(stage.one, stage.ask(stage.one, protocol::Cancel{session_scope(stage.session)})).count == 2);
  stage.take<protocol::Cancelled>(stage.one, of_session);
  stage.take<protocol::Lease>(three, of_nobody);  // it is its turn
}

TEST_CASE("who waits for a turn in a session that ends is told so, and the turn is another's") {
  Settings settings;
  settings.max_concurrent["f"] = 1;
  SessionsStage stage(settings);
  const auto three = stage.connect("pid 3 (three)", {0, 3});
  stage.lease(three, key_of("f", 1));
  const auto queued = stage.ask(stage.one, stage.acquire(key_in(stage.session, "f", 2)));
  CHECK(stage.take<protocol::Done>(stage.two, stage.ask(stage.two, protocol::EndSession{stage.session.id})).count == 0);
  CHECK(stage.refused(stage.one, queued) == ErrorCode::session_ended);
  CHECK(stage.counted("queued") == 0);
}

TEST_CASE("what was computed from a session's value goes with the session, also where it is nobody's") {
  SessionsStage stage;
  const std::string upstream = key_in(stage.session, "basket"), dependant = key_of("total");
  stage.put(stage.one, upstream, "three apples");
  const std::uint64_t version = stage.take<protocol::Value>(stage.one, stage.ask(stage.one, stage.acquire(upstream))).version;
  protocol::Put put{dependant, {{"", "", "3"}}, {}};
  put.retention.depends_on = {{upstream, version}};
  CHECK(stage.take<protocol::Published>(stage.one, stage.ask(stage.one, put)).stored);
  CHECK(stage.counted("entries") == 2);
  stage.take<protocol::Done>(stage.one, stage.ask(stage.one, protocol::EndSession{stage.session.id}));
  CHECK(stage.counted("entries") == 0);
  stage.engine.check_invariants();
}

TEST_CASE("a wait under an id that is dead, and was not told so yet, closes no circle") {
  Settings settings;
  settings.invalidated_per_step_max = 1;
  SessionsStage stage(settings);
  const auto three = stage.connect("pid 3 (three)", {0, 3});
  stage.open(three, stage.session.id);
  for (int i = 0; i < 3; ++i) stage.lease(stage.one, key_in(stage.session, "f", i));
  const std::string of_session = key_in(stage.session, "g");
  const auto ask_holding = [&](ConnectionId from, const std::string& key, protocol::Token held) {
    protocol::Acquire request = stage.acquire(key);
    request.held = {held};
    return stage.ask(from, request);
  };
  const auto g = stage.lease(stage.one, of_session), b = stage.lease(stage.two, key_of("b")), c = stage.lease(three, key_of("c"));
  ask_holding(stage.one, key_of("b"), g);
  const auto waits = ask_holding(three, of_session, c);
  CHECK(stage.refused(stage.two, ask_holding(stage.two, key_of("c"), b)) == ErrorCode::deadlock);
  stage.ask(stage.two, protocol::RotateSession{stage.session.id});
  REQUIRE_FALSE(stage.has_reply(three, waits));
  const auto again = ask_holding(stage.two, key_of("c"), b);
  CHECK_FALSE(stage.has_reply(stage.two, again));
  stage.pass(0s);
  CHECK(stage.refused(three, waits) == ErrorCode::session_ended);
  CHECK(stage.publish(three, c, "c").stored);
  CHECK(stage.inline_bytes(stage.two, again) == "c");
}
