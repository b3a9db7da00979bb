// Whatever one client sends: it gets a clear answer or is hung up on, and nobody else notices.
#include <doctest/doctest.h>

#include <random>

#include "process/bystander.hpp"
#include "support/contains.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::protocol;
using onced::testing::Bystander;
using onced::testing::DaemonProcess;
using onced::testing::key_bytes;
using onced::testing::RawClient;

namespace {

std::string hello_bytes() { return RawClient::encoded(1, RawClient::hello_message(false)); }

std::string acquire_bytes() {
  Acquire acquire;
  acquire.key = key_bytes("victim", 1);
  acquire.held = {{1, 2}};
  return RawClient::encoded(2, acquire);
}

// Sends, says that nothing more comes, and reads what there is to read: the daemon must not hang.
void send_and_drain(const std::string& socket, std::string_view bytes, bool after_hello) {
  RawClient client(socket);
  if (after_hello) client.hello();
  client.send(bytes);
  client.shut_down_writing();
  while (const auto answer = client.receive()) {
    if (answer->first == 0 && std::holds_alternative<Refused>(answer->second)) break;  // the daemon's last words
  }
}

Refused refusal_of(const std::string& socket, std::string_view bytes, bool after_hello) {
  RawClient client(socket);
  if (after_hello) client.hello();
  client.send(bytes);
  const auto refused = client.receive_end();
  REQUIRE(refused.has_value());
  return *refused;
}

using onced::testing::contains;

}  // namespace

TEST_CASE("frames cut at every offset end their connection and nothing else") {
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  const std::string hello = hello_bytes();
  for (std::size_t cut = 0; cut < hello.size(); ++cut) send_and_drain(daemon.socket(), hello.substr(0, cut), false);
  const std::string acquire = acquire_bytes();
  for (std::size_t cut = 0; cut < acquire.size(); ++cut) send_and_drain(daemon.socket(), acquire.substr(0, cut), true);
  bystander.check();
  CHECK(daemon.running());
}

TEST_CASE("a frame that comes in two pieces, cut anywhere, is understood") {
  DaemonProcess daemon;
  const std::string acquire = acquire_bytes();
  RawClient client(daemon.socket());
  client.hello();
  for (std::size_t cut = 1; cut < acquire.size(); ++cut) {
    client.send(acquire.substr(0, cut));
    client.send(acquire.substr(cut));
    const auto lease = client.receive_only<Lease>();
    client.request(3, Abandon{lease.token});
    client.receive_only<Done>();
  }
}

TEST_CASE("garbage ends its connection and nothing else") {
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 300; ++i) {
    std::string bytes(1 + random() % 700, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    send_and_drain(daemon.socket(), bytes, i % 2 == 0);
    // A right header before it, so that the garbage is decoded as a message.
    const auto type = static_cast<std::uint16_t>(random() % 20);
    send_and_drain(daemon.socket(), RawClient::frame(static_cast<std::uint32_t>(bytes.size()), type, 9, bytes), true);
  }
  bystander.check();
}

TEST_CASE("any flipped bit ends its connection at worst") {
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  const std::string hello = hello_bytes();
  for (std::size_t bit = 0; bit < hello.size() * 8; ++bit) {
    std::string bytes = hello;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    send_and_drain(daemon.socket(), bytes, false);
  }
  const std::string acquire = acquire_bytes();
  for (std::size_t bit = 0; bit < acquire.size() * 8; ++bit) {
    std::string bytes = acquire;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    send_and_drain(daemon.socket(), bytes, true);
  }
  bystander.check();
}

TEST_CASE("a huge declared length is refused before anything is stored for it") {
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  for (const bool after_hello : {false, true}) {
    for (const std::uint32_t length :
         {0xffff'ffffU, 0x8000'0000U, 1U << 20, static_cast<std::uint32_t>(limits::frame_payload_bytes_max) + 1}) {
      const Refused refused = refusal_of(daemon.socket(), RawClient::frame(length, 1, 5, ""), after_hello);
      CHECK(refused.code == ErrorCode::too_large);
      CHECK(contains(refused.text, std::to_string(length)));
    }
  }
  // Before HELLO less is allowed than after it.
  CHECK(refusal_of(daemon.socket(), RawClient::frame(4096, 1, 5, ""), false).code == ErrorCode::too_large);
  bystander.check();
}

