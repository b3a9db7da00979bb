// Values that grow old, as clients of a real daemon see them.
#include <doctest/doctest.h>

#include <chrono>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::testing;
using namespace std::chrono_literals;

namespace {

const Key f_key = key_named("f");

// A value that is stale, with a grace that outlasts the test.
void put_stale(Client& client) {
  PutOptions options;
  options.ttl = 1ms;
  options.grace = 1h;
  REQUIRE(client.put(f_key.bytes(), "old", options).ok());
  wait_until([&] { return client.peek(f_key)->stale(); }, "the value to become stale");
}

ComputeOptions lasting() {
  ComputeOptions options;
  options.ttl = 1h;
  return options;
}

}  // namespace

TEST_CASE("of many processes with a stale value one refreshes it, and nobody waits for that") {
  constexpr int processes = 12;
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  put_stale(client);
  struct Counts {
    std::atomic<int> ready;
    std::atomic<int> computed;
    std::atomic<int> gone_on;
  };
  Shared<Counts> shared;
  std::vector<Worker> workers;
  for (int i = 0; i < processes; ++i) {
    workers.emplace_back([&] {
      Client here(options_for(daemon.socket()));
      if (!here.connect().ok()) return 1;
      ++shared->ready;
      wait_until([&] { return shared->ready == processes; }, "all workers");
      const auto value = here.get_or_compute(f_key, lasting(), [&](Computation&) {
        ++shared->computed;
        wait_until([&] { return shared->gone_on == processes - 1; }, "the others to go on");
        return std::string("new");
      });
      if (!value.ok()) return 2;
      if (value->computed_here()) return here.counters().refreshes == 1 && value->text() == "new" && !value->stale() ? 0 : 3;
      ++shared->gone_on;
      return value->stale() && value->text() == "old" && here.counters().stale_hits == 1 ? 0 : 4;
    });
  }
  for (Worker& worker : workers) CHECK(worker.wait() == 0);
  CHECK(shared->computed == 1);
  CHECK(client.peek(f_key)->text() == "new");
  CHECK_FALSE(client.peek(f_key)->stale());
}

TEST_CASE("a failed refresh leaves the stale value to the others, and is not repeated at once") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  Client other(options_for(daemon.socket()));
  put_stale(client);
  ComputeOptions options;
  options.failure_ttl = 1h;
  const auto failed = client.get_or_compute(f_key, options, [](Computation&) -> Result<std::string> { return Error{ErrorCode::not_found, "no such fruit"}; });
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.error().text == "no such fruit");
  for (Client* each : {&other, &client}) {
    const auto value = each->get_or_compute(f_key, options, [](Computation&) -> std::string {
      FAIL("called");
      return {};
    });
    REQUIRE(value.ok());
    CHECK(value->text() == "old");
    CHECK(value->stale());
  }
}

TEST_CASE("a soft invalidation makes a value stale; the next who needs it refreshes it") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  REQUIRE(client.put(f_key.bytes(), "old").ok());
  CHECK(*client.invalidate(f_key.bytes(), {.soft = true}) == 1);
  CHECK(client.peek(f_key)->stale());
  GetOptions fresh;
  fresh.accept_stale = false;
  CHECK_FALSE(client.get(f_key.bytes(), fresh)->has_value());
  CHECK(client.get_or_compute(f_key, lasting(), [](Computation&) { return std::string("new"); })->text() == "new");
  CHECK_FALSE(client.peek(f_key)->stale());
}

TEST_CASE("a value is refreshed ahead of time by a reader that the lottery picks") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  // Ten minutes are 14 times beta times the cost and less: the early stretch begins at once, with a chance of e^-14 a hit.
  ComputeOptions options;
  options.ttl = 10min;
  options.refresh_ahead = 1000;
  int computed = 0;
  const auto compute = [&](Computation&) {
    ++computed;
    for (const auto begun = std::chrono::steady_clock::now(); std::chrono::steady_clock::now() - begun < 50ms;) {
    }
    return std::string("value");
  };
  wait_until([&] {
    for (int i = 0; i < 100'000 && computed < 2; ++i) CHECK_FALSE(client.get_or_compute(f_key, options, compute)->stale());
    return computed == 2;
  }, "a reader to win");
  CHECK(client.counters().refreshes == 1);
  CHECK(client.counters().computed == 2);
}
