// What happens to a lease when its holder does not end it well.
#include <doctest/doctest.h>

#include <thread>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

struct HolderNotes {
  std::atomic<int> computing;
  std::atomic<int> computed;
  std::atomic<pid_t> other;
  std::atomic<bool> go;
};

void sleep_for_ever() {
  for (;;) pause();
}

Worker holder_that_never_ends(const std::string& socket, const Key& key, Shared<HolderNotes>& notes, Milliseconds limit = {}) {
  return Worker([&] {
    Client client(options_for(socket));
    ComputeOptions options;
    options.lease_limit = limit;
    static_cast<void>(client.get_or_compute(key, options, [&](Computation&) {
      ++notes->computing;
      sleep_for_ever();
      return std::string();
    }));
    return 1;
  });
}

Worker waiter_that_takes_over(const std::string& socket, const Key& key, Shared<HolderNotes>& notes) {
  return Worker([&] {
    Client client(options_for(socket));
    const auto value = client.get_or_compute(key, {}, [&](Computation&) {
      ++notes->computed;
      return std::string("by the next one");
    });
    return value.ok() && value->text() == "by the next one" ? 0 : 1;
  });
}

}  // namespace

TEST_CASE("a holder that is killed is replaced by a waiter") {
  DaemonProcess daemon;
  const Key key = key_named("f");
  Shared<HolderNotes> notes;
  Worker holder = holder_that_never_ends(daemon.socket(), key, notes);
  wait_until([&] { return notes->computing == 1; }, "the holder");
  std::vector<Worker> waiters;
  for (int i = 0; i < 5; ++i) waiters.push_back(waiter_that_takes_over(daemon.socket(), key, notes));
  Client client(options_for(daemon.socket()));
  wait_until([&] { return status_of(client, "waiting") == 5; }, "the waiters");
  holder.kill(SIGKILL);
  for (Worker& waiter : waiters) CHECK(waiter.wait() == 0);
  CHECK(notes->computed == 1);
}

TEST_CASE("also when a child that it forked keeps its socket open") {
  DaemonProcess daemon;
  const Key key = key_named("f");
  Shared<HolderNotes> notes;
  Worker holder([&] {
    Client client(options_for(daemon.socket()));
    static_cast<void>(client.get_or_compute(key, {}, [&](Computation&) {
      const pid_t child = fork();
      if (child == 0) sleep_for_ever();
      notes->other = child;
      ++notes->computing;
      sleep_for_ever();
      return std::string();
    }));
    return 1;
  });
  wait_until([&] { return notes->computing == 1; }, "the holder");
  Worker waiter = waiter_that_takes_over(daemon.socket(), key, notes);
  Client client(options_for(daemon.socket()));
  wait_until([&] { return status_of(client, "waiting") == 1; }, "the waiter");
  holder.kill(SIGKILL);
  CHECK(waiter.wait() == 0);
  CHECK(::kill(notes->other, 0) == 0);  // it lived through all of that
  ::kill(notes->other, SIGKILL);
}

TEST_CASE("a holder that is stopped past its limit loses the lease, and learns of it") {
  DaemonProcess daemon;
  const Key key = key_named("f");
  Shared<HolderNotes> notes;
  Worker holder([&] {
    Client client(options_for(daemon.socket()));
    ComputeOptions options;
    options.lease_limit = Milliseconds(200);
    const auto value = client.get_or_compute(key, options, [&](Computation& computation) {
      ++notes->computing;
      wait_until([&] { return notes->go.load(); }, "the end of the stop");
      wait_until([&] { return computation.cancelled(); }, "the notice that the lease is lost");
      return std::string("too late");
    });
    // It has its own value all the same, and that value is stored nowhere.
    return value.ok() && value->text() == "too late" && value->version() == 0 ? 0 : 1;
  });
  wait_until([&] { return notes->computing == 1; }, "the holder");
  holder.kill(SIGSTOP);
  Worker waiter = waiter_that_takes_over(daemon.socket(), key, notes);
  CHECK(waiter.wait() == 0);
  notes->go = true;
  holder.kill(SIGCONT);
  CHECK(holder.wait() == 0);
  Client client(options_for(daemon.socket()));
  CHECK(client.peek(key)->text() == "by the next one");
}

TEST_CASE("a computation that crashes its process does so three times, then it is a failure") {
  DaemonProcess daemon;
  const Key key = key_named("crash");
  Shared<HolderNotes> notes;
  std::vector<Worker> workers;
  for (int i = 0; i < 8; ++i) {
    workers.emplace_back([&] {
      Client client(options_for(daemon.socket()));
      Client observer(options_for(daemon.socket()));
      const auto value = client.get_or_compute(key, {}, [&](Computation&) {
        if (++notes->computing == 1) wait_until([&] { return status_of(observer, "waiting") == 7; }, "the others to wait");
        ::kill(getpid(), SIGKILL);
        return std::string();
      });
      return value.error().code == ErrorCode::computation_failed ? 0 : 1;
    });
  }
  int killed = 0;
  int told = 0;
  for (Worker& worker : workers) {
    const int status = worker.wait();
    killed += status == 128 + SIGKILL;
    told += status == 0;
  }
  INFO(daemon.log());
  CHECK(killed == 3);
  CHECK(told == 5);
  CHECK(notes->computing == 3);
}

