// Sessions: idle and absolute time, quotas, how many there may be, and a million of them.
#include <unordered_set>

#include <onced/protocol/session.hpp>

#include "scene.hpp"
#include "support/stride.hpp"

using namespace onced;
using namespace onced::engine;

namespace {

Settings with(SessionSettings sessions) {
  Settings settings;
  settings.sessions = sessions;
  return settings;
}

bool is_there(Scene& scene, ConnectionId from, const std::string& id) {
  const RequestId request = scene.ask(from, protocol::OpenSession{id});
  return std::holds_alternative<protocol::SessionOpened>(scene.inbox[{from, request}].front());
}

}  // namespace

TEST_CASE("a session ends when it was not used for its idle time, and not before") {
  Scene scene(with({.idle_ttl = 8s, .absolute_ttl = 0s}));
  const ConnectionId one = scene.connect();
  const auto session = scene.new_session(one);
  CHECK(session.idle_ttl_ms == 8000);
  CHECK(session.absolute_left_ms == 0);
  scene.put(one, key_in(session), "value");
  scene.pass(7900ms);
  scene.take<protocol::Done>(one, scene.ask(one, protocol::TouchSession{session.number}));
  scene.pass(7900ms);
  scene.take<protocol::Value>(one, scene.ask(one, scene.acquire(key_in(session))));
  scene.pass(7900ms);
  CHECK(scene.counted("sessions") == 1);
  scene.pass(150ms);
  CHECK(scene.counted("sessions") == 0);
  CHECK(scene.counted("sessions_expired") == 1);
  CHECK(scene.store.records.empty());
  CHECK(scene.refused(one, scene.ask(one, scene.acquire(key_in(session)))) == ErrorCode::session_ended);
  CHECK_FALSE(is_there(scene, one, session.id));
}

TEST_CASE("a request after the idle time is refused though the tick has not come") {
  Scene scene(with({.idle_ttl = 8s}));
  const ConnectionId one = scene.connect();
  const auto session = scene.new_session(one);
  const auto other = scene.new_session(one);
  scene.now += 8s;
  CHECK(scene.refused(one, scene.ask(one, scene.acquire(key_in(session)))) == ErrorCode::session_ended);
  CHECK_FALSE(is_there(scene, one, other.id));
}

TEST_CASE("hits that the daemon never sees keep a session, by their marks") {
  Scene scene(with({.idle_ttl = 8s, .absolute_ttl = 0s}));
  const ConnectionId one = scene.connect();
  const auto session = scene.new_session(one);
  for (int i = 0; i < 20; ++i) {
    scene.store.used_sessions.insert(session.number);
    scene.pass(5s);
  }
  CHECK(scene.counted("sessions") == 1);
  scene.pass(10s);  // a quarter more than the idle time at most
  CHECK(scene.counted("sessions") == 0);
}

TEST_CASE("a mark that the former session of a place has left does not count for its successor") {
  SessionSettings settings{.idle_ttl = 8s, .absolute_ttl = 0s};
  Scene scene(with(settings));
  const ConnectionId one = scene.connect();
  const auto first = scene.new_session(one);
  scene.ask(one, protocol::EndSession{first.id});
  scene.store.used_sessions.insert(first.number + scene.store.places);
  const auto second = scene.new_session(one);
  CHECK(second.number == first.number + scene.store.places);
  CHECK(scene.store.used_sessions.empty());
}

