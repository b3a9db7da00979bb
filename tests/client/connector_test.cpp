#include "connector.hpp"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include <onced/client.hpp>

#include "fake_daemon.hpp"

using namespace onced;
using namespace onced::testing;
using client_detail::BackOff;

namespace {
const Key key = key_named("f");
}

TEST_CASE("delays double up to their limit, with jitter, and start anew after a success") {
  BackOff back_off(Milliseconds(10), Milliseconds(2000));
  Milliseconds most{10};
  for (int i = 0; i < 20; ++i) {
    const Milliseconds delay = back_off.failed();
    CHECK(delay <= most);
    CHECK(delay >= most / 2);
    most = std::min(most * 2, Milliseconds(2000));
  }
  back_off.succeeded();
  CHECK(back_off.failed() <= Milliseconds(10));
  BackOff zero(Milliseconds(0), Milliseconds(0));
  CHECK(zero.failed() <= Milliseconds(1));
}

TEST_CASE("with the daemon away, functions are computed locally, with one warning per outage") {
  FakeDaemon daemon;
  daemon.stop_listening();
  std::vector<std::string> warnings;
  ClientOptions options;
  options.socket = daemon.path();
  options.reconnect_delay_min = Milliseconds(0);
  options.reconnect_delay_max = Milliseconds(1);
  options.on_warning = [&](std::string_view text) { warnings.emplace_back(text); };
  Client client(options);
  for (int i = 0; i < 20; ++i) {
    const auto value = client.get_or_compute(key, {}, [&](Computation& computation) {
      CHECK(computation.local());
      CHECK_FALSE(computation.cancelled());
      computation.progress(0.5);
      return std::string("computed");
    });
    REQUIRE(value.ok());
    CHECK(value->text() == "computed");
    CHECK(value->version() == 0);
    CHECK(value->computed_here());
  }
  CHECK(client.counters().computed_locally == 20);
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].find(daemon.path()) != std::string::npos);
  CHECK(client.put(key.bytes(), "x").error().code == ErrorCode::unavailable);

  // It comes, and goes again: a second outage, a second warning.
  FakeNamespace space;
  daemon.listen();
  std::jthread connecting([&] { wait_until([&] { return client.connect().ok(); }, "a connection"); });
  { FakeConnection connection = daemon.welcome(space); }
  connecting.join();
  space.die();
  daemon.stop_listening();
  for (int i = 0; i < 3; ++i) CHECK_FALSE(client.peek(key).has_value());
  CHECK(warnings.size() == 2);
}

TEST_CASE("strict: with the daemon away there is an error and nothing is computed") {
  ClientOptions options;
  options.socket = "/nowhere/onced.sock";
  options.strict = true;
  options.on_warning = [](std::string_view) {};
  Client client(options);
  bool called = false;
  const auto value = client.get_or_compute(key, {}, [&](Computation&) {
    called = true;
    return std::string();
  });
  CHECK(value.error().code == ErrorCode::unavailable);
  CHECK(value.error().text.find("/nowhere/onced.sock") != std::string::npos);
  CHECK_FALSE(called);
}

TEST_CASE("no attempt to connect is made before the back-off has passed") {
  FakeDaemon daemon;
  ClientOptions options;
  options.socket = daemon.path();
  options.reconnect_delay_min = Milliseconds(3'600'000);
  options.reconnect_delay_max = Milliseconds(3'600'000);
  options.on_warning = [](std::string_view) {};
  Client client(options);
  std::jthread first([&] { CHECK_FALSE(client.connect().ok()); });
  daemon.accept();  // and closes at once
  first.join();
  for (int i = 0; i < 10; ++i) {
    CHECK_FALSE(client.peek(key).has_value());
    CHECK(client.connect().error().code == ErrorCode::unavailable);
  }
  CHECK_FALSE(daemon.somebody_connects());
}

TEST_CASE("a daemon that accepts and says nothing is given up after connect_timeout") {
  FakeDaemon daemon;
  ClientOptions options;
  options.socket = daemon.path();
  options.connect_timeout = Milliseconds(20);
  options.on_warning = [](std::string_view) {};
  Client client(options);
  const auto connected = client.connect();
  CHECK(connected.error().code == ErrorCode::unavailable);
  CHECK(connected.error().text.find("did not answer") != std::string::npos);
}

TEST_CASE("a request that meets a broken connection is asked again over a new one") {
  FakeDaemon daemon;
  FakeNamespace space;
  ClientOptions options;
  options.socket = daemon.path();
  Client client(options);
  std::optional<Result<std::uint64_t>> dropped;
  std::jthread asking([&] { dropped = client.invalidate(key.bytes()); });
  {
    FakeConnection first = daemon.welcome(space);
    first.expect<protocol::Invalidate>();
  }
  FakeConnection second = daemon.welcome(space);
  const auto asked = second.expect<protocol::Invalidate>();
  second.send(asked.id, protocol::Done{3});
  asking.join();
  REQUIRE(dropped->ok());
  CHECK(**dropped == 3);
}

