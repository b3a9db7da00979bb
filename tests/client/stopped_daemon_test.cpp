// A real daemon that is stopped (SIGSTOP): it has its sockets and its memory, and answers nothing.
#include <doctest/doctest.h>

#include <csignal>

#include <onced/client.hpp>

#include "support/daemon_process.hpp"
#include "support/watchdog.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

constexpr Milliseconds an_hour{3'600'000};

Key key_named(std::string_view function) { return *KeyBuilder(function).build(); }

ClientOptions options_for(const DaemonProcess& daemon) {
  ClientOptions options;
  options.socket = daemon.socket();
  options.on_warning = [](std::string_view) {};
  return options;
}

Result<Value> compute(Client& client, const Key& key, Milliseconds wait) {
  ComputeOptions options;
  options.wait_timeout = wait;
  return client.get_or_compute(key, options, [](Computation&) { return std::string("computed"); });
}

}  // namespace

TEST_CASE("while the daemon is stopped functions are computed locally and hits go on; when it goes on, so does sharing") {
  DaemonProcess daemon;
  ClientOptions options = options_for(daemon);
  options.connect_timeout = options.request_timeout = an_hour;
  options.reconnect_delay_max = Milliseconds(10);
  Client connected(options);
  Client unconnected(options);
  REQUIRE(connected.put(key_named("there").bytes(), "value").ok());

  daemon.kill(SIGSTOP);
  for (Client* client : {&connected, &unconnected}) {
    const auto value = compute(*client, key_named("f"), Milliseconds(100));
    REQUIRE(value.ok());
    CHECK(value->version() == 0);
    CHECK(client->counters().computed_locally == 1);
  }
  CHECK(connected.peek(key_named("there"))->text() == "value");

  daemon.kill(SIGCONT);
  for (Client* client : {&connected, &unconnected}) {
    wait_until([&] { return compute(*client, key_named("g"), Milliseconds(10'000))->version() != 0; }, "the daemon");
  }
  CHECK(connected.counters().reconnects == 0);
}

TEST_CASE("what a stopped daemon was asked for is nobody's burden when it goes on") {
  DaemonProcess daemon;
  ClientOptions options = options_for(daemon);
  options.connect_timeout = options.request_timeout = an_hour;
  Client gave_up(options);
  REQUIRE(gave_up.connect().ok());
  daemon.kill(SIGSTOP);
  REQUIRE(compute(gave_up, key_named("f"), Milliseconds(100)).ok());
  daemon.kill(SIGCONT);
  // The daemon reads "I want this lease" and "I do not wait any more". The one who said so is idle, and reads nothing.
  Client other(options);
  std::optional<Result<Value>> value;
  wait_until(
      [&] {
        value = compute(other, key_named("f"), Milliseconds(1'000));
        return value->ok() && (*value)->version() != 0;
      },
      "the lease");
  CHECK((*value)->text() == "computed");
}
