#include "connector.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>
#include <vector>

#include <onced/client.hpp>

#include "child.hpp"
#include "fake_daemon.hpp"
#include "one_key.hpp"

using namespace onced;
using namespace onced::testing;
using client_detail::BackOff;

namespace {
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
    const auto value = client.get_or_compute(f_key, {}, [&](Computation& computation) {
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
  CHECK(client.put(f_key.bytes(), "x").error().code == ErrorCode::unavailable);

  // It comes, and goes again: a second outage, a second warning.
  FakeNamespace space;
  daemon.listen();
  std::jthread connecting([&] { wait_until([&] { return client.connect().ok(); }, "a connection"); });
  { FakeConnection connection = daemon.welcome(space); }
  connecting.join();
  space.die();
  daemon.stop_listening();
  for (int i = 0; i < 3; ++i) CHECK_FALSE(client.peek(f_key).has_value());
  CHECK(warnings.size() == 2);
}

TEST_CASE("strict: with the daemon away there is an error and nothing is computed") {
  ClientOptions options;
  options.socket = "/nowhere/onced.sock";
  options.strict = true;
  options.on_warning = [](std::string_view) {};
  Client client(options);
  bool called = false;
  const auto value = client.get_or_compute(f_key, {}, [&](Computation&) {
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
    CHECK_FALSE(client.peek(f_key).has_value());
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
  std::jthread asking([&] { dropped = client.invalidate(f_key.bytes()); });
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
    value = client.get_or_compute(f_key, {}, [&](Computation&) {
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
  std::jthread worker([&] { value = client.wait(f_key.bytes()); });
  FakeConnection connection = daemon.welcome(space);
  const auto asked = connection.expect<protocol::Acquire>();
  CHECK_FALSE(asked.message.may_compute);
  const auto record = space.place(f_key, "granted");
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
    std::jthread worker([&] { value = client.wait(f_key.bytes()); });
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
    const auto value = client.get_or_compute(f_key, {}, [](Computation&) -> Result<std::string> {
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
  CHECK(failed.message.failure_ttl_ms == protocol::as_configured);
}

// ---- refusals -------------------------------------------------------------------------------------------------------

TEST_CASE("a daemon that refuses this client is not away: nothing is computed, and every call says why") {
  for (const ErrorCode code : {ErrorCode::not_permitted, ErrorCode::not_found, ErrorCode::version_mismatch}) {
    CAPTURE(name_of(code));
    FakeDaemon daemon;
    ClientOptions options;
    options.socket = daemon.path();
    options.reconnect_delay_min = options.reconnect_delay_max = Milliseconds(3'600'000);
    options.on_warning = [](std::string_view) {};
    Client client(options);
    const std::string text = "the daemon's own words";
    std::optional<Result<Value>> value;
    std::jthread caller([&] {
      value = client.get_or_compute(f_key, {}, [](Computation&) -> std::string {
        FAIL("computed");
        return {};
      });
    });
    FakeConnection connection = daemon.accept();
    const auto hello = connection.expect<protocol::Hello>();
    connection.send(hello.id, protocol::Refused{code, text});
    caller.join();
    REQUIRE_FALSE(value->ok());
    CHECK(value->error().code == code);
    CHECK(value->error().text == text);
    // Within the back-off: from memory.
    CHECK(client.wait(f_key.bytes()).error().code == code);
    CHECK(client.get(f_key.bytes()).error().code == code);  // "no such namespace" is not "no such value"
    CHECK(client.put(f_key.bytes(), "x").error().text == text);
    CHECK(client.counters().computed_locally == 0);
  }
}

TEST_CASE("a daemon that has no room is away") {
  for (const ErrorCode code : {ErrorCode::limit_reached, ErrorCode::unavailable}) {
    FakeDaemon daemon;
    ClientOptions options;
    options.socket = daemon.path();
    options.on_warning = [](std::string_view) {};
    Client client(options);
    std::jthread caller([&] {
      const auto value = client.get_or_compute(f_key, {}, [](Computation&) { return std::string("local"); });
      CHECK(value->text() == "local");
    });
    FakeConnection connection = daemon.accept();
    connection.send(connection.expect<protocol::Hello>().id, protocol::Refused{code, "4096 connections"});
    caller.join();
    CHECK(client.counters().computed_locally == 1);
  }
}

TEST_CASE("a socket that this user may not open is a refusal" * doctest::skip(::geteuid() != 0)) {
  FakeDaemon daemon;
  CHECK(::chmod(daemon.path().c_str(), 0600) == 0);
  const std::filesystem::path directory = std::filesystem::path(daemon.path()).parent_path();
  CHECK(::chmod(directory.c_str(), 0755) == 0);
  const int child = in_child([&] {
    if (::setresuid(65534, 65534, 65534) != 0) return 1;
    ClientOptions options;
    options.socket = daemon.path();
    options.on_warning = [](std::string_view) {};
    Client client(options);
    bool computed = false;
    const auto value = client.get_or_compute(f_key, {}, [&](Computation&) {
      computed = true;
      return std::string();
    });
    if (value.ok() || computed || value.error().code != ErrorCode::not_permitted) return 2;
    if (value.error().text.find(daemon.path()) == std::string::npos) return 3;
    const auto subscription = client.subscribe_all();
    return !subscription.ok() && subscription.error().code == ErrorCode::not_permitted ? 0 : 4;
  });
  CHECK(child == 0);
}

// ---- results that the daemon will not have --------------------------------------------------------------------------

namespace {

// A computation that holds lease {1, 1} and publishes when told to.
struct Publishing {
  Publishing() {
    options.socket = daemon.path();
    options.on_warning = [](std::string_view) {};
    client = std::make_unique<Client>(options);
    worker = std::jthread([this] {
      value = client->get_or_compute(f_key, {}, [&](Computation&) {
        wait_until([&] { return finish.load(); }, "the test");
        return std::string("bytes");
      });
    });
    connection = daemon.welcome(before);
    const auto asked = connection->expect<protocol::Acquire>();
    connection->send(asked.id, protocol::Lease{{1, 1}, 1000, false, protocol::LeaseCause::absent});
  }
  FakeDaemon daemon;
  FakeNamespace before{1};
  FakeNamespace after{2};
  ClientOptions options;
  std::unique_ptr<Client> client;
  std::atomic<bool> finish{false};
  std::optional<Result<Value>> value;
  std::optional<FakeConnection> connection;
  std::jthread worker;
};

}  // namespace

TEST_CASE("a lease whose result is refused is given back") {
  Publishing p;
  p.finish = true;
  const auto published = p.connection->expect<protocol::Publish>();
  p.connection->send(published.id, protocol::Refused{ErrorCode::out_of_memory, "not today"});
  CHECK(p.connection->expect<protocol::Abandon>().message.token == protocol::Token{1, 1});
  p.worker.join();
  CHECK((*p.value)->text() == "bytes");
  CHECK((*p.value)->not_stored()->code == ErrorCode::out_of_memory);
  CHECK((*p.value)->not_stored()->text == "not today");
}

TEST_CASE("a lease whose result is above a limit ends as a failure: the next one would compute in vain") {
  Publishing p;
  p.finish = true;
  const auto published = p.connection->expect<protocol::Publish>();
  p.connection->send(published.id, protocol::Refused{ErrorCode::too_large, "5 > 4"});
  const auto failed = p.connection->expect<protocol::Fail>();
  CHECK(failed.message.token == protocol::Token{1, 1});
  CHECK(failed.message.text == "5 > 4");
  p.worker.join();
  CHECK((*p.value)->text() == "bytes");
  CHECK((*p.value)->not_stored()->code == ErrorCode::too_large);
}

TEST_CASE("so is the second one, of a daemon that was restarted meanwhile") {
  Publishing p;
  p.before.die();
  p.connection->close();
  p.finish = true;
  FakeConnection second = p.daemon.welcome(p.after);
  const auto again = second.expect<protocol::Acquire>();
  second.send(again.id, protocol::Lease{{2, 9}, 1000, false, protocol::LeaseCause::absent});
  const auto published = second.expect<protocol::Publish>();
  second.send(published.id, protocol::Refused{ErrorCode::out_of_memory, "not today"});
  CHECK(second.expect<protocol::Abandon>().message.token == protocol::Token{2, 9});
  p.worker.join();
  CHECK((*p.value)->text() == "bytes");
  CHECK((*p.value)->version() == 0);
}

TEST_CASE("a result that came too late has no lease to give back") {
  Publishing p;
  p.finish = true;
  const auto published = p.connection->expect<protocol::Publish>();
  p.connection->send(published.id, protocol::Refused{ErrorCode::unknown_token, "passed on"});
  p.worker.join();
  p.client.reset();
  CHECK_THROWS(p.connection->next_request());  // the end, and nothing before it
}

// ---- what a thread holds --------------------------------------------------------------------------------------------

TEST_CASE("a request names what its thread holds of the same daemon and namespace, with whichever client it got it") {
  FakeDaemon daemon;
  FakeNamespace space(7);
  ClientOptions options;
  options.socket = daemon.path();
  options.on_warning = [](std::string_view) {};
  std::vector<Client> clients;
  clients.emplace_back(options);
  clients.emplace_back(options);
  options.namespace_name = "elsewhere";
  clients.emplace_back(options);
  std::vector<FakeConnection> connections;
  for (Client& client : clients) {
    std::jthread connecting([&] { CHECK(client.connect().ok()); });
    connections.push_back(daemon.welcome(space));
  }
  const protocol::Token token{7, 3};
  std::jthread worker([&] {
    auto held = clients[0].acquire(f_key);
    REQUIRE(held.ok());
    for (Client& client : clients) CHECK_FALSE(client.get(key_named("g").bytes())->has_value());
    std::get<Computation>(*held).abandon();
    CHECK_FALSE(clients[1].get(key_named("g").bytes())->has_value());
  });
  const auto answer = [&](FakeConnection& connection) {
    const auto asked = connection.expect<protocol::Acquire>();
    connection.send(asked.id, protocol::Refused{ErrorCode::not_found, ""});
    return asked.message.held;
  };
  connections[0].send(connections[0].expect<protocol::Acquire>().id, protocol::Lease{token, 1000, false, protocol::LeaseCause::absent});
  CHECK(answer(connections[0]) == std::vector{token});
  CHECK(answer(connections[1]) == std::vector{token});
  CHECK(answer(connections[2]).empty());
  connections[0].expect<protocol::Abandon>();
  CHECK(answer(connections[1]).empty());
}
