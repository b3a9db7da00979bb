// Subscriptions and a daemon that will not have them.
#include <doctest/doctest.h>

#include <poll.h>

#include <stdexcept>
#include <thread>

#include <onced/client.hpp>

#include "fake_daemon.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

ClientOptions options_for(const FakeDaemon& daemon) {
  ClientOptions options;
  options.socket = daemon.path();
  options.reconnect_delay_min = options.reconnect_delay_max = Milliseconds(1);
  options.on_warning = [](std::string_view) {};
  return options;
}

FakeConnection refuse(FakeDaemon& daemon, ErrorCode code, const std::string& text) {
  FakeConnection connection = daemon.accept();
  connection.send(connection.expect<protocol::Hello>().id, protocol::Refused{code, text});
  connection.expect_closed();
  return connection;
}

FakeConnection accept(FakeDaemon& daemon, const FakeNamespace& space) {
  FakeConnection connection = daemon.accept();
  connection.send(connection.expect<protocol::Hello>().id, space.welcome);
  const auto asked = connection.expect<protocol::Subscribe>();
  connection.send(asked.id, protocol::State{protocol::StateReason::initial, space.welcome.epoch, 1, {}, false});
  return connection;
}

}  // namespace

TEST_CASE("a refusal that would be the same again is the answer to subscribing") {
  for (const ErrorCode code : {ErrorCode::not_permitted, ErrorCode::not_found, ErrorCode::version_mismatch}) {
    CAPTURE(name_of(code));
    FakeDaemon daemon;
    Client client(options_for(daemon));
    std::optional<Result<Subscription>> subscription;
    std::jthread caller([&] { subscription = client.subscribe_all(); });
    refuse(daemon, code, "the daemon's own words");
    caller.join();
    REQUIRE_FALSE(subscription->ok());
    CHECK(subscription->error().code == code);
    CHECK(subscription->error().text == "the daemon's own words");
    CHECK_FALSE(daemon.somebody_connects());
  }
}

TEST_CASE("a subscription that a restarted daemon refuses ends with its error, for good") {
  FakeDaemon daemon;
  FakeNamespace space;
  Client client(options_for(daemon));
  std::optional<Result<Subscription>> subscription;
  std::jthread caller([&] { subscription = client.subscribe_all(); });
  FakeConnection connection = accept(daemon, space);
  caller.join();
  REQUIRE(subscription->ok());
  Subscription& signals = **subscription;
  CHECK((*signals.next(Milliseconds(60'000)))->kind == Event::Kind::state);

  connection.close();
  int events = 0;
  std::jthread reader([&] {
    for ([[maybe_unused]] const Event& event : signals) ++events;  // ends although `strict` is not set
  });
  refuse(daemon, ErrorCode::not_found, "no such namespace any more");
  reader.join();
  CHECK(events == 0);
  for (int i = 0; i < 3; ++i) {
    CHECK(signals.next(Milliseconds(0)).error().code == ErrorCode::not_found);
    CHECK(signals.poll([](const Event&) {}).error().text == "no such namespace any more");
  }
  CHECK_FALSE(daemon.somebody_connects());
}

TEST_CASE("a daemon that cannot read what is asked for is not asked again") {
  FakeDaemon daemon;
  FakeNamespace space;
  Client client(options_for(daemon));
  std::optional<Result<Subscription>> subscription;
  std::jthread caller([&] { subscription = client.subscribe_function("f"); });
  FakeConnection connection = daemon.accept();
  connection.send(connection.expect<protocol::Hello>().id, space.welcome);
  connection.send(connection.expect<protocol::Subscribe>().id, protocol::Refused{ErrorCode::malformed, "message type 9 of another version"});
  connection.expect_closed();
  caller.join();
  REQUIRE_FALSE(subscription->ok());
  CHECK(subscription->error().code == ErrorCode::malformed);
  CHECK_FALSE(daemon.somebody_connects());
}

TEST_CASE("a callback that throws leaves the descriptor readable for what it has not seen") {
  FakeDaemon daemon;
  FakeNamespace space;
  Client client(options_for(daemon));
  std::optional<Result<Subscription>> subscription;
  std::jthread caller([&] { subscription = client.subscribe_all(); });
  FakeConnection connection = accept(daemon, space);
  caller.join();
  REQUIRE(subscription->ok());
  Subscription& events = **subscription;
  for (std::uint64_t sequence = 2; sequence < 4; ++sequence) {
    protocol::Signal signal;
    signal.key = std::string(KeyBuilder("f").build()->bytes());
    signal.epoch = space.welcome.epoch;
    signal.sequence = sequence;
    signal.previous = sequence - 1;
    connection.send(1, signal);
  }
  int seen = 0;
  const auto poll = [&] {
    pollfd readable{events.descriptor(), POLLIN, 0};
    REQUIRE(::poll(&readable, 1, 10'000) == 1);
    return events.poll([&](const Event&) {
      if (++seen == 1) throw std::runtime_error("the first is too much");
    });
  };
  CHECK_THROWS(static_cast<void>(poll()));
  while (seen < 3) CHECK(poll().ok());
}

TEST_CASE("a daemon that has no room at the moment is asked again") {
  FakeDaemon daemon;
  FakeNamespace space;
  Client client(options_for(daemon));
  std::optional<Result<Subscription>> subscription;
  std::jthread caller([&] { subscription = client.subscribe_all(); });
  refuse(daemon, ErrorCode::limit_reached, "4096 connections");
  caller.join();
  REQUIRE(subscription->ok());
  std::optional<FakeConnection> connection;
  std::jthread server([&] { connection = accept(daemon, space); });
  CHECK((*(*subscription)->next(Milliseconds(60'000)))->kind == Event::Kind::state);
}
