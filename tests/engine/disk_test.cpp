// Values on disk: what is written, and what is read and when (L11 seen from the engine). Drops: disk_drops_test.cpp; blobs: disk_blobs_test.cpp.
#include "engine/text.hpp"
#include "fake_disk.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

// ---- what is said of it ---------------------------------------------------------------------------------------------

TEST_CASE("explain offers what is on disk only while it may be given to whoever asks") {
  FakeDisk disk;
  DiskScene scene(disk);
  scene.ask(scene.a, tagged(disk_key, "v", {"blue"}));
  CHECK(scene.says(disk_key, "on disk too"));
  scene.ask(scene.admin, protocol::Invalidate{tag_scope("blue"), true});
  REQUIRE(disk.may_have(disk_key));  // nobody has looked at it yet
  CHECK_FALSE(scene.says(disk_key, "on disk"));
  scene.ask(scene.a, tagged(disk_key, "v", {"blue"}));
  scene.ask(scene.admin, protocol::Invalidate{function_scope("chart"), false});
  REQUIRE(disk.may_have(disk_key));
  CHECK(scene.says(disk_key, "invalidated "));
  CHECK_FALSE(scene.says(disk_key, "on disk"));
}

TEST_CASE("of a value that only an earlier daemon had, explain says that it is on disk, and nothing else") {
  FakeDisk disk;
  {
    DiskScene before(disk);
    before.put(before.a, disk_key, "v");
  }
  DiskScene scene(disk, 8);
  CHECK(scene.says(disk_key, "its value is on disk"));
  CHECK_FALSE(scene.says(disk_key, "never computed"));
}

// ---- reading --------------------------------------------------------------------------------------------------------

TEST_CASE("a value that memory has lost is read from disk once, however many ask, and then found in memory") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  CHECK(scene.says(disk_key, "its value is on disk"));
  const RequestId first = scene.ask(scene.a, scene.acquire(disk_key));
  const RequestId second = scene.ask(scene.b, scene.acquire(disk_key));
  const RequestId third = scene.ask(scene.admin, scene.get(disk_key));
  CHECK_FALSE(scene.has_reply(scene.a, first));
  CHECK(scene.says(disk_key, "being read from disk"));
  CHECK(disk.loads == 1);
  scene.deliver();
  CHECK(scene.inline_bytes(scene.a, first) == "of before");
  CHECK(scene.inline_bytes(scene.b, second) == "of before");
  CHECK(scene.inline_bytes(scene.admin, third) == "of before");
  CHECK(scene.store.visible(disk_key));
  CHECK(scene.inline_bytes(scene.a, scene.ask(scene.a, scene.acquire(disk_key))) == "of before");
  CHECK(disk.loads == 1);
  CHECK(scene.counted("disk_hits") == 3);
  CHECK(scene.counted("disk_loads") == 1);
  CHECK(scene.counted("misses") == 0);
}

TEST_CASE("it keeps its version, its cost and its age; subscribers hear that it is back") {
  FakeDisk disk;
  DiskScene scene(disk);
  const protocol::Token token = scene.lease(scene.a, disk_key);
  scene.now += 3s;
  const std::uint64_t version = scene.publish(scene.a, token, "dear").version;
  scene.evict();
  const RequestId watching = scene.ask(scene.b, protocol::Subscribe{key_scope(disk_key)});
  scene.events(scene.b, watching);
  disk.later_ms = 60'000;
  const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
  scene.deliver();
  const auto value = scene.take<protocol::Value>(scene.a, asked);
  CHECK(value.version == version);
  CHECK(value.cost_us == 3'000'000);
  CHECK_FALSE(value.waited);
  CHECK(scene.events(scene.b, watching) == std::vector{SignalEvent::loaded});
  CHECK(scene.says(disk_key, "stored " + duration_text(60s) + " ago"));
}

TEST_CASE("under another daemon it has a version of its own") {
  FakeDisk disk;
  {
    DiskScene before(disk);
    for (int i = 0; i < 5; ++i) before.put(before.a, disk_key, "of before");
  }
  DiskScene scene(disk, 8);
  const std::uint64_t newest = scene.put(scene.a, other_disk_key, "new").version;
  const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
  scene.deliver();
  CHECK(scene.take<protocol::Value>(scene.a, asked).version > newest);
  CHECK(scene.put(scene.a, disk_key, "newer").version > newest + 1);
}