TEST_CASE("a session ends at its age, however much it is used") {
  Scene scene(with({.idle_ttl = 8s, .absolute_ttl = 20s}));
  const ConnectionId one = scene.connect();
  const auto session = scene.new_session(one);
  CHECK(session.absolute_left_ms == 20'000);
  for (int i = 0; i < 19; ++i) {
    scene.pass(1s);
    scene.take<protocol::Done>(one, scene.ask(one, protocol::TouchSession{session.number}));
  }
  scene.pass(1s);
  CHECK(scene.counted("sessions") == 0);
  CHECK_FALSE(is_there(scene, one, session.id));
}

TEST_CASE("a rotation does not make a session younger") {
  Scene scene(with({.idle_ttl = 0s, .absolute_ttl = 20s}));
  const ConnectionId one = scene.connect();
  const auto session = scene.new_session(one);
  scene.pass(15s);
  const auto rotated = scene.take<protocol::SessionOpened>(one, scene.ask(one, protocol::RotateSession{session.id}));
  CHECK(rotated.absolute_left_ms == 5000);
}

TEST_CASE("a client may ask for shorter times, not for longer ones") {
  Scene scene(with({.idle_ttl = 8s, .absolute_ttl = 20s}));
  const ConnectionId one = scene.connect();
  const auto shorter = scene.new_session(one, {.idle_ttl_ms = 500, .absolute_ttl_ms = 700});
  CHECK(shorter.idle_ttl_ms == 500);
  CHECK(shorter.absolute_left_ms == 700);
  for (const std::uint64_t much : {std::uint64_t{0}, std::uint64_t{1'000'000}, protocol::as_configured - 1}) {
    const auto longer = scene.new_session(one, {.idle_ttl_ms = much, .absolute_ttl_ms = much});
    CHECK(longer.idle_ttl_ms == 8000);
    CHECK(longer.absolute_left_ms == 20'000);
  }
}

TEST_CASE("a session that has all it may keep loses values of its own, and no others") {
  Scene scene(with({.bytes_max = 100, .entries_max = 5}));
  const ConnectionId one = scene.connect();
  const auto small = scene.new_session(one);
  const auto other = scene.new_session(one);
  scene.put(one, key_of("f"), std::string(90, 's'));
  scene.put(one, key_in(other), std::string(90, 'o'));

  for (int i = 0; i < 9; ++i) scene.put(one, key_in(small, i), "x");
  std::size_t kept = 0;
  for (int i = 0; i < 9; ++i) kept += scene.store.find(key_in(small, i)) ? 1U : 0U;
  CHECK(kept == 5);
  CHECK(scene.counted("session_evictions") == 4);

  CHECK(scene.put(one, key_in(small, 8), std::string(100, 'x')).stored);
  CHECK(scene.store.find(key_in(small, 8)).has_value());
  CHECK(scene.store.records.size() == 3);
  CHECK(scene.store.find(key_in(other)).has_value());
  CHECK(scene.store.find(key_of("f")).has_value());
  const auto explained = scene.take<protocol::Explanation>(one, scene.ask(one, protocol::Explain{key_in(small, 7)}));
  CHECK(explained.lines.at(0).find("because its session had all that it may keep") != std::string::npos);
}

TEST_CASE("a value larger than a session may keep reaches who asked, and is not kept") {
  Scene scene(with({.bytes_max = 100}));
  const ConnectionId one = scene.connect();
  const ConnectionId two = scene.connect();
  const auto session = scene.new_session(one);
  scene.take<protocol::SessionOpened>(two, scene.ask(two, protocol::OpenSession{session.id}));
  const std::string key = key_in(session);
  scene.put(one, key, "an old one");
  scene.put(one, key_in(session, 1), "stays");
  protocol::Acquire forced = scene.acquire(key);
  forced.force = true;
  const auto token = scene.take<protocol::Lease>(one, scene.ask(one, forced)).token;
  const RequestId waiting = scene.ask(two, forced);
  CHECK_FALSE(scene.publish(one, token, std::string(101, 'x')).stored);
  CHECK(scene.inline_bytes(two, waiting) == std::string(101, 'x'));
  CHECK_FALSE(scene.store.find(key).has_value());
  CHECK(scene.store.find(key_in(session, 1)).has_value());
  const auto explained = scene.take<protocol::Explanation>(one, scene.ask(one, protocol::Explain{key}));
  CHECK(explained.lines.at(0).find("sessions.bytes_max") != std::string::npos);
}

TEST_CASE("a value takes the place of its own former one within the quota") {
  Scene scene(with({.bytes_max = 100, .entries_max = 1}));
  const ConnectionId one = scene.connect();
  const auto session = scene.new_session(one);
  for (int i = 0; i < 4; ++i) CHECK(scene.put(one, key_in(session), std::string(90, 'x')).stored);
  CHECK(scene.counted("evictions") == 0);
}

TEST_CASE("when there are as many sessions as there may be, the one used longest ago goes") {
  Scene scene(with({.idle_ttl = 0s, .absolute_ttl = 0s, .sessions_max = 3}));
  const ConnectionId one = scene.connect();
  const auto first = scene.new_session(one);
  const auto second = scene.new_session(one);
  const auto third = scene.new_session(one);
  scene.put(one, key_in(second), "value");
  scene.now += 1s;
  CHECK(is_there(scene, one, first.id));
  scene.store.used_sessions.insert(third.number);
  scene.new_session(one);
  CHECK_FALSE(is_there(scene, one, second.id));
  CHECK(scene.counted("sessions_evicted") == 1);
  CHECK(scene.counted("sessions_most") == 3);
  CHECK(scene.counted("sessions_max") == 3);
  scene.pass(0ms);
  CHECK(scene.store.records.empty());
  // The next would be the third, but its readers say otherwise.
  scene.store.used_sessions.insert(third.number);
  scene.now += 1s;
  scene.new_session(one);
  CHECK(is_there(scene, one, third.id));
  CHECK_FALSE(is_there(scene, one, first.id));
  CHECK(scene.counted("sessions") == 3);
}

TEST_CASE("there are no more sessions than places in the segment's table") {
  Scene scene;
  const ConnectionId one = scene.connect();
  for (std::size_t i = 0; i < scene.store.places + 10; ++i) scene.new_session(one);
  CHECK(scene.counted("sessions") == scene.store.places);
}

TEST_CASE("no session begins while too much of ended ones is still to be cleared away, and the refusal says the limit") {
  Settings settings = Scene::prepared(with({.idle_ttl = 10s, .absolute_ttl = 0s, .sessions_max = 2000}));
  settings.invalidated_per_step_max = 1;
  FakeBlobStore blobs;
  FakeStore store(blobs);
  store.places = 4096;
  store.records_max = 4096;
  Engine engine(settings, store, blobs);
  Scene secrets;
  Effects effects;
  Time now = 1s;
  RequestId number = 0;
  engine.apply(Connected{ConnectionId{1}, "pid 1", {}}, now, effects);
  const auto answer_to = [&](protocol::Request what) {
    Requested request{ConnectionId{1}, ++number, std::move(what)};
    request.secret = secrets.fresh_secret();
    effects.clear();
    engine.apply(std::move(request), now, effects);
    for (const Effect& effect : effects) {
      const auto* send = std::get_if<Send>(&effect);
      if (send != nullptr && send->id == number) return send->reply;
    }
    return protocol::Reply(protocol::Done{});
  };
  for (int i = 0; i < 2000; ++i) {
    const auto session = std::get<protocol::SessionOpened>(answer_to(protocol::NewSession{}));
    answer_to(protocol::Put{key_in(session), Scene::value("value")});
  }
  now += 11s;
  for (int step = 0; step < 100; ++step) {  // all expire; a value goes in each step
    effects.clear();
    engine.apply(Ticked{}, now, effects);
  }
  settings.sessions.sessions_max = 1;
  engine.reconfigure(settings);
  const protocol::Reply refusal = answer_to(protocol::NewSession{});
  REQUIRE(std::holds_alternative<protocol::Refused>(refusal));
  const auto& refused = std::get<protocol::Refused>(refusal);
  CHECK(refused.code == ErrorCode::limit_reached);
  CAPTURE(refused.text);
  CHECK(refused.text.find("1025 may be: sessions.sessions_max (1) and 1024 more") != std::string::npos);
  const auto counted = [&](const std::string& name) {
    for (const auto& [field, value] : engine.statistics(now).fields)
      if (field == name) return std::get<std::uint64_t>(value);
    return ~std::uint64_t{0};
  };
  CHECK(counted("sessions_refused") == 1);
  CHECK(counted("sessions_max") == 1);
  CHECK(counted("session_bytes_max") == limits::session_bytes_max);
  CHECK(counted("session_entries_max") == limits::session_entries_max);
  for (int step = 0; step < 4000 && !store.records.empty(); ++step) {
    effects.clear();
    engine.apply(Ticked{}, now, effects);
  }
  CHECK(std::holds_alternative<protocol::SessionOpened>(answer_to(protocol::NewSession{})));
  engine.check_invariants();
}

TEST_CASE("touch() is a use of the session that it names, and of no other") {
  Scene scene(with({.idle_ttl = 8s, .absolute_ttl = 0s}));
  const ConnectionId one = scene.connect();
  const auto touched = scene.new_session(one);
  const auto left = scene.new_session(one);
  for (int i = 0; i < 4; ++i) {
    scene.pass(5s);
    scene.take<protocol::Done>(one, scene.ask(one, protocol::TouchSession{touched.number}));
  }
  CHECK_FALSE(is_there(scene, one, left.id));
  CHECK(is_there(scene, one, touched.id));
  CHECK(scene.refused(one, scene.ask(one, protocol::TouchSession{left.number})) == ErrorCode::session_ended);
}

TEST_CASE("a reload with a lower limit of sessions is met step by step") {
  Scene scene(with({.idle_ttl = 0s, .absolute_ttl = 0s}));
  const ConnectionId one = scene.connect();
  for (int i = 0; i < 60; ++i) scene.new_session(one);
  scene.settings.sessions.sessions_max = 2;
  scene.engine.reconfigure(scene.settings);
  for (int i = 0; i < 3; ++i) {
    scene.ask(one, protocol::NewSession{});
    scene.pass(0ms);
  }
  CHECK(scene.counted("sessions") == 2);
}

TEST_CASE("a connection remembers so many opened sessions; the one opened longest ago is to be opened again") {
  Scene scene(with({.idle_ttl = 0s, .absolute_ttl = 0s}));
  scene.store.places = 64;
  Settings settings;
  FakeBlobStore blobs;
  FakeStore store(blobs);
  store.places = 4096;
  Engine engine(Scene::prepared(settings), store, blobs);
  Effects effects;
  engine.apply(Connected{ConnectionId{1}, "pid 1", {}}, 1s, effects);
  std::vector<protocol::SessionOpened> sessions;
  protocol::Token begun;  // in the first
  for (std::size_t i = 0; i <= limits::opened_sessions_per_connection_max; ++i) {
    if (i == 1) {
      effects.clear();
      engine.apply(Requested{ConnectionId{1}, 9997, protocol::Acquire{.key = std::string(KeyBuilder("sum", "", sessions.front().number).build().value().bytes()), .held = {}}}, 1s, effects);
      begun = std::get<protocol::Lease>(std::get<Send>(effects.front()).reply).token;
    }
    effects.clear();
    Requested request{ConnectionId{1}, i + 1, protocol::NewSession{}};
    request.secret = scene.fresh_secret();
    engine.apply(request, 1s, effects);
    for (const Effect& effect : effects)
      if (const auto* send = std::get_if<Send>(&effect)) sessions.push_back(std::get<protocol::SessionOpened>(send->reply));
  }
  const auto touch = [&](const protocol::SessionOpened& session) {
    effects.clear();
    engine.apply(Requested{ConnectionId{1}, 9999, protocol::TouchSession{session.number}}, 1s, effects);
    const auto* refused = std::get_if<protocol::Refused>(&std::get<Send>(effects.front()).reply);
    return refused == nullptr ? std::string() : std::string(name_of(refused->code));
  };
  // What was begun in it by then depends on its values as before.
  const auto key_of_first = [&](const std::string& function) { return std::string(KeyBuilder(function, "", sessions.front().number).build().value().bytes()); };
  effects.clear();
  engine.apply(Requested{ConnectionId{1}, 9998, protocol::Publish{begun, Scene::value("v"), {.depends_on = {{key_of_first("basket"), 1}}}}}, 1s, effects);
  CHECK(std::holds_alternative<protocol::Published>(std::get<Send>(effects.front()).reply));
  CHECK(touch(sessions.front()) == "not_permitted");
  CHECK(touch(sessions.at(1)).empty());
  CHECK(touch(sessions.back()).empty());
  engine.check_invariants();
}

// The whole of it: ids never come twice, memory is what the limits allow, no step does more than its share.
TEST_CASE("a million sessions are made, used and expire") {
  constexpr std::size_t sessions_wanted = 1'000'000 / onced::testing::stride;
  Settings settings = Scene::prepared(with({.idle_ttl = 10s, .absolute_ttl = 0s, .sessions_max = 4096}));
  FakeBlobStore blobs;
  FakeStore store(blobs);
  store.places = 4096;
  store.records_max = 1'000'000;
  Engine engine(settings, store, blobs);
  Scene secrets;
  Effects effects;
  Time now = 1s;
  const ConnectionId one{1};
  engine.apply(Connected{one, "pid 1", {}}, now, effects);

  std::unordered_set<std::string> ids;
  std::unordered_set<std::uint64_t> numbers;
  std::unordered_set<std::uint64_t> generations;
  ids.reserve(sessions_wanted);
  std::size_t records_most = 0;
  std::size_t looks_most = 0;
  std::size_t dropped_most = 0;
  RequestId request = 0;
  protocol::SessionOpened last;
  const auto step = [&](Event event) {
    effects.clear();
    const std::size_t looks = store.session_looks;
    const std::size_t records = store.records.size();
    engine.apply(std::move(event), now, effects);
    looks_most = std::max(looks_most, store.session_looks - looks);
    dropped_most = std::max(dropped_most, records - std::min(records, store.records.size()));
    records_most = std::max(records_most, store.records.size());
    for (const Effect& effect : effects) {
      const auto* send = std::get_if<Send>(&effect);
      if (send == nullptr) continue;
      if (const auto* opened = std::get_if<protocol::SessionOpened>(&send->reply)) last = *opened;
      if (const auto* refused = std::get_if<protocol::Refused>(&send->reply)) FAIL(refused->text);
    }
  };
  for (std::size_t i = 0; i < sessions_wanted; ++i) {
    Requested create{one, ++request, protocol::NewSession{}};
    create.secret = secrets.fresh_secret();
    step(std::move(create));
    REQUIRE(ids.insert(last.id).second);
    REQUIRE(numbers.insert(last.number).second);
    REQUIRE(generations.insert(last.generation).second);
    if (i % 4 == 0) step(Requested{one, ++request, protocol::Put{key_in(last), Scene::value("value")}});
    if (i % 2200 == 2199) now += 9s;  // most expire; some make room for others before
    for (auto due = engine.next_deadline(); due && *due <= now; due = engine.next_deadline()) step(Ticked{});
  }
  CHECK(looks_most <= limits::sessions_checked_per_step_max + 20);
  CHECK(dropped_most <= limits::invalidated_per_step_max);
  CHECK(records_most <= 3 * 4096);
  for (int i = 0; i < 20; ++i) {
    now += 1s;
    for (auto due = engine.next_deadline(); due && *due <= now; due = engine.next_deadline()) step(Ticked{});
  }
  engine.check_invariants();
  const protocol::Statistics statistics = engine.statistics(now);
  const auto counted = [&](const std::string& name) {
    for (const auto& [field, number] : statistics.fields)
      if (field == name) return std::get<std::uint64_t>(number);
    FAIL(name);
    return std::uint64_t{0};
  };
  CHECK(counted("sessions") == 0);
  CHECK(counted("sessions_ending") == 0);
  CHECK(counted("keys_known") == 0);
  CHECK(counted("sessions_made") == sessions_wanted);
  CHECK(counted("sessions_expired") + counted("sessions_evicted") == sessions_wanted);
  CHECK(counted("sessions_expired") > sessions_wanted / 2);
  CHECK(store.records.empty());
}
