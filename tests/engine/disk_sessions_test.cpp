// Sessions on disk: what is answered when, what comes back after a restart, and that nothing of one that has ended does.
#include <onced/protocol/session.hpp>

#include "blob_scene.hpp"
#include "fake_disk.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

struct KeepingDisk : FakeDisk {
  KeepingDisk() { with_sessions = true; }
};

struct KeptSessionsStage : DiskScene {
  explicit KeptSessionsStage(FakeDisk& its_disk, std::uint64_t epoch = 7) : DiskScene(its_disk, epoch) { last_secret = epoch * 1'000; }
  KeptSessionsStage(FakeDisk& its_disk, Settings with) : DiskScene(its_disk, std::move(with)) {}

  protocol::SessionOpened begin(protocol::NewSession request = {}) {
    const RequestId asked = ask(a, request);
    deliver();
    return take<protocol::SessionOpened>(a, asked);
  }
  protocol::SessionOpened open(ConnectionId from, const std::string& id) { return take<protocol::SessionOpened>(from, ask(from, protocol::OpenSession{id})); }
  ErrorCode refusal(ConnectionId from, protocol::Request request) { return refused(from, ask(from, std::move(request))); }
  bool noted(const std::string& text) const {
    return std::any_of(notes.begin(), notes.end(), [&](const std::string& one) { return one.find(text) != std::string::npos; });
  }
};

}  // namespace

// ---- answers --------------------------------------------------------------------------------------------------------

