// Many processes, one computation.
#include <doctest/doctest.h>

#include <thread>

#include <onced/protocol/limits.hpp>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

struct Counts {
  std::atomic<int> ready;
  std::atomic<int> computed;
};

// All ask for one cold key at the same moment; the computation ends when all others wait for it.
void compute_once_in(int processes) {
  DaemonProcess daemon;
  const Key key = key_named("cold");
  Shared<Counts> shared;
  std::vector<Worker> workers;
  for (int i = 0; i < processes; ++i) {
    workers.emplace_back([&] {
      Client client(options_for(daemon.socket()));
      if (!client.connect().ok()) return 1;
      ++shared->ready;
      wait_until([&] { return shared->ready == processes; }, "all workers");
      Client observer(options_for(daemon.socket()));
      const auto value = client.get_or_compute(key, {}, [&](Computation&) {
        ++shared->computed;
        wait_until([&] { return status_of(observer, "waiting") == processes - 1; }, "the others to wait");
        return std::string("computed once");
      });
      if (!value.ok() || value->text() != "computed once") return 2;
      if (client.counters().requests != 1 + (value->computed_here() ? 1U : 0U) && client.counters().requests != 1) return 3;
      // The second visit is a hit.
      const auto again = client.peek(key);
      return again && again->in_shared_memory() ? 0 : 4;
    });
  }
  for (Worker& worker : workers) CHECK(worker.wait() == 0);
  CHECK(shared->computed == 1);
  Client client(options_for(daemon.socket()));
  CHECK(status_of(client, "computations") == 1);
  CHECK(status_of(client, "computations_avoided") >= processes - 1);
}

}  // namespace

TEST_CASE("32 processes on one cold key compute once") { compute_once_in(32); }

TEST_CASE("512 processes on one cold key compute once" * doctest::skip(true)) { compute_once_in(512); }

TEST_CASE("many threads share one client") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  constexpr int threads = 24;
  constexpr int keys = 40;
  std::atomic<int> computed{0};
  std::atomic<int> wrong{0};
  std::vector<std::jthread> running;
  for (int thread = 0; thread < threads; ++thread) {
    running.emplace_back([&, thread] {
      for (int i = 0; i < keys; ++i) {
        const int number = (i * 7 + thread) % keys;
        const auto value = client.get_or_compute(key_named("shared", number), {}, [&](Computation&) {
          ++computed;
          return "value " + std::to_string(number);
        });
        if (!value.ok() || value->text() != "value " + std::to_string(number)) ++wrong;
      }
    });
  }
  running.clear();
  CHECK(wrong == 0);
  CHECK(computed == keys);
  CHECK(client.counters().computed == keys);
}

TEST_CASE("force computes again, and a failure is told to those who wait") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  const Key key = key_named("f");
  int computed = 0;
  const auto count = [&](Computation&) { return std::to_string(++computed); };
  CHECK(client.get_or_compute(key, {}, count)->text() == "1");
  CHECK(client.get_or_compute(key, {}, count)->text() == "1");
  ComputeOptions force;
  force.force = true;
  const auto forced = client.get_or_compute(key, force, count);
  CHECK(forced->text() == "2");
  CHECK(forced->version() == 2);
  CHECK(client.peek(key)->text() == "2");

  const Key failing = key_named("failing");
  CHECK_THROWS_WITH(static_cast<void>(client.get_or_compute(
                        failing, {}, [](Computation&) -> std::string { throw std::runtime_error("no such file"); })),
                    "no such file");
  const auto told = client.get_or_compute(failing, {}, count);
  CHECK(told.error().code == ErrorCode::computation_failed);
  CHECK(told.error().text.find("no such file") != std::string::npos);
  CHECK(computed == 2);
}

TEST_CASE("put, get, peek, invalidate and version") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  const Key key = key_named("f");
  CHECK_FALSE(client.peek(key).has_value());
  CHECK_FALSE(client.get(key.bytes())->has_value());
  PutOptions options;
  options.content_type = "text/csv";
  CHECK(*client.put(key.bytes(), "a,b", options) == 1);
  CHECK(client.peek(key)->content_type() == "text/csv");
  CHECK((*client.get(key.bytes()))->text() == "a,b");
  const auto old = client.peek(key);
  CHECK(*client.invalidate(key.bytes()) == 1);
  CHECK_FALSE(client.peek(key).has_value());
  CHECK(old->text() == "a,b");
  CHECK(*client.put(key.bytes(), "c,d") == 2);
  CHECK(old->text() == "a,b");
  CHECK(*client.invalidate_function("f") == 1);
  CHECK(*client.invalidate_all() == 0);
  CHECK(*client.put(key.bytes(), std::string(limits::value_bytes_max, 'x')) == 3);
  CHECK(client.peek(key)->bytes().size() == limits::value_bytes_max);
  CHECK(*client.put(key.bytes(), std::string(limits::value_bytes_max + 1, 'x')) == 4);
  CHECK(client.peek(key)->bytes().size() == limits::value_bytes_max + 1);
}

