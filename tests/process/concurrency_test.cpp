// How many keys of a function many processes compute at once, counted by the computations themselves.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

constexpr int queued_keys = 8;
constexpr int at_once_max = 2;

struct TurnCounts {
  std::atomic<int> running;
  std::atomic<int> running_most;
  std::atomic<int> computed;
  std::atomic<bool> was_full;
  std::atomic<int> order[queued_keys];
  std::atomic<int> began;
};

void raise_to(std::atomic<int>& most, int value) {
  int seen = most;
  while (seen < value && !most.compare_exchange_weak(seen, value)) continue;
}

DaemonProcess limited_daemon(int most) { return DaemonProcess(DaemonProcess::options({"--set", "functions.f.max_concurrent=" + std::to_string(most)})); }

}  // namespace

TEST_CASE("8 processes that want 8 keys never compute more of them at once than the limit says, and compute each once") {
  DaemonProcess daemon = limited_daemon(at_once_max);
  Shared<TurnCounts> shared;
  std::vector<Worker> workers;
  for (int number = 0; number < queued_keys; ++number) {
    workers.emplace_back([&, number] {
      Client client(options_for(daemon.socket()));
      Client observer(options_for(daemon.socket()));
      if (!client.connect().ok()) return 1;
      for (int i = 0; i < queued_keys; ++i) {  // each begins with another one
        const int argument = (number + i) % queued_keys;
        const auto value = client.get_or_compute(key_named("f", argument), {}, [&](Computation&) {
          raise_to(shared->running_most, ++shared->running);
          // The first ones go on when all of them compute and all other keys are queued: whoever is let in too early is seen.
          wait_until(
              [&] {
                if (!shared->was_full && shared->running == at_once_max && status_of(observer, "queued") == queued_keys - at_once_max && status_of(observer, "computing") == at_once_max)
                  shared->was_full = true;
                return shared->was_full.load();
              },
              "all other keys to be queued");
          ++shared->computed;
          --shared->running;
          return "value " + std::to_string(argument);
        });
        if (!value.ok() || value->text() != "value " + std::to_string(argument)) return 2;
      }
      return 0;
    });
  }
  for (Worker& worker : workers) CHECK(worker.wait() == 0);
  CHECK(shared->running_most == at_once_max);
  CHECK(shared->computed == queued_keys);
  Client client(options_for(daemon.socket()));
  CHECK(status_of(client, "queued") == 0);
}

TEST_CASE("a worker that is killed while it computes makes room for the next key") {
  DaemonProcess daemon = limited_daemon(1);
  Shared<TurnCounts> shared;
  Worker doomed([&] {
    Client client(options_for(daemon.socket()));
    const auto lease = client.acquire(key_named("f", 1));
    if (!lease.ok()) return 1;
    ++shared->running;
    wait_until([] { return false; }, "its end");
    return 2;
  });
  wait_until([&] { return shared->running == 1; }, "the first computation");
  Worker next([&] {
    Client client(options_for(daemon.socket()));
    const auto value = client.get_or_compute(key_named("f", 2), {}, [](Computation&) { return std::string("two"); });
    return value.ok() && value->computed_here() ? 0 : 1;
  });
  Client client(options_for(daemon.socket()));
  wait_until([&] { return status_of(client, "queued") == 1; }, "the second key to be queued");
  doomed.kill(SIGKILL);
  CHECK(doomed.wait() == 128 + SIGKILL);
  CHECK(next.wait() == 0);
}

TEST_CASE("SIGHUP raises a limit, and those that are queued begin though nothing else happens") {
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  write_file(file, "[functions.f]\nmax_concurrent = 1\n");
  DaemonProcess daemon(DaemonProcess::options({"--config", file}));
  Worker queued([&] {
    Client client(options_for(daemon.socket()));
    Client observer(options_for(daemon.socket()));
    wait_until([&] { return status_of(observer, "computing") == 1; }, "the first computation");
    const auto value = client.get_or_compute(key_named("f", 2), {}, [](Computation&) { return std::string("two"); });
    return value.ok() && value->computed_here() ? 0 : 1;
  });
  Client client(options_for(daemon.socket()));
  auto first = client.acquire(key_named("f", 1));
  REQUIRE(first.ok());
  wait_until([&] { return status_of(client, "queued") == 1; }, "the second key to be queued");
  write_file(file, "[functions.f]\nmax_concurrent = 2\n");
  daemon.kill(SIGHUP);
  daemon.wait_for_log("changed functions.f.max_concurrent: 1 -> 2");
  CHECK(queued.wait() == 0);
  CHECK(std::get<Computation>(*first).publish("one").ok());
}