TEST_CASE("a new session is answered when it is on the disk, and its id is not what is there") {
  KeepingDisk disk;
  KeptSessionsStage stage(disk);
  const RequestId asked = stage.ask(stage.a, protocol::NewSession{.idle_ttl_ms = 60'000, .absolute_ttl_ms = 3'600'000});
  CHECK_FALSE(stage.has_reply(stage.a, asked));
  stage.deliver();
  const auto session = stage.take<protocol::SessionOpened>(stage.a, asked);
  REQUIRE(disk.sessions.size() == 1);
  const DiskSession& kept = disk.sessions.begin()->second;
  CHECK(kept.number == session.number);
  CHECK(kept.generation == session.generation);
  CHECK(kept.digest.size() == 32);
  CHECK(kept.digest.find(session.id.substr(0, 8)) == std::string::npos);
  CHECK(kept.idle_ttl_ms == 60'000);
  CHECK(kept.left_ms == 3'600'000);
}

TEST_CASE("when the disk fails a session begins and rotates in memory, which is said in the log, and its end is not called durable") {
  KeepingDisk disk;
  KeptSessionsStage stage(disk);
  disk.outcome = DiskOutcome::failed;
  const auto session = stage.begin();
  CHECK(stage.noted("sessions begin and get new ids in memory"));
  stage.put(stage.a, key_in(session), "kept in memory");
  const RequestId rotating = stage.ask(stage.a, protocol::RotateSession{session.id});
  stage.deliver();
  const auto rotated = stage.take<protocol::SessionOpened>(stage.a, rotating);
  CHECK(rotated.generation > session.generation);
  const RequestId ending = stage.ask(stage.a, protocol::EndSession{rotated.id});
  stage.deliver();
  CHECK(stage.refused(stage.a, ending) == ErrorCode::not_durable);
  CHECK(stage.refusal(stage.a, protocol::OpenSession{rotated.id}) == ErrorCode::session_ended);
  CHECK_FALSE(stage.store.visible(key_in(session)));
  CHECK(stage.counted("disk_not_durable") == 1);
}

TEST_CASE("a rotation is answered when it is on the disk; the old id is dead before") {
  KeepingDisk disk;
  KeptSessionsStage stage(disk);
  const auto session = stage.begin();
  const RequestId asked = stage.ask(stage.a, protocol::RotateSession{session.id});
  CHECK_FALSE(stage.has_reply(stage.a, asked));
  CHECK(stage.refusal(stage.b, protocol::OpenSession{session.id}) == ErrorCode::session_ended);
  stage.deliver();
  const auto rotated = stage.take<protocol::SessionOpened>(stage.a, asked);
  CHECK(disk.sessions.at(session.number).generation == rotated.generation);
  CHECK(stage.open(stage.b, rotated.id).generation == rotated.generation);
}

TEST_CASE("an end is answered when it is on the disk and nothing is left in memory, whichever comes last") {
  KeepingDisk disk;
  Settings settings = DiskScene::with_epoch(7);
  settings.invalidated_per_step_max = 4;
  for (const bool disk_first : {false, true}) {
    CAPTURE(disk_first);
    KeptSessionsStage stage(disk, settings);
    stage.last_secret = disk_first ? 1'000 : 2'000;
    const auto session = stage.begin();
    for (int i = 0; i < 20; ++i) stage.put(stage.a, key_in(session, i), "value");
    const RequestId asked = stage.ask(stage.a, protocol::EndSession{session.id});
    CHECK_FALSE(disk.sessions.contains(session.number));  // asked for at once
    CHECK(disk.values.empty());
    if (disk_first) stage.deliver();
    else stage.pass(1ms);
    CHECK_FALSE(stage.has_reply(stage.a, asked));
    if (disk_first) stage.pass(1ms);
    else stage.deliver();
    CHECK(stage.take<protocol::Done>(stage.a, asked).count == 20);
  }
}

TEST_CASE("who asked for an end and has gone is not waited for, and a daemon that ends answers all") {
  KeepingDisk disk;
  KeptSessionsStage stage(disk);
  const auto session = stage.begin();
  const auto other = stage.begin();
  stage.ask(stage.a, protocol::EndSession{session.id});
  stage.step(Disconnected{stage.a});
  stage.deliver();
  CHECK(stage.refusal(stage.b, protocol::OpenSession{session.id}) == ErrorCode::session_ended);

  const RequestId beginning = stage.ask(stage.b, protocol::NewSession{});
  const RequestId ending = stage.ask(stage.b, protocol::EndSession{other.id});
  stage.step(Draining{});
  CHECK_FALSE(stage.take<protocol::SessionOpened>(stage.b, beginning).id.empty());
  CHECK(stage.refused(stage.b, ending) == ErrorCode::unavailable);
  stage.deliver();
}

TEST_CASE("uses of a session are told to the disk four times in its idle time") {
  KeepingDisk disk;
  KeptSessionsStage stage(disk);
  const auto session = stage.begin({.idle_ttl_ms = 1'000, .absolute_ttl_ms = 0});
  for (int i = 0; i < 400; ++i) {
    stage.pass(10ms);
    stage.put(stage.a, key_in(session), "used");
  }
  CHECK(disk.uses == 16);  // in 4 s
  const auto for_ever = stage.begin({.idle_ttl_ms = 0, .absolute_ttl_ms = 0});
  CHECK(for_ever.idle_ttl_ms > 0);  // no longer than is configured
}

// ---- values ---------------------------------------------------------------------------------------------------------

TEST_CASE("a value of a session goes to the disk and comes back from there") {
  KeepingDisk disk;
  KeptSessionsStage stage(disk);
  const auto session = stage.begin();
  const std::string key = key_in(session);
  protocol::Put put{key, Scene::value("mine"), {}};
  put.retention.durable = true;
  const RequestId putting = stage.ask(stage.a, put);
  stage.deliver();
  CHECK(stage.take<protocol::Published>(stage.a, putting).durable);
  stage.evict();
  stage.open(stage.admin, session.id);
  CHECK(stage.says(key, "its value is on disk"));
  const RequestId asked = stage.ask(stage.a, stage.acquire(key));
  CHECK_FALSE(stage.has_reply(stage.a, asked));
  stage.deliver();
  CHECK(stage.inline_bytes(stage.a, asked) == "mine");
  CHECK(stage.store.visible(key));
  // An invalidation of its function means it, too.
  const RequestId dropping = stage.ask(stage.a, protocol::Invalidate{function_scope("f")});
  stage.deliver();
  stage.take<protocol::Done>(stage.a, dropping);
  CHECK_FALSE(disk.values.contains(key));
}

TEST_CASE("a session that ends while its value is read: the value goes nowhere") {
  KeepingDisk disk;
  KeptSessionsStage stage(disk);
  const auto session = stage.begin();
  const std::string key = key_in(session);
  stage.put(stage.a, key, "mine");
  stage.evict();
  const RequestId asked = stage.ask(stage.a, stage.acquire(key));
  CHECK(disk.loads == 1);
  const RequestId ending = stage.ask(stage.b, protocol::EndSession{session.id});
  CHECK(stage.refused(stage.a, asked) == ErrorCode::session_ended);
  stage.deliver();  // what was being read, too
  CHECK_FALSE(stage.store.visible(key));
  CHECK(stage.take<protocol::Done>(stage.b, ending).count == 0);
  CHECK(stage.counted("disk_misses") == 1);
  CHECK(stage.counted("sessions") == 0);
}

TEST_CASE("a session that is rotated while its value is read keeps it") {
  KeepingDisk disk;
  KeptSessionsStage stage(disk);
  const auto session = stage.begin();
  const std::string key = key_in(session);
  stage.put(stage.a, key, "mine");
  stage.evict();
  const RequestId asked = stage.ask(stage.a, stage.acquire(key));
  const RequestId rotating = stage.ask(stage.b, protocol::RotateSession{session.id});
  stage.deliver();
  CHECK(stage.refused(stage.a, asked) == ErrorCode::session_ended);
  stage.take<protocol::SessionOpened>(stage.b, rotating);
  CHECK(stage.inline_bytes(stage.b, stage.ask(stage.b, stage.acquire(key))) == "mine");
  CHECK(disk.loads == 1);
}

TEST_CASE("a session that ends while its value is computed: what is published goes to no disk") {
  KeepingDisk disk;
  KeptSessionsStage stage(disk);
  const auto session = stage.begin();
  const std::string key = key_in(session);
  const protocol::Token token = stage.lease(stage.a, key);
  const RequestId ending = stage.ask(stage.b, protocol::EndSession{session.id});
  stage.deliver();
  stage.take<protocol::Done>(stage.b, ending);
  CHECK(stage.refusal(stage.a, protocol::Publish{token, Scene::value("too late"), {}}) == ErrorCode::unknown_token);
  CHECK(stage.refusal(stage.a, protocol::Put{key, Scene::value("too late"), {}}) == ErrorCode::session_ended);
  CHECK(disk.values.empty());
}

TEST_CASE("dropping a session's values drops those that only the disk has, and reads wait for that") {
  KeepingDisk disk;
  KeptSessionsStage stage(disk);
  const auto session = stage.begin();
  const auto other = stage.begin();
  const std::string key = key_in(session);
  stage.put(stage.a, key, "mine");
  stage.evict();
  stage.put(stage.a, key_in(other), "of another");
  const RequestId dropping = stage.ask(stage.a, protocol::Invalidate{session_scope(session)});
  CHECK_FALSE(stage.has_reply(stage.a, dropping));
  const RequestId asked = stage.ask(stage.a, stage.acquire(key));
  CHECK(disk.loads == 0);
  stage.deliver();
  stage.take<protocol::Done>(stage.a, dropping);
  CHECK(stage.take<protocol::Lease>(stage.a, asked).cause == LeaseCause::absent);
  CHECK(disk.values.contains(key_in(other)));
}

// ---- restarts -------------------------------------------------------------------------------------------------------

TEST_CASE("after a restart a session goes on with its id, number, generation, values and time, and no number comes again") {
  KeepingDisk disk;
  protocol::SessionOpened session;
  protocol::SessionOpened ended;
  {
    KeptSessionsStage stage(disk);
    session = stage.begin({.idle_ttl_ms = 60'000, .absolute_ttl_ms = 600'000});
    stage.put(stage.a, key_in(session), "of before");
    ended = stage.begin();
    const RequestId ending = stage.ask(stage.a, protocol::EndSession{ended.id});
    stage.deliver();
    stage.take<protocol::Done>(stage.a, ending);
  }
  disk.later_ms = 20'000;
  KeptSessionsStage stage(disk, 8);
  CHECK(stage.noted("1 sessions go on"));
  CHECK(stage.refusal(stage.a, protocol::OpenSession{ended.id}) == ErrorCode::session_ended);
  // Nobody has shown its id to this daemon.
  CHECK(stage.refusal(stage.a, stage.acquire(key_in(session))) == ErrorCode::not_permitted);
  const auto listed = stage.take<protocol::SessionListing>(stage.admin, stage.ask(stage.admin, protocol::ListSessions{}));
  REQUIRE(listed.rows.size() == 1);
  CHECK(listed.rows[0].number == session.number);
  CHECK(listed.rows[0].idle_ms == 20'000);
  CHECK(listed.rows[0].idle_left_ms == 40'000);
  CHECK(listed.rows[0].absolute_left_ms == 580'000);
  CHECK(listed.rows[0].age_ms == 20'000);
  CHECK(listed.rows[0].entries == 0);  // what is in memory

  const auto opened = stage.open(stage.b, session.id);
  CHECK(opened.number == session.number);
  CHECK(opened.generation == session.generation);
  CHECK(stage.store.generations.at(session.number % stage.store.places) == session.generation);
  const RequestId asked = stage.ask(stage.b, stage.acquire(key_in(session)));
  stage.deliver();
  CHECK(stage.inline_bytes(stage.b, asked) == "of before");
  for (int i = 0; i < 100; ++i) {
    const auto next = stage.begin();
    CHECK(next.number > ended.number);
    CHECK(next.number > session.number);
    CHECK(next.generation > session.generation);
    const RequestId ending = stage.ask(stage.a, protocol::EndSession{next.id});
    stage.deliver();
    stage.take<protocol::Done>(stage.a, ending);
  }
}

// What it knew was older than what was given to the session at the start; a second restart would end it before its time.
TEST_CASE("the first use after a restart is told to the disk, however short a time after the last one") {
  KeepingDisk disk;
  protocol::SessionOpened session;
  {
    KeptSessionsStage stage(disk);
    session = stage.begin({.idle_ttl_ms = 1'000, .absolute_ttl_ms = 0});
  }
  disk.later_ms = 100;
  KeptSessionsStage stage(disk, 8);
  disk.uses = 0;
  stage.open(stage.a, session.id);
  CHECK(disk.uses == 1);
  stage.pass(10ms);
  stage.open(stage.a, session.id);
  CHECK(disk.uses == 1);
}

TEST_CASE("after a restart a session ends when its time is over, and then on the disk, too") {
  KeepingDisk disk;
  protocol::SessionOpened idle;
  protocol::SessionOpened aged;
  {
    KeptSessionsStage stage(disk);
    idle = stage.begin({.idle_ttl_ms = 60'000, .absolute_ttl_ms = 6'000'000});
    aged = stage.begin({.idle_ttl_ms = 600'000, .absolute_ttl_ms = 90'000});
    stage.put(stage.a, key_in(idle), "of one that idles");
  }
  disk.later_ms = 50'000;
  KeptSessionsStage stage(disk, 8);
  stage.pass(9s);
  CHECK(disk.sessions.size() == 2);
  stage.pass(2s);
  CHECK_FALSE(disk.sessions.contains(idle.number));
  CHECK(disk.values.empty());
  CHECK(stage.refusal(stage.a, protocol::OpenSession{idle.id}) == ErrorCode::session_ended);
  stage.open(stage.a, aged.id);
  stage.pass(40s);
  CHECK(disk.sessions.empty());
  CHECK(stage.refusal(stage.a, protocol::OpenSession{aged.id}) == ErrorCode::session_ended);
}

TEST_CASE("an old id is dead after a restart, too, and so is what was told of its generation") {
  KeepingDisk disk;
  protocol::SessionOpened session;
  protocol::SessionOpened rotated;
  {
    KeptSessionsStage stage(disk);
    session = stage.begin();
    const RequestId asked = stage.ask(stage.a, protocol::RotateSession{session.id});
    stage.deliver();
    rotated = stage.take<protocol::SessionOpened>(stage.a, asked);
  }
  KeptSessionsStage stage(disk, 8);
  CHECK(stage.refusal(stage.a, protocol::OpenSession{session.id}) == ErrorCode::session_ended);
  CHECK(stage.open(stage.a, rotated.id).generation == rotated.generation);
  CHECK(stage.store.generations.at(session.number % stage.store.places) != session.generation);
}

TEST_CASE("more sessions than places: of two at one place the one that was used last goes on, and above the limit those used longest ago go") {
  KeepingDisk disk;
  for (std::uint64_t i = 1; i <= 12; ++i) {  // 64 places: each number has its own, and 64 + n shares that of n
    DiskSession session{.number = i <= 10 ? i : 64 + i - 10, .generation = i, .digest = std::string(32, static_cast<char>('a' + i))};
    session.idle_ttl_ms = 600'000;
    session.idle_for_ms = i == 12 ? 9'000 : 1'000 * i;  // the 12th is older than the 2nd, the 11th than the 1st
    disk.sessions[session.number] = session;
  }
  disk.session_numbers = 1'000;
  Settings settings = DiskScene::with_epoch(7);
  settings.sessions.sessions_max = 5;
  KeptSessionsStage stage(disk, settings);
  CHECK(disk.sessions.size() == 10);
  CHECK_FALSE(disk.sessions.contains(65));
  CHECK_FALSE(disk.sessions.contains(66));
  CHECK(stage.noted("its place was needed"));
  const auto next = stage.begin();
  CHECK(next.number >= 1'000);
  CHECK(disk.sessions.contains(1));
  CHECK_FALSE(disk.sessions.contains(10));
  for (int i = 0; i < 3; ++i) stage.begin();
  CHECK(disk.sessions.size() == 5);
}

TEST_CASE("a tier that keeps no sessions is asked for nothing of them") {
  FakeDisk disk;
  DiskScene scene(disk);
  const auto session = scene.new_session(scene.a);
  const std::string key = key_in(session);
  protocol::Put put{key, Scene::value("mine"), {}};
  put.retention.durable = true;
  CHECK_FALSE(scene.take<protocol::Published>(scene.a, scene.ask(scene.a, put)).durable);
  scene.take<protocol::Done>(scene.a, scene.ask(scene.a, protocol::Invalidate{session_scope(session)}));
  scene.take<protocol::Done>(scene.a, scene.ask(scene.a, protocol::EndSession{session.id}));
  CHECK(disk.values.empty());
  CHECK(disk.sessions.empty());
  CHECK(disk.written.empty());
  CHECK(disk.loads == 0);
}
