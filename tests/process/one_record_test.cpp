// An arena that holds one large record: every waiter gets its value all the same (L3).
#include <doctest/doctest.h>

#include <thread>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::testing;

namespace {
struct OneRecordNotes {
  std::atomic<int> arrived;  // at the present key
  std::atomic<int> computed;
};
std::string large_value_of(int key) { return std::to_string(key) + std::string(60'000, static_cast<char>('a' + key % 26)); }

// Fills the arena with records that are being read, but for the room of one.
struct Pinned {
  explicit Pinned(const std::string& socket) {
    for (int i = 0;; ++i) {
      // A client for every few: a thread has seven pins in each.
      if (i % 7 == 0) clients.push_back(std::make_unique<Client>(options_for(socket)));
      Client& client = *clients.back();
      const Key key = key_named("filler", i);
      const auto version = client.put(key.bytes(), large_value_of(i));
      REQUIRE(version.ok());
      if (*version == 0) break;  // full, and nothing can be evicted
      views.push_back(std::move(*client.peek(key)));
      REQUIRE(views.back().in_shared_memory());
    }
    REQUIRE(views.size() > 5);
    views.pop_back();
  }
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<Value> views;
};

}  // namespace

TEST_CASE("32 waiters on each of 1,000 keys all get their value, each with one request") {
  constexpr int waiters = 32;
  constexpr int keys = 1000;
  DaemonOptions daemon_options;
  daemon_options.memory = "1MiB";
  DaemonProcess daemon(daemon_options);
  const Pinned all_but_one(daemon.socket());
  Shared<OneRecordNotes> notes;
  std::vector<Worker> workers;
  for (int worker = 0; worker < waiters; ++worker) {
    workers.emplace_back([&] {
      Client client(options_for(daemon.socket()));
      if (!client.connect().ok()) return 1;
      for (int number = 0; number < keys; ++number) {
        const auto value = client.wait(key_named("f", number).bytes());
        if (!value.ok() || value->text() != large_value_of(number)) return 2;
        ++notes->arrived;
        // Nobody goes on before all have the value: who came later would ask for one that is evicted.
        wait_until([&] { return notes->arrived >= (number + 1) * waiters; }, "the other waiters");
      }
      return client.counters().requests <= keys ? 0 : 3;
    });
  }
  Client client(options_for(daemon.socket()));
  for (int number = 0; number < keys; ++number) {
    const auto value = client.get_or_compute(key_named("f", number), {}, [&](Computation&) {
      wait_until([&] { return status_of(client, "waiting") == waiters; }, "all waiters");
      return large_value_of(number);
    });
    REQUIRE(value.ok());
    wait_until([&] { return notes->arrived >= (number + 1) * waiters; }, "the waiters");
  }
  for (Worker& worker : workers) CHECK(worker.wait() == 0);
  CHECK(notes->arrived == keys * waiters);
}