TEST_CASE("deep nesting is refused") {
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  const std::string shallow(4000, '\x91');
  const auto refused = refusal_of(daemon.socket(), RawClient::frame(4000, 1, 5, shallow), false);
  CHECK((refused.code == ErrorCode::malformed || refused.code == ErrorCode::too_large));
  const std::string deep(100'000, '\x91');
  for (std::uint16_t type = 2; type < 18; ++type) {
    CHECK(refusal_of(daemon.socket(), RawClient::frame(100'000, type, 5, deep), true).code != ErrorCode::internal);
  }
  bystander.check();
}

TEST_CASE("another protocol version is refused by an answer that names both") {
  DaemonProcess daemon;
  auto hello = RawClient::hello_message(false);
  hello.protocol_version = 77;
  const Refused refused = refusal_of(daemon.socket(), RawClient::encoded(1, hello), false);
  CHECK(refused.code == ErrorCode::version_mismatch);
  CHECK(contains(refused.text, "77"));
  CHECK(contains(refused.text, "version " + std::to_string(limits::protocol_version)));
}

TEST_CASE("an HTTP request is told where it is") {
  DaemonProcess daemon;
  const Refused refused = refusal_of(daemon.socket(), "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", false);
  CHECK(contains(refused.text, "HTTP"));
}

TEST_CASE("what is not HELLO, a second HELLO, and an unknown namespace are refused") {
  DaemonProcess daemon;
  CHECK(refusal_of(daemon.socket(), acquire_bytes(), false).code == ErrorCode::malformed);
  CHECK(refusal_of(daemon.socket(), hello_bytes(), true).code == ErrorCode::malformed);
  auto hello = RawClient::hello_message(false);
  hello.namespace_name = "elsewhere";
  const Refused refused = refusal_of(daemon.socket(), RawClient::encoded(1, hello), false);
  CHECK(refused.code == ErrorCode::not_found);
  CHECK(contains(refused.text, "elsewhere"));
}

TEST_CASE("a client that sends one byte after the other is given up at the deadline") {
  DaemonProcess daemon(DaemonProcess::options({"--set", "limits.hello_deadline=200ms"}));
  RawClient slow(daemon.socket());
  const std::string hello = hello_bytes();
  // As slowly as it takes: one byte whenever the daemon has had the last one, never the last.
  std::size_t next = 0;
  while (slow.send(hello.substr(next, 1))) {
    if (next + 2 < hello.size()) ++next;
    else break;
    pollfd wait{slow.socket(), POLLIN, 0};
    if (::poll(&wait, 1, 20) == 1) break;
  }
  const auto refused = slow.receive_end();
  REQUIRE(refused.has_value());
  CHECK(refused->code == ErrorCode::timed_out);
}

TEST_CASE("unknown tokens and late publishes are refused and change nothing") {
  DaemonProcess daemon;
  RawClient client(daemon.socket());
  client.hello();
  const std::vector<Part> parts{{"", "", "x"}};
  client.request(2, Publish{{1, 2}, parts, 0});
  auto answer = client.receive();
  REQUIRE(answer.has_value());
  REQUIRE(std::holds_alternative<Refused>(answer->second));
  CHECK(std::get<Refused>(answer->second).code == ErrorCode::unknown_token);
  client.request(3, Fail{{1, 2}, "no", 0});
  answer = client.receive();
  REQUIRE(std::holds_alternative<Refused>(answer->second));
  client.request(4, Abandon{{1, 2}});
  answer = client.receive();
  REQUIRE(std::holds_alternative<Refused>(answer->second));

  Acquire acquire;
  acquire.key = key_bytes("late", 1);
  client.request(5, acquire);
  const auto lease = client.receive_only<Lease>();
  client.request(6, Publish{lease.token, parts, 0});
  CHECK(client.receive_only<Published>().stored);
  client.request(7, Publish{lease.token, {{"", "", "y"}}, 0});
  answer = client.receive();
  REQUIRE(std::holds_alternative<Refused>(answer->second));
  CHECK(std::get<Refused>(answer->second).code == ErrorCode::unknown_token);
  client.request(8, acquire);
  CHECK(client.receive_only<Value>().parts.at(0).bytes == "x");
}

TEST_CASE("keys and values above their limits are refused by an answer that names the limit") {
  DaemonProcess daemon;
  Bystander bystander(daemon.socket());
  Acquire acquire;
  acquire.key = std::string(limits::key_bytes_max + 1, '\x01');
  CHECK(refusal_of(daemon.socket(), RawClient::encoded(2, acquire), true).code == ErrorCode::too_large);
  Put put;
  put.key = key_bytes("large", 1);
  put.parts = {{"", "", std::string(limits::value_bytes_max + 1, 'v')}};
  const Refused refused = refusal_of(daemon.socket(), RawClient::encoded(2, put), true);
  CHECK(refused.code == ErrorCode::too_large);
  CHECK(contains(refused.text, std::to_string(limits::value_bytes_max)));
  put.parts[0].bytes.pop_back();
  RawClient client(daemon.socket());
  client.hello();
  client.request(2, put);
  CHECK(client.receive_only<Published>().stored);
  bystander.check();
}