TEST_CASE("a result that meets a restarted daemon is published under a new lease") {
  FakeDaemon daemon;
  FakeNamespace before(1);
  FakeNamespace after(2);
  ClientOptions options;
  options.socket = daemon.path();
  Client client(options);
  std::atomic<bool> computing{false};
  std::atomic<bool> finish{false};
  std::optional<Result<Value>> value;
  std::jthread worker([&] {
    value = client.get_or_compute(key, {}, [&](Computation&) {
      computing = true;
      while (!finish) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return std::string("bytes");
    });
  });
  {
    FakeConnection first = daemon.welcome(before);
    const auto asked = first.expect<protocol::Acquire>();
    first.send(asked.id, protocol::Lease{{1, 1}, 1000, false, protocol::LeaseCause::absent});
    wait_until([&] { return computing.load(); }, "the computation");
    before.die();
  }
  finish = true;
  FakeConnection second = daemon.welcome(after);
  const auto again = second.expect<protocol::Acquire>();
  CHECK(again.message.wait_ms == 0);
  second.send(again.id, protocol::Lease{{2, 9}, 1000, false, protocol::LeaseCause::absent});
  const auto published = second.expect<protocol::Publish>();
  CHECK(published.message.token == protocol::Token{2, 9});
  CHECK(published.message.parts.at(0).bytes == "bytes");
  second.send(published.id, protocol::Published{7, true});
  worker.join();
  REQUIRE(value->ok());
  CHECK((*value)->text() == "bytes");
  CHECK((*value)->version() == 7);
}

TEST_CASE("a value that answers is a view with the pin that the daemon granted") {
  FakeDaemon daemon;
  FakeNamespace space;
  ClientOptions options;
  options.socket = daemon.path();
  Client client(options);
  std::optional<Result<Value>> value;
  std::jthread worker([&] { value = client.wait(key.bytes()); });
  FakeConnection connection = daemon.welcome(space);
  const auto asked = connection.expect<protocol::Acquire>();
  CHECK_FALSE(asked.message.may_compute);
  const auto record = space.place(key, "granted");
  const auto pin = space.store->grant_pin(FakeNamespace::connection, record);
  protocol::Value answer;
  answer.version = 1;
  answer.record = static_cast<std::uint64_t>(record);
  answer.pin = *pin;
  answer.waited = true;
  connection.send(asked.id, answer);
  worker.join();
  REQUIRE(value->ok());
  CHECK((*value)->text() == "granted");
  CHECK((*value)->in_shared_memory());
  CHECK(space.pins_set() == 1);
  value.reset();
  CHECK(space.pins_set() == 0);
  CHECK(client.counters().waited == 1);
}

TEST_CASE("an answer that names no record of the key is an error, not a wild read") {
  FakeDaemon daemon;
  FakeNamespace space;
  ClientOptions options;
  options.socket = daemon.path();
  Client client(options);
  const auto other = space.place(key_named("other"), "not yours");
  std::optional<Result<Value>> value;
  std::optional<FakeConnection> connection;
  for (const std::uint64_t record : {std::uint64_t{64}, std::uint64_t{1} << 40, static_cast<std::uint64_t>(other)}) {
    std::jthread worker([&] { value = client.wait(key.bytes()); });
    if (!connection) connection = daemon.welcome(space);
    const auto asked = connection->expect<protocol::Acquire>();
    protocol::Value answer;
    answer.record = record;
    answer.pin = protocol::client_pins;
    connection->send(asked.id, answer);
    worker.join();
    CHECK(value->error().code == ErrorCode::malformed);
  }
}

TEST_CASE("a lease that must be taken up is taken up at once") {
  FakeDaemon daemon;
  FakeNamespace space;
  ClientOptions options;
  options.socket = daemon.path();
  Client client(options);
  std::jthread worker([&] {
    const auto value = client.get_or_compute(key, {}, [](Computation&) -> Result<std::string> {
      return Error{ErrorCode::internal, "no luck"};
    });
    CHECK(value.error().text == "no luck");
  });
  FakeConnection connection = daemon.welcome(space);
  const auto asked = connection.expect<protocol::Acquire>();
  connection.send(asked.id, protocol::Lease{{1, 4}, 1000, true, protocol::LeaseCause::holder_died});
  CHECK(connection.expect<protocol::TakeUp>().message.token == protocol::Token{1, 4});
  const auto failed = connection.expect<protocol::Fail>();
  CHECK(failed.message.text == "no luck");
  CHECK(failed.message.failure_ttl_ms == 5000);
}