TEST_CASE("a computation that computes another key of its full function does not wait for itself") {
  DaemonProcess daemon = limited_daemon(1);
  Client client(options_for(daemon.socket()));
  const auto outer = client.get_or_compute(key_named("f", 1), {}, [&](Computation&) -> std::string {
    const auto inner = client.get_or_compute(key_named("f", 2), {}, [](Computation&) { return std::string("inner"); });
    return inner.ok() ? "outer of " + std::string(inner->text()) : inner.error().text;
  });
  REQUIRE(outer.ok());
  CHECK(outer->text() == "outer of inner");
}

TEST_CASE("hits on a stale value of a full function ask the daemon now and then, not each") {
  DaemonProcess daemon = limited_daemon(1);
  Client client(options_for(daemon.socket()));
  const Key stale = key_named("f", 3);
  PutOptions short_lived;
  short_lived.ttl = std::chrono::milliseconds(1);
  short_lived.grace = std::chrono::hours(1);
  REQUIRE(client.put(stale.bytes(), "old", short_lived).ok());
  wait_until([&] {
    const auto value = client.peek(stale);
    return value && value->stale();
  }, "the value to be stale");
  std::optional<Result<Client::Acquired>> first;
  std::jthread([&] { first.emplace(client.acquire(key_named("f", 1))); }).join();  // so that this thread holds no lease
  REQUIRE(first->ok());
  const auto began = std::chrono::steady_clock::now();
  const std::uint64_t before = client.counters().requests;
  for (int i = 0; i < 5000; ++i) {
    const auto value = client.get_or_compute(stale, {}, [](Computation&) { return std::string("new"); });
    REQUIRE(value.ok());
    REQUIRE(value->text() == "old");
  }
  const auto periods = static_cast<std::uint64_t>((std::chrono::steady_clock::now() - began) / std::chrono::milliseconds(250));
  const std::uint64_t asked = client.counters().requests - before;
  CHECK(asked >= 1);
  CHECK(asked <= periods + 2);
  CHECK(std::get<Computation>(**first).publish("one").ok());
  // There is room: whoever offers it then refreshes the value.
  wait_until([&] {
    const auto value = client.get_or_compute(stale, {}, [](Computation&) { return std::string("new"); });
    return value.ok() && value->text() == "new";
  }, "the refresh");
}

TEST_CASE("callers in the background come after the others") {
  DaemonProcess daemon = limited_daemon(1);
  Client client(options_for(daemon.socket()));
  Shared<TurnCounts> shared;
  auto first = std::make_unique<Result<Client::Acquired>>(client.acquire(key_named("f", 0)));
  REQUIRE(first->ok());
  std::vector<Worker> workers;
  for (int number = 1; number <= 4; ++number) {
    workers.emplace_back([&, number] {
      Client own(options_for(daemon.socket()));
      ComputeOptions options;
      options.background = number <= 2;
      const auto value = own.get_or_compute(key_named("f", number), options, [&](Computation&) {
        shared->order[shared->began++] = number;
        return std::string("x");
      });
      return value.ok() ? 0 : 1;
    });
    wait_until([&] { return status_of(client, "queued") == number; }, "it to be queued");
  }
  CHECK(std::get<Computation>(**first).publish("x").ok());
  for (Worker& worker : workers) CHECK(worker.wait() == 0);
  CHECK(shared->began == 4);
  const int expected[] = {3, 4, 1, 2};
  CHECK(std::equal(std::begin(expected), std::end(expected), std::begin(shared->order)));
}
