// How a connection ends: who is told, and how long its pins keep what it reads.
#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include "process/bystander.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::protocol;
using onced::testing::Bystander;
using onced::testing::DaemonProcess;
using onced::testing::key_bytes;
using onced::testing::RawClient;
using onced::testing::wait_until;

namespace {

// One of the daemon's statistics. "retired_bytes": of records that are no longer found but still pinned by somebody.
std::uint64_t number(RawClient& client, std::string_view wanted) {
  client.request(900, GetStats{});
  for (const auto& [name, value] : client.receive_only<Statistics>().fields) {
    if (name == wanted) return std::get<std::uint64_t>(value);
  }
  FAIL("no such statistic: " << wanted);
  return 0;
}

Put put_of(const std::string& key, std::string bytes) {
  Put put;
  put.key = key;
  put.parts = {{"", "", std::move(bytes)}};
  return put;
}

}  // namespace

TEST_CASE("when a holder hangs up, its waiter has the lease though nothing else happens") {
  for (const bool holder_maps : {false, true}) {
    for (const bool waiter_maps : {false, true}) {
      CAPTURE(holder_maps);
      CAPTURE(waiter_maps);
      DaemonProcess daemon;
      RawClient holder(daemon.socket());
      holder.hello(holder_maps);
      Acquire acquire;
      acquire.key = key_bytes("handed over", 1);
      holder.request(2, acquire);
      holder.receive_only<Lease>();
      RawClient waiter(daemon.socket());
      waiter.hello(waiter_maps);
      acquire.wait_ms = 60'000;
      waiter.request(2, acquire);
      waiter.request(3, GetStatus{});
      waiter.receive_only<StatusReport>();
      holder.close();
      const auto lease = waiter.receive_only<Lease>();
      CHECK(lease.cause == LeaseCause::holder_died);
    }
  }
}

namespace {

// What a connection has pinned stays until its client end is closed everywhere, whatever has ended it before.
void check_that_pins_stay(void (*end)(RawClient& reader)) {
  onced::testing::DaemonOptions options;
  options.memory = "1MiB";
  DaemonProcess daemon(options);
  RawClient other(daemon.socket());
  other.hello();
  const std::string key = key_bytes("pinned", 1);
  other.request(2, put_of(key, std::string(1000, 'p')));
  other.receive_only<Published>();

  RawClient reader(daemon.socket());
  reader.hello(true);
  Acquire acquire;
  acquire.key = key;
  reader.request(2, acquire);
  const auto value = reader.receive_only<Value>();
  REQUIRE(value.record != 0);  // read in place, pinned by the daemon on the reader's behalf

  // Another descriptor of the same socket stays open, as in a child.
  const int child = ::dup(reader.socket());
  end(reader);
  wait_until([&] { return number(other, "connections") == 1; }, "the end of the reader's connection");
  reader.close();
  other.request(3, Invalidate{{ScopeKind::key, key}});
  CHECK(other.receive_only<Done>().count == 1);

  // Memory is taken back when it is wanted. This wants some, and says whether anything was still pinned then.
  std::int64_t round = 0;
  const auto all_taken_back = [&] {
    const std::string next = key_bytes("pinned", 2 + round++ % 2);
    other.request(4, put_of(next, std::string(60'000, 'q')));
    other.receive_only<Published>();
    const bool none = number(other, "retired_bytes") == 0;
    other.request(5, Invalidate{{ScopeKind::key, next}});
    other.receive_only<Done>();
    return none;
  };
  for (int i = 0; i < 100; ++i) REQUIRE_FALSE(all_taken_back());  // several times the whole memory
  ::close(child);
  wait_until(all_taken_back, "the memory that nobody reads any more");
}

}  // namespace

TEST_CASE("a connection that the daemon ends keeps its pins until its client end is closed everywhere") {
  check_that_pins_stay([](RawClient& reader) {
    reader.send(RawClient::frame(0xffff'ffff, 2, 9, ""));
    CHECK(reader.receive_end().has_value());
  });
}

TEST_CASE("a client that shuts down its sending direction keeps its pins until its end is closed everywhere") {
  check_that_pins_stay([](RawClient& reader) {
    reader.shut_down_writing();
    const auto last_words = reader.receive();
    REQUIRE(last_words.has_value());
    CHECK(last_words->first == 0);
    CHECK(std::holds_alternative<Refused>(last_words->second));
  });
}

TEST_CASE("a child that floods on over the socket of its dead parent is cut") {
  DaemonProcess daemon;
  int report[2];
  REQUIRE(::pipe(report) == 0);
  const pid_t parent = ::fork();
  REQUIRE(parent >= 0);
  if (parent == 0) {
    RawClient client(daemon.socket());
    client.hello();
    if (::fork() == 0) {
      // Far more requests in each receive than a connection's share of a turn.
      std::string many;
      for (int i = 0; i < 2000; ++i) many += RawClient::encoded(7, protocol::Withdraw{1});
      while (client.send(many)) {
      }
      static_cast<void>(!::write(report[1], "c", 1));
    }
    ::_exit(0);
  }
  ::close(report[1]);
  REQUIRE(::waitpid(parent, nullptr, 0) == parent);
  pollfd wait{report[0], POLLIN, 0};
  CHECK(::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(onced::testing::watchdog_limit).count())) == 1);
  char byte = 0;
  CHECK(::read(report[0], &byte, 1) == 1);
  ::close(report[0]);
  Bystander(daemon.socket()).check();
}

TEST_CASE("what a process has sent before it died counts, though a child keeps its socket") {
  DaemonProcess daemon;
  int keep[2];  // the child stays until this is closed
  REQUIRE(::pipe(keep) == 0);
  const pid_t holder = ::fork();
  REQUIRE(holder >= 0);
  if (holder == 0) {
    RawClient client(daemon.socket());
    client.hello();
    Acquire acquire;
    acquire.key = onced::testing::key_bytes("last words", 1);
    client.request(2, acquire);
    const auto lease = client.receive_only<Lease>();
    if (::fork() == 0) {
      ::close(keep[1]);
      char byte = 0;
      ::_exit(static_cast<int>(::read(keep[0], &byte, 1)));
    }
    ::kill(daemon.pid(), SIGSTOP);
    // More than the daemon receives from one connection in a turn; the result comes last.
    for (RequestId id = 3; id < 6; ++id) {
      client.request(id, Put{onced::testing::key_bytes("last words", 10 + static_cast<int>(id)), {{"", "", std::string(50'000, 'p')}}, 0});
    }
    client.request(6, Publish{lease.token, {{"", "", "the result"}}, 0});
    ::_exit(0);
  }
  int status = -1;
  REQUIRE(::waitpid(holder, &status, 0) == holder);
  CHECK(status == 0);
  daemon.kill(SIGCONT);
  RawClient reader(daemon.socket());
  reader.hello();
  Acquire acquire;
  acquire.key = onced::testing::key_bytes("last words", 1);
  acquire.wait_ms = 60'000;
  reader.request(2, acquire);
  const auto answer = reader.receive();
  REQUIRE(answer.has_value());
  CHECK(std::holds_alternative<Value>(answer->second));
  ::close(keep[1]);
  ::close(keep[0]);
}
