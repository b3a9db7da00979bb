// Fork with a connected client: application servers do it.
#include <doctest/doctest.h>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

struct ForkNotes {
  std::atomic<int> ready;
  std::atomic<int> computed;
  std::atomic<pid_t> child;
  std::atomic<int> child_status;  // -1 until it is known
  std::atomic<bool> go;
};

}  // namespace

TEST_CASE("workers forked from a connected parent share one computation, and the parent reads on") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  const Key warm = key_named("warm");
  const Key cold = key_named("cold");
  REQUIRE(client.put(warm.bytes(), "from before").ok());
  const auto view = client.peek(warm);
  Shared<ForkNotes> notes;
  std::vector<Worker> workers;
  for (int i = 0; i < 8; ++i) {
    workers.emplace_back([&] {
      if (view->text() != "from before") return 1;
      ++notes->ready;
      wait_until([&] { return notes->ready == 8; }, "all workers");
      const auto value = client.get_or_compute(cold, {}, [&](Computation&) {
        ++notes->computed;
        return std::string("once");
      });
      if (!value.ok() || value->text() != "once") return 2;
      const auto hit = client.peek(warm);
      return hit && hit->in_shared_memory() && hit->text() == "from before" ? 0 : 3;
    });
  }
  for (Worker& worker : workers) CHECK(worker.wait() == 0);
  CHECK(notes->computed == 1);
  CHECK(client.peek(cold)->text() == "once");
  CHECK(client.counters().reconnects == 0);
}

TEST_CASE("a child reads its parent's view on after the parent is gone, while memory is being reused") {
  // An arena that is turned over many times during the test.
  DaemonOptions options;
  options.memory = "1MiB";
  DaemonProcess daemon(options);
  Client writer(options_for(daemon.socket()));
  const Key key = key_named("kept");
  const std::string bytes(1000, 'k');
  REQUIRE(*writer.put(key.bytes(), bytes) == 1);
  Shared<ForkNotes> notes;
  notes->child_status = -1;
  Worker parent([&] {
    Client client(options_for(daemon.socket()));
    std::optional<Value> view = client.peek(key);
    if (!view || !view->in_shared_memory()) return 1;
    if (const pid_t child = fork(); child == 0) {
      wait_until([&] { return notes->go.load(); }, "the parent's end and the reuse");
      notes->child_status = view->text() == bytes ? 0 : 1;
      _exit(0);
    }
    view.reset();  // in the parent: the child still reads
    ++notes->ready;
    return 0;
  });
  CHECK(parent.wait() == 0);
  CHECK(notes->ready == 1);
  REQUIRE(writer.invalidate(key.bytes()).ok());
  for (int i = 0; i < 3000; ++i) REQUIRE(writer.put(key_named("other", i).bytes(), std::string(3000, 'o')).ok());
  notes->go = true;
  wait_until([&] { return notes->child_status != -1; }, "the child");
  CHECK(notes->child_status == 0);
}

TEST_CASE("a child of a child, and a child that never used its client") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  const Key key = key_named("f");
  REQUIRE(client.put(key.bytes(), "value").ok());
  Worker child([&] {
    if (!client.peek(key)) return 1;
    Worker grandchild([&] {
      const auto value = client.peek(key);
      return value && value->text() == "value" ? 0 : 1;
    });
    Worker idle([] { return 0; });
    return grandchild.wait() + idle.wait();
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("a fork inside a computation: the child cannot end its parent's lease") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  const Key key = key_named("f");
  const auto value = client.get_or_compute(key, {}, [&](Computation& computation) {
    Worker child([&] {
      computation.fail("the child says no");
      return computation.cancelled() ? 1 : 0;
    });
    CHECK(child.wait() == 0);
    return std::string("by the parent");
  });
  REQUIRE(value.ok());
  CHECK(value->version() == 1);
  CHECK(client.peek(key)->text() == "by the parent");
}
