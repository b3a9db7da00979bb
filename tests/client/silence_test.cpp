// A daemon that is there and says nothing, and callers who have little time.
//
// The client's own time-outs are an hour here: a call that ignores its caller's deadline does not end within the test.
#include <doctest/doctest.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include <onced/client.hpp>

#include "fake_daemon.hpp"
#include "one_key.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

constexpr Milliseconds an_hour{3'600'000};
constexpr Milliseconds shortly{50};

struct Patient {
  explicit Patient(ClientOptions options = {}) {
    options.socket = daemon.path();
    options.connect_timeout = an_hour;
    if (options.request_timeout == ClientOptions().request_timeout) options.request_timeout = an_hour;
    options.on_warning = [this](std::string_view text) {
      const std::lock_guard lock(mutex);
      warnings.emplace_back(text);
    };
    client = std::make_unique<Client>(options);
  }
  FakeConnection connect() {
    std::jthread connecting([&] { CHECK(client->connect().ok()); });
    return daemon.welcome(space);
  }
  // Computed here, without the daemon.
  void check_local(Milliseconds wait = shortly) {
    ComputeOptions options;
    options.wait_timeout = wait;
    const auto value = client->get_or_compute(f_key, options, [](Computation& computation) {
      CHECK(computation.local());
      return std::string("local");
    });
    REQUIRE(value.ok());
    CHECK(value->text() == "local");
  }
  std::mutex mutex;
  std::vector<std::string> warnings;
  FakeNamespace space;
  FakeDaemon daemon;
  std::unique_ptr<Client> client;
};

// The next request that is no ping.
template <typename Message>
FakeConnection::Received<Message> expect_after_pings(FakeConnection& connection) {
  for (;;) {
    auto [id, request] = connection.next_request();
    if (std::holds_alternative<protocol::Unsubscribe>(request)) continue;
    return {id, std::get<Message>(std::move(request))};
  }
}

}  // namespace

TEST_CASE("who has little time waits no longer for a connection than for a value") {
  Patient p;  // its connection is never accepted
  p.check_local();
  CHECK(p.client->wait(f_key.bytes(), {shortly}).error().code == ErrorCode::unavailable);
  CHECK(p.client->counters().computed_locally == 1);
}

TEST_CASE("nor does it wait for another thread that connects") {
  Patient p;
  std::jthread patient([&] { CHECK_FALSE(p.client->connect().ok()); });
  FakeConnection never_welcomed = p.daemon.accept();
  p.check_local();
  CHECK_FALSE(p.daemon.somebody_connects());
  never_welcomed.close();
}

TEST_CASE("a daemon that stops answering is away for who has little time, and is told that nobody waits any more") {
  Patient p;
  FakeConnection connection = p.connect();
  p.check_local();
  const auto asked = connection.expect<protocol::Acquire>();
  connection.expect<protocol::Unsubscribe>();
  CHECK(connection.expect<protocol::Withdraw>().message.target == asked.id);
  CHECK(p.client->counters().computed_locally == 1);
  REQUIRE(p.warnings.size() == 1);
  CHECK(p.warnings[0].find("does not answer") != std::string::npos);
}

TEST_CASE("a daemon that takes no requests is away too, also while another thread is sending") {
  Patient p;
  FakeConnection connection = p.connect();
  constexpr int senders = 20;  // more than the socket holds
  std::vector<std::jthread> threads;
  for (int i = 0; i < senders; ++i) {
    threads.emplace_back([&] { CHECK_FALSE(p.client->put(f_key.bytes(), std::string(limits::value_bytes_max, 'x')).ok()); });
  }
  wait_until([&] { return p.client->counters().requests == senders; }, "all to send");
  p.check_local();
  p.daemon.stop_listening();
  connection.close();
}

TEST_CASE("a long computation is no silent daemon: pings are answered, and the wait goes on") {
  ClientOptions options;
  options.request_timeout = Milliseconds(500);
  Patient p(options);
  FakeConnection connection = p.connect();
  std::optional<Result<Value>> value;
  std::jthread waiter([&] { value = p.client->get_or_compute(f_key, {}, [](Computation&) { return std::string("not here"); }); });
  const auto asked = connection.expect<protocol::Acquire>();
  for (int i = 0; i < 3; ++i) connection.send(connection.expect<protocol::Unsubscribe>().id, protocol::Done{0});
  protocol::Value answer;
  answer.parts.push_back({"", "", "from another"});
  connection.send(asked.id, answer);
  waiter.join();
  REQUIRE(value->ok());
  CHECK((*value)->text() == "from another");
  CHECK(p.warnings.empty());
}

TEST_CASE("a silent daemon is found out long before a long wait is over") {
  ClientOptions options;
  options.request_timeout = Milliseconds(50);
  Patient p(options);
  FakeConnection connection = p.connect();
  p.check_local(an_hour);
  connection.expect<protocol::Acquire>();
  connection.expect<protocol::Unsubscribe>();
}