TEST_CASE("when the disk has nothing, one of those who asked computes, and who was not to wait is told so") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  disk.problem = "its record is damaged";
  const RequestId passive = scene.ask(scene.admin, scene.get(disk_key));
  const RequestId first = scene.ask(scene.a, scene.acquire(disk_key));
  const RequestId second = scene.ask(scene.b, scene.acquire(disk_key));
  const RequestId impatient = scene.ask(scene.b, scene.acquire(disk_key, 0));
  scene.deliver();
  const auto lease = scene.take<protocol::Lease>(scene.a, first);
  CHECK(lease.cause == LeaseCause::absent);
  CHECK_FALSE(scene.has_reply(scene.b, second));
  CHECK(scene.refused(scene.admin, passive) == ErrorCode::timed_out);
  CHECK(scene.refused(scene.b, impatient) == ErrorCode::timed_out);
  scene.publish(scene.a, lease.token, "computed");
  CHECK(scene.inline_bytes(scene.b, second) == "computed");
  CHECK(scene.counted("disk_misses") == 1);
  CHECK(scene.counted("misses") == 4);
  CHECK(std::any_of(scene.notes.begin(), scene.notes.end(),
                    [](const std::string& note) { return note.find("could not be read from disk: its record is damaged") != std::string::npos; }));
}

TEST_CASE("who may not compute and does not wait hears that there is nothing") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  disk.problem = "gone";
  const RequestId asked = scene.ask(scene.admin, scene.get(disk_key));
  scene.deliver();
  CHECK(scene.refused(scene.admin, asked) == ErrorCode::not_found);
}

TEST_CASE("who is not to wait for others waits for the disk as long as it said, half a minute if it said nothing") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  protocol::Acquire request = scene.acquire(disk_key);
  request.may_compute = false;
  request.wait_ms = 0;
  const RequestId usual = scene.ask(scene.a, request);
  request.load_ms = 90'000;
  const RequestId patient = scene.ask(scene.b, request);
  scene.pass(std::chrono::seconds(29));
  CHECK_FALSE(scene.has_reply(scene.a, usual));
  scene.pass(std::chrono::seconds(2));
  CHECK(scene.take<protocol::Refused>(scene.a, usual).code == ErrorCode::timed_out);
  scene.pass(std::chrono::seconds(50));
  CHECK_FALSE(scene.has_reply(scene.b, patient));
  scene.deliver();
  CHECK(scene.inline_bytes(scene.b, patient) == "of before");
}

TEST_CASE("with too many loads under way it is computed") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  disk.takes_loads = false;
  CHECK(scene.take<protocol::Lease>(scene.a, scene.ask(scene.a, scene.acquire(disk_key))).cause == LeaseCause::absent);
}

TEST_CASE("a forced request is not answered by the disk") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  protocol::Acquire forced = scene.acquire(disk_key);
  forced.force = true;
  CHECK(scene.take<protocol::Lease>(scene.a, scene.ask(scene.a, forced)).cause == LeaseCause::absent);
  CHECK(disk.loads == 0);

  const RequestId loading = scene.ask(scene.b, scene.acquire(other_disk_key));  // nobody has it anywhere
  scene.take<protocol::Lease>(scene.b, loading);
  OnDisk second(disk, disk_key);
  const RequestId plain = second.ask(second.a, second.acquire(disk_key));
  const RequestId late = second.ask(second.b, forced);
  second.deliver();
  CHECK(second.inline_bytes(second.a, plain) == "of before");
  CHECK(second.take<protocol::Lease>(second.b, late).cause == LeaseCause::forced);
}

TEST_CASE("what holds whoever waits for a load ends: the daemon, the connection, the deadline") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  const RequestId timed = scene.ask(scene.a, scene.acquire(disk_key, 100));
  scene.pass(200ms);
  const auto refused = scene.take<protocol::Refused>(scene.a, timed);
  CHECK(refused.code == ErrorCode::timed_out);
  CHECK(refused.text.find("read from disk") != std::string::npos);
  scene.ask(scene.b, scene.acquire(disk_key));
  scene.step(Disconnected{scene.b});
  const RequestId drained = scene.ask(scene.a, scene.acquire(disk_key));
  scene.step(Draining{});
  CHECK(scene.refused(scene.a, drained) == ErrorCode::unavailable);
  scene.deliver();  // nobody waits for it any more
  CHECK(disk.loads == 1);
}

TEST_CASE("waiting for a load cannot close a circle: who would wait for himself afterwards is refused then") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  disk.problem = "gone";
  const protocol::Token held = scene.lease(scene.b, other_disk_key);
  const RequestId first = scene.ask(scene.a, scene.acquire(disk_key));
  protocol::Acquire nested = scene.acquire(disk_key);
  nested.held = {held};
  const RequestId second = scene.ask(scene.b, nested);
  scene.deliver();
  const protocol::Token got = scene.take<protocol::Lease>(scene.a, first).token;
  CHECK_FALSE(scene.has_reply(scene.b, second));
  protocol::Acquire back = scene.acquire(other_disk_key);
  back.held = {got};
  CHECK(scene.refused(scene.a, scene.ask(scene.a, back)) == ErrorCode::deadlock);
}

