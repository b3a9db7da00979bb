// What is dropped on disk: it is not found again (L6), and who asked is told when that lasts.
#include "fake_disk.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

TEST_CASE("an invalidated key is answered when its tombstone is written, and is not found again") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  const RequestId invalidated = scene.ask(scene.admin, protocol::Invalidate{key_scope(disk_key), false});
  CHECK_FALSE(scene.has_reply(scene.admin, invalidated));
  CHECK(scene.take<protocol::Lease>(scene.a, scene.ask(scene.a, scene.acquire(disk_key))).cause == LeaseCause::absent);
  scene.deliver();
  CHECK(scene.take<protocol::Done>(scene.admin, invalidated).count == 1);
  CHECK(disk.values.find(disk_key) == disk.values.end());
  const RequestId again = scene.ask(scene.admin, protocol::Invalidate{key_scope(disk_key), false});
  scene.deliver();
  CHECK(scene.take<protocol::Done>(scene.admin, again).count == 0);
}

TEST_CASE("an invalidation leaves a tombstone also where the tier finds nothing: a crash may bring back what it does not find any more") {
  for (const bool soft : {false, true}) {
    CAPTURE(soft);
    FakeDisk disk;
    OnDisk scene(disk, disk_key);
    disk.values.clear();  // evicted there, and nothing stable says so yet
    const RequestId invalidated = scene.ask(scene.admin, protocol::Invalidate{key_scope(disk_key), soft});
    CHECK_FALSE(scene.has_reply(scene.admin, invalidated));
    scene.deliver();
    CHECK(scene.take<protocol::Done>(scene.admin, invalidated).count == 0);
  }
}

TEST_CASE("what is being read when its key is invalidated is not kept and not told") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  for (const bool soft : {false, true}) {
    CAPTURE(soft);
    const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
    scene.ask(scene.admin, protocol::Invalidate{key_scope(disk_key), soft});
    const RequestId later = scene.ask(scene.b, scene.acquire(disk_key));
    scene.deliver();
    const auto lease = scene.take<protocol::Lease>(scene.a, asked);
    CHECK_FALSE(scene.store.find(disk_key));
    scene.publish(scene.a, lease.token, "new");
    CHECK(scene.inline_bytes(scene.b, later) == "new");
    scene.ask(scene.admin, protocol::Invalidate{function_scope("filler"), false});
    scene.deliver();
    scene.evict();
  }
}

TEST_CASE("the same for its function, a tag that nobody knows of yet, and everything") {
  const std::vector<protocol::Scope> scopes{function_scope("chart"), tag_scope("blue"), everything()};
  for (const protocol::Scope& scope : scopes) {
    for (const bool soft : {false, true}) {
      CAPTURE(static_cast<int>(scope.kind));
      CAPTURE(soft);
      FakeDisk disk;
      DiskScene scene(disk);
      scene.ask(scene.a, tagged(disk_key, "of before", {"blue"}));
      scene.evict();
      const RequestId during = scene.ask(scene.a, scene.acquire(disk_key));
      const RequestId invalidated = scene.ask(scene.admin, protocol::Invalidate{scope, soft});
      scene.pass(10ms);
      CHECK_FALSE(scene.has_reply(scene.admin, invalidated));
      scene.deliver_loads();  // of before
      const auto lease = scene.take<protocol::Lease>(scene.a, during);
      CHECK_FALSE(scene.store.find(disk_key));
      scene.ask(scene.a, protocol::Abandon{lease.token});
      // From now on what is asked for is read only when the label is written: until then the disk may bring the old one.
      const RequestId after = scene.ask(scene.b, scene.acquire(disk_key));
      scene.deliver();
      scene.take<protocol::Done>(scene.admin, invalidated);
      scene.take<protocol::Lease>(scene.b, after);
      CHECK(disk.values.find(disk_key) == disk.values.end());
    }
  }
}

TEST_CASE("a load waits for the labels that were dropped before it, and for no later ones") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  scene.ask(scene.admin, protocol::Invalidate{tag_scope("other"), false});
  const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
  CHECK(disk.loads == 0);
  scene.ask(scene.admin, protocol::Invalidate{tag_scope("another"), false});
  scene.step(*disk.next_written());
  CHECK(disk.loads == 1);
  scene.deliver();
  CHECK(scene.inline_bytes(scene.a, asked) == "of before");
}

TEST_CASE("a load that could not begin when its labels were written ends like one that found nothing") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  scene.ask(scene.admin, protocol::Invalidate{tag_scope("other"), false});
  const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
  disk.takes_loads = false;
  scene.deliver();
  scene.take<protocol::Lease>(scene.a, asked);
}

TEST_CASE("a function that this daemon has never seen is dropped on disk all the same") {
  FakeDisk disk;
  {
    DiskScene before(disk);
    before.put(before.a, disk_key, "of before");
  }
  DiskScene scene(disk, 8);
  const RequestId invalidated = scene.ask(scene.admin, protocol::Invalidate{function_scope("chart"), false});
  scene.deliver();
  scene.take<protocol::Done>(scene.admin, invalidated);
  CHECK(disk.values.empty());
}

TEST_CASE("a drop that cannot be written is said to be one that may not last") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  disk.outcome = DiskOutcome::failed;
  const RequestId of_key = scene.ask(scene.admin, protocol::Invalidate{key_scope(disk_key), false});
  const RequestId of_all = scene.ask(scene.admin, protocol::Invalidate{everything(), false});
  scene.deliver();
  CHECK(scene.refused(scene.admin, of_key) == ErrorCode::not_durable);
  CHECK(scene.refused(scene.admin, of_all) == ErrorCode::not_durable);
  CHECK(scene.counted("disk_not_durable") == 2);
}

TEST_CASE("who asked for a drop and is gone is not answered; the next is") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  scene.ask(scene.b, protocol::Invalidate{key_scope(disk_key), false});
  scene.ask(scene.b, protocol::Invalidate{everything(), false});
  scene.step(Disconnected{scene.b});
  const RequestId asked = scene.ask(scene.admin, protocol::Invalidate{everything(), false});
  scene.deliver();
  scene.take<protocol::Done>(scene.admin, asked);
}

TEST_CASE("a daemon that ends answers who waits for the disk") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  const RequestId invalidated = scene.ask(scene.admin, protocol::Invalidate{key_scope(disk_key), false});
  const RequestId put = scene.ask(scene.a, protocol::Put{other_disk_key, Scene::value("x"), {.ttl_ms = 0, .durable = true}});
  scene.step(Draining{});
  CHECK(scene.refused(scene.admin, invalidated) == ErrorCode::unavailable);
  CHECK_FALSE(scene.take<protocol::Published>(scene.a, put).durable);
  scene.deliver();
}

TEST_CASE("clear drops what is on disk, also what is being read, and nothing in memory") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
  const RequestId cleared = scene.ask(scene.admin, protocol::Disk{protocol::DiskAction::clear});
  CHECK_FALSE(scene.has_reply(scene.admin, cleared));
  scene.deliver();
  CHECK(scene.take<protocol::Done>(scene.admin, cleared).count == 2);
  scene.take<protocol::Lease>(scene.a, asked);
  CHECK(disk.values.empty());
  CHECK(scene.store.records.size() == 1);
  CHECK(scene.take<protocol::DiskReport>(scene.admin, scene.ask(scene.admin, protocol::Disk{})).fields.size() == 1);
}