TEST_CASE("a wait that takes too long names the holder; on_deadline = compute computes instead") {
  DaemonProcess daemon;
  const Key key = key_named("f");
  Shared<HolderNotes> notes;
  Worker holder = holder_that_never_ends(daemon.socket(), key, notes);
  wait_until([&] { return notes->computing == 1; }, "the holder");
  Client client(options_for(daemon.socket()));
  ComputeOptions options;
  options.wait_timeout = Milliseconds(50);
  const auto value = client.get_or_compute(key, options, [](Computation&) { return std::string(); });
  CHECK(value.error().code == ErrorCode::timed_out);
  INFO(value.error().text);
  CHECK(value.error().text.find(std::to_string(holder.pid())) != std::string::npos);
  options.on_deadline = OnDeadline::compute;
  const auto own = client.get_or_compute(key, options, [](Computation&) { return std::string("own"); });
  CHECK(own->text() == "own");
  CHECK(own->version() == 0);
  CHECK_FALSE(client.peek(key).has_value());
}

TEST_CASE("cancelling tells the holder and those who wait") {
  DaemonProcess daemon;
  const Key key = key_named("f");
  Client client(options_for(daemon.socket()));
  std::atomic<bool> computing{false};
  std::jthread holder([&] {
    const auto value = client.get_or_compute(key, {}, [&](Computation& computation) {
      computing = true;
      wait_until([&] { return computation.cancelled(); }, "the cancellation");
      return std::string("late");
    });
    CHECK(value->text() == "late");
    CHECK(value->version() == 0);
  });
  wait_until([&] { return computing.load(); }, "the holder");
  std::jthread waiter([&] { CHECK(client.wait(key.bytes()).error().code == ErrorCode::cancelled); });
  wait_until([&] { return status_of(client, "waiting") == 1; }, "the waiter");
  CHECK(*client.cancel(key.bytes()) == 1);
}

TEST_CASE("nested computations work; recursion and cycles are refused") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  const Key outer = key_named("outer");
  const Key inner = key_named("inner");
  const auto value = client.get_or_compute(outer, {}, [&](Computation&) {
    const auto part = client.get_or_compute(inner, {}, [&](Computation&) -> Result<std::string> {
      const auto same = client.get_or_compute(outer, {}, [](Computation&) { return std::string(); });
      CHECK((same.error().code == ErrorCode::recursion));
      return std::string("inner");
    });
    return std::string(part->text()) + " and outer";
  });
  CHECK(value->text() == "inner and outer");

  // Two threads, each in the computation that the other one asks for.
  const Key left = key_named("left");
  const Key right = key_named("right");
  std::atomic<int> inside{0};
  std::atomic<int> deadlocks{0};
  std::atomic<int> values{0};
  const auto cross = [&](const Key& own, const Key& others) {
    const auto result = client.get_or_compute(own, {}, [&](Computation&) -> Result<std::string> {
      ++inside;
      wait_until([&] { return inside == 2; }, "both to compute");
      const auto of_other = client.get_or_compute(others, {}, [](Computation&) { return std::string(); });
      if (of_other.ok()) return std::string(of_other->text());
      if (of_other.error().code == ErrorCode::deadlock) ++deadlocks;
      return std::string("alone");
    });
    if (result.ok() && result->text() == "alone") ++values;
  };
  std::jthread one([&] { cross(left, right); });
  std::jthread two([&] { cross(right, left); });
  one.join();
  two.join();
  CHECK(deadlocks == 1);
  CHECK(values == 2);
}

TEST_CASE("a cycle between two processes is refused") {
  DaemonProcess daemon;
  const Key left = key_named("left");
  const Key right = key_named("right");
  Shared<HolderNotes> notes;
  const auto cross = [&](const Key& own, const Key& others) {
    return Worker([&] {
      Client client(options_for(daemon.socket()));
      const auto result = client.get_or_compute(own, {}, [&](Computation&) -> Result<std::string> {
        ++notes->computing;
        wait_until([&] { return notes->computing == 2; }, "both to compute");
        const auto of_other = client.get_or_compute(others, {}, [](Computation&) { return std::string(); });
        if (!of_other.ok() && of_other.error().code == ErrorCode::deadlock) ++notes->computed;
        return std::string("done");
      });
      return result.ok() ? 0 : 1;
    });
  };
  Worker one = cross(left, right);
  Worker two = cross(right, left);
  CHECK(one.wait() == 0);
  CHECK(two.wait() == 0);
  CHECK(notes->computed == 1);
}

TEST_CASE("leases that could not be ended while the daemon was stopped are free when it goes on") {
  DaemonProcess daemon;
  ClientOptions impatient = options_for(daemon.socket());
  impatient.request_timeout = impatient.connect_timeout = Milliseconds(3'000);
  impatient.reconnect_delay_min = impatient.reconnect_delay_max = Milliseconds(600'000);  // one attempt is enough here
  Client holder(impatient);
  constexpr int keys = 6;  // the first one's publish is not answered in time; those of the others never leave
  std::vector<Computation> computations;
  for (int i = 0; i < keys; ++i) {
    auto acquired = holder.acquire(key_named("f", i));
    REQUIRE(acquired.ok());
    computations.push_back(std::get<Computation>(std::move(*acquired)));
  }
  daemon.kill(SIGSTOP);
  for (Computation& computation : computations) CHECK(computation.publish(std::string(60'000, 'x')).ok());
  computations.clear();
  daemon.kill(SIGCONT);
  Client next(options_for(daemon.socket()));
  for (int i = 0; i < keys; ++i) {
    const auto value = next.get_or_compute(key_named("f", i), {.wait_timeout = Milliseconds(60'000)},
                                           [](Computation&) { return std::string("again"); });
    REQUIRE_MESSAGE(value.ok(), value.error().text);
  }
}