// ---- time -----------------------------------------------------------------------------------------------------------

TEST_CASE("a value that was read is fresh for as long as it would have been, and not longer") {
  FakeDisk disk;
  DiskScene scene(disk);
  scene.put(scene.a, disk_key, "short", 10'000);
  scene.evict();
  scene.now += 9s;
  disk.later_ms = 8'990;  // its clock is a little late
  const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
  scene.deliver();
  CHECK_FALSE(scene.take<protocol::Value>(scene.a, asked).stale);
  scene.now += 1s;
  const RequestId again = scene.ask(scene.a, scene.acquire(disk_key));
  scene.deliver();  // the disk would still have it
  CHECK(scene.take<protocol::Lease>(scene.a, again).cause == LeaseCause::absent);
}

TEST_CASE("its time goes on over a restart; within its grace it is stale, and one who asks refreshes it") {
  FakeDisk disk;
  {
    DiskScene before(disk);
    before.ask(before.a, protocol::Put{disk_key, Scene::value("old"), {.ttl_ms = 10'000, .grace_ms = 5'000}});
  }
  disk.later_ms = 12'000;
  DiskScene scene(disk, 8);
  protocol::Acquire lenient = scene.acquire(disk_key);
  lenient.accept_stale = true;
  const RequestId taken = scene.ask(scene.a, lenient);
  const RequestId strict = scene.ask(scene.b, scene.acquire(disk_key));
  scene.deliver();
  CHECK(scene.take<protocol::Value>(scene.a, taken).stale);
  CHECK(scene.take<protocol::Lease>(scene.b, strict).cause == LeaseCause::stale);
  CHECK(scene.counted("stale_answers") == 1);
  scene.pass(3'100ms);
  CHECK_FALSE(scene.store.find(disk_key));
}

TEST_CASE("one whose time is over is as good as not there") {
  FakeDisk disk;
  DiskScene scene(disk);
  scene.put(scene.a, disk_key, "short", 1'000);
  scene.evict();
  scene.now += 2s;
  disk.later_ms = 990;  // the disk still gives it
  const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
  scene.deliver();
  scene.take<protocol::Lease>(scene.a, asked);
}

// ---- writing --------------------------------------------------------------------------------------------------------

TEST_CASE("a durable value is answered when it is written, and says what became of it") {
  const std::vector<std::pair<DiskOutcome, bool>> outcomes{{DiskOutcome::done, true}, {DiskOutcome::refused, false}, {DiskOutcome::failed, false}};
  for (const auto& [outcome, durable] : outcomes) {
    FakeDisk disk;
    DiskScene scene(disk);
    disk.outcome = outcome;
    const protocol::Token token = scene.lease(scene.a, disk_key);
    const RequestId waiting = scene.ask(scene.b, scene.acquire(disk_key));
    const RequestId published = scene.ask(scene.a, protocol::Publish{token, Scene::value("x"), {.ttl_ms = 0, .durable = true}});
    CHECK_FALSE(scene.has_reply(scene.a, published));
    CHECK(scene.inline_bytes(scene.b, waiting) == "x");  // nobody else waits for the disk
    scene.deliver();
    const auto answer = scene.take<protocol::Published>(scene.a, published);
    CHECK(answer.stored);
    CHECK(answer.durable == durable);
    CHECK_FALSE(scene.put(scene.a, other_disk_key, "not asked for").durable);
  }
}

TEST_CASE("without a disk a durable value is stored, and said not to be") {
  Scene scene;
  const ConnectionId a = scene.connect();
  const auto answer = scene.take<protocol::Published>(a, scene.ask(a, protocol::Put{disk_key, Scene::value("x"), {.ttl_ms = 0, .durable = true}}));
  CHECK(answer.stored);
  CHECK_FALSE(answer.durable);
  CHECK(scene.refused(a, scene.ask(a, protocol::Disk{})) == ErrorCode::not_found);
}

TEST_CASE("a put while its key is being read counts, and what is read does not") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
  scene.put(scene.b, disk_key, "newer");
  CHECK(scene.inline_bytes(scene.a, asked) == "newer");
  scene.deliver();
  CHECK(scene.inline_bytes(scene.a, scene.ask(scene.a, scene.acquire(disk_key))) == "newer");
  CHECK(scene.store.records.at(*scene.store.find(disk_key)).parts.at(0).bytes == "newer");
}

TEST_CASE("what is not kept in memory is not left on disk as it was before") {
  FakeDisk disk;
  DiskScene scene(disk);
  scene.put(scene.a, disk_key, "old");
  scene.store.too_large = true;
  scene.put(scene.a, disk_key, "huge");
  CHECK(disk.values.find(disk_key) == disk.values.end());
}

TEST_CASE("what is computed from a value that was read becomes stale with it") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
  scene.deliver();
  const std::uint64_t version = scene.take<protocol::Value>(scene.a, asked).version;
  scene.ask(scene.a, protocol::Put{other_disk_key, Scene::value("derived"), {.ttl_ms = 0, .depends_on = {{disk_key, version}}}});
  CHECK(scene.store.visible(other_disk_key));
  scene.put(scene.b, disk_key, "newer");
  CHECK_FALSE(scene.store.visible(other_disk_key));
}

TEST_CASE("values of sessions are never written and never looked for") {
  FakeDisk disk;
  DiskScene scene(disk);
  const auto session = scene.new_session(scene.a);
  const std::string own(KeyBuilder("basket", {}, session.number).build().value().bytes());
  scene.put(scene.a, own, "private");
  CHECK(disk.values.empty());
  disk.values[own] = {};
  scene.ask(scene.a, protocol::Invalidate{key_scope(own), false});
  scene.take<protocol::Lease>(scene.a, scene.ask(scene.a, scene.acquire(own)));
  CHECK(disk.loads == 0);
}

TEST_CASE("retire_older drops the older versions on disk as well, and not the new one") {
  FakeDisk disk;
  DiskScene scene(disk);
  const auto version_of_chart = [](const std::string& version) {
    return std::string(KeyBuilder("chart", version).add(1).build().value().bytes());
  };
  scene.put(scene.a, version_of_chart("1"), "one");
  scene.put(scene.a, disk_key, "none");
  scene.ask(scene.a, protocol::Put{version_of_chart("2"), Scene::value("two"), {.ttl_ms = 0, .retire_older = true}});
  scene.deliver();
  CHECK(disk.values.size() == 1);
  CHECK(disk.values.contains(version_of_chart("2")));
}

TEST_CASE("what an evicted value is worth is told to the disk") {
  FakeDisk disk;
  DiskScene scene(disk);
  scene.put(scene.a, disk_key, "x");
  scene.evict();
  CHECK(disk.merits.contains(disk_key));
}

TEST_CASE("a lease that comes after a load has to be taken up, or goes to the next who waits") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  disk.problem = "gone";
  const RequestId first = scene.ask(scene.a, scene.acquire(disk_key));
  const RequestId second = scene.ask(scene.b, scene.acquire(disk_key));
  scene.deliver();
  CHECK(scene.take<protocol::Lease>(scene.a, first).take_up);
  scene.pass(1100ms);
  CHECK(scene.take<protocol::Lease>(scene.b, second).cause == LeaseCause::not_taken_up);
}