TEST_CASE("every thread that waits notices a silent daemon, one warning is given") {
  ClientOptions options;
  options.request_timeout = Milliseconds(100);
  Patient p(options);
  FakeConnection connection = p.connect();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) threads.emplace_back([&] { p.check_local(an_hour); });
  }
  CHECK(p.client->counters().computed_locally == 8);
  CHECK(p.warnings.size() == 1);
}

TEST_CASE("while the daemon is silent calls are told at once, and hits go on") {
  ClientOptions options;
  options.reconnect_delay_min = options.reconnect_delay_max = an_hour;
  Patient p(options);
  p.space.place(key_named("g"), "there");
  FakeConnection connection = p.connect();
  p.check_local();
  const std::uint64_t asked = p.client->counters().requests;
  p.check_local(an_hour);
  CHECK(p.client->put(f_key.bytes(), "x").error().code == ErrorCode::unavailable);
  CHECK(p.client->counters().requests == asked);
  CHECK(p.client->peek(key_named("g"))->text() == "there");
  CHECK(p.warnings.size() == 1);
}

TEST_CASE("a daemon that goes on is asked again over the same connection, and a second silence is warned of again") {
  ClientOptions options;
  options.reconnect_delay_min = options.reconnect_delay_max = Milliseconds(1);
  Patient p(options);
  FakeConnection connection = p.connect();
  p.check_local();
  std::atomic<bool> served{false};
  std::jthread caller([&] {
    wait_until([&] { return p.client->invalidate(f_key.bytes()).ok(); }, "the daemon to be asked again");
    served = true;
  });
  while (!served) {
    // Also those that were left from before.
    auto [id, request] = connection.next_request();
    if (std::holds_alternative<protocol::Acquire>(request) || std::holds_alternative<protocol::Withdraw>(request)) continue;
    connection.send(id, protocol::Done{0});
    if (std::holds_alternative<protocol::Invalidate>(request)) break;
  }
  caller.join();
  CHECK(p.client->counters().reconnects == 0);
  CHECK_FALSE(p.daemon.somebody_connects());
  CHECK(p.warnings.size() == 1);
  p.check_local();
  CHECK(p.warnings.size() == 2);
}

TEST_CASE("strict: that the daemon does not answer is an error, and no time-out of the caller's") {
  ClientOptions options;
  options.strict = true;
  Patient p(options);
  FakeConnection connection = p.connect();
  ComputeOptions hurried;
  hurried.wait_timeout = shortly;
  const auto value = p.client->get_or_compute(f_key, hurried, [](Computation&) { return std::string(); });
  CHECK(value.error().code == ErrorCode::unavailable);
  CHECK(value.error().text.find("does not answer") != std::string::npos);
}

TEST_CASE("get: nothing is there only when the daemon says so") {
  ClientOptions options;
  options.request_timeout = Milliseconds(1'000);
  Patient p(options);
  FakeConnection connection = p.connect();
  std::optional<Result<std::optional<Value>>> got;
  const auto get = [&](const std::optional<protocol::Reply>& reply) {
    std::jthread caller([&] { got = p.client->get(f_key.bytes()); });
    const auto asked = expect_after_pings<protocol::Acquire>(connection);
    CHECK(asked.message.wait_ms == 0);
    if (reply) connection.send(asked.id, *reply);
  };
  get(protocol::Refused{ErrorCode::not_found, "nobody has it"});
  REQUIRE(got->ok());
  CHECK_FALSE((**got).has_value());
  get(protocol::Refused{ErrorCode::timed_out, "somebody computes it"});
  REQUIRE(got->ok());
  CHECK_FALSE((**got).has_value());
  get(std::nullopt);
  CHECK(got->error().code == ErrorCode::unavailable);
}

TEST_CASE("get: a daemon that is given no longer for its disk than for an answer, and answers nothing, is silent") {
  ClientOptions options;
  options.request_timeout = options.disk_timeout = Milliseconds(1'000);
  Patient p(options);
  FakeConnection connection = p.connect();
  const auto got = p.client->get(f_key.bytes());
  CHECK(got.error().code == ErrorCode::unavailable);
  CHECK(got.error().text.find("does not answer") != std::string::npos);
}

TEST_CASE("a lease that a daemon grants after its silence is given back") {
  Patient p;
  FakeConnection connection = p.connect();
  p.check_local();
  const auto asked = connection.expect<protocol::Acquire>();
  connection.send(asked.id, protocol::Lease{{1, 7}, 1000, false, protocol::LeaseCause::absent});
  // The next call reads it.
  std::atomic<bool> done{false};
  std::jthread caller([&] {
    wait_until([&] { return p.client->invalidate(f_key.bytes()).ok(); }, "an answer");
    done = true;
  });
  bool given_back = false;
  bool answered = false;
  while (!given_back || !answered) {
    auto [id, request] = connection.next_request();
    if (const auto* abandon = std::get_if<protocol::Abandon>(&request)) given_back = abandon->token == protocol::Token{1, 7};
    if (std::holds_alternative<protocol::Withdraw>(request)) continue;
    connection.send(id, protocol::Done{0});
    answered = answered || std::holds_alternative<protocol::Invalidate>(request);
  }
  caller.join();
}
