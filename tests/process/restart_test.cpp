// The daemon dies and comes back while clients work.
#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <thread>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

struct RestartNotes {
  std::atomic<bool> stop;
  std::atomic<std::uint64_t> values;
  std::atomic<std::uint64_t> wrong;
  std::atomic<std::uint64_t> errors;
};

// What a key's value must be, in every epoch of the daemon: any other byte is wrong.
std::string numbered_value(int number) {
  std::string bytes;
  std::minstd_rand random(static_cast<unsigned>(number + 1));
  for (int i = 0; i < 200; ++i) bytes += static_cast<char>(random());
  return bytes;
}

}  // namespace

TEST_CASE("killed and restarted under load: no wrong byte, and the work goes on") {
  DaemonProcess daemon;
  Shared<RestartNotes> notes;
  std::vector<Worker> workers;
  constexpr int keys = 50;
  for (int worker = 0; worker < 4; ++worker) {
    workers.emplace_back([&, worker] {
      ClientOptions options = options_for(daemon.socket());
      options.reconnect_delay_max = Milliseconds(20);
      Client client(options);
      std::minstd_rand random(static_cast<unsigned>(worker));
      std::vector<Value> kept;
      std::vector<std::string> expected;
      while (!notes->stop) {
        const int number = static_cast<int>(random() % keys);
        auto value = client.get_or_compute(key_named("f", number), {}, [&](Computation&) { return numbered_value(number); });
        if (!value.ok()) {
          ++notes->errors;
          std::fprintf(stderr, "worker: %s\n", value.error().text.c_str());
          continue;
        }
        if (value->text() != numbered_value(number)) ++notes->wrong;
        ++notes->values;
        if (random() % 8 == 0) static_cast<void>(client.invalidate(key_named("f", number).bytes()));
        // Some views live across restarts.
        if (random() % 4 == 0) {
          if (kept.size() == 5) kept.erase(kept.begin()), expected.erase(expected.begin());
          kept.push_back(std::move(*value));
          expected.push_back(numbered_value(number));
        }
        for (std::size_t i = 0; i < kept.size(); ++i) {
          if (kept[i].text() != expected[i]) ++notes->wrong;
        }
      }
      return 0;
    });
  }
  for (int restart = 0; restart < 5; ++restart) {
    const std::uint64_t before = notes->values;
    wait_until([&] { return notes->values > before + 500; }, "work to be done");
    daemon.kill(SIGKILL);
    daemon.wait();
    const std::uint64_t away = notes->values;
    wait_until([&] { return notes->values > away + 100; }, "work to be done without a daemon");
    daemon.start();
  }
  Client client(options_for(daemon.socket()));
  wait_until([&] { return client.peek(key_named("f", 1)).has_value(); }, "values in the last daemon");
  notes->stop = true;
  for (Worker& worker : workers) CHECK(worker.wait() == 0);
  CHECK(notes->wrong == 0);
  CHECK(notes->errors == 0);
}

TEST_CASE("after the daemon's death its mapping gives no hit") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  const Key key = key_named("f");
  REQUIRE(client.put(key.bytes(), "old").ok());
  const auto view = client.peek(key);
  REQUIRE(view.has_value());
  daemon.kill(SIGKILL);
  daemon.wait();
  CHECK_FALSE(client.peek(key).has_value());
  CHECK(view->text() == "old");
  daemon.start();
  wait_until([&] { return client.connect().ok(); }, "the new daemon");
  CHECK_FALSE(client.peek(key).has_value());
  REQUIRE(client.put(key.bytes(), "new").ok());
  CHECK(client.peek(key)->text() == "new");
  CHECK(view->text() == "old");
  CHECK(client.counters().reconnects == 1);
}

TEST_CASE("a clean stop tells those who wait, and they compute locally") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  const Key key = key_named("f");
  std::atomic<bool> computing{false};
  std::atomic<bool> finish{false};
  std::jthread holder([&] {
    const auto value = client.get_or_compute(key, {}, [&](Computation&) {
      computing = true;
      wait_until([&] { return finish.load(); }, "the daemon's end");
      return std::string("holder");
    });
    CHECK(value->text() == "holder");
    CHECK(value->version() == 0);
  });
  wait_until([&] { return computing.load(); }, "the holder");
  Client other(options_for(daemon.socket()));
  std::jthread waiter([&] {
    const auto value = other.get_or_compute(key, {}, [](Computation& computation) {
      CHECK(computation.local());
      return std::string("waiter");
    });
    CHECK(value->text() == "waiter");
  });
  wait_until([&] { return status_of(client, "waiting") == 1; }, "the waiter");
  daemon.kill(SIGTERM);
  CHECK(daemon.wait() == ExitStatus{0, 0});
  waiter.join();
  finish = true;
}