TEST_CASE("an older version that is being read while a newer one retires it is not kept") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
  const std::string newer(KeyBuilder("chart", "2").add(1).build().value().bytes());
  scene.ask(scene.b, protocol::Put{newer, Scene::value("two"), {.ttl_ms = 0, .retire_older = true}});
  scene.deliver();
  CHECK(scene.take<protocol::Lease>(scene.a, asked).cause == LeaseCause::absent);
  CHECK_FALSE(scene.store.visible(disk_key));
}

TEST_CASE("who was not to wait is told so when a put ends the load and is too old for it") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  const RequestId asked = scene.ask(scene.admin, scene.get(disk_key));
  scene.ask(scene.b, protocol::Put{disk_key, Scene::value("outdated"), {.ttl_ms = 0, .depends_on = {{other_disk_key, 0}}}});
  CHECK(scene.refused(scene.admin, asked) == ErrorCode::not_found);
  scene.deliver();
}

TEST_CASE("what is computed from a value that has come back is fresh, whatever was said of it while it was away") {
  FakeDisk disk;
  DiskScene scene(disk);
  const std::uint64_t version = scene.put(scene.a, disk_key, "upstream").version;
  scene.evict();
  scene.ask(scene.a, protocol::Put{other_disk_key, Scene::value("derived"), {.ttl_ms = 0, .grace_ms = 60'000, .depends_on = {{disk_key, version}}}});
  CHECK_FALSE(scene.store.visible(other_disk_key));
  const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
  scene.deliver();
  CHECK(scene.take<protocol::Value>(scene.a, asked).version == version);
  scene.engine.check_invariants();
  const std::string third = key_of("chart", 3);
  scene.ask(scene.a, protocol::Put{third, Scene::value("derived"), {.ttl_ms = 0, .depends_on = {{disk_key, version}}}});
  CHECK(scene.store.visible(third));
  scene.put(scene.b, disk_key, "newer");
  CHECK_FALSE(scene.store.visible(third));
}
