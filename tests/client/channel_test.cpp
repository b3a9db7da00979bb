#include "channel.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <thread>

#include "fake_daemon.hpp"

using namespace onced;
using namespace onced::testing;
using client_detail::Channel;
using client_detail::deadline_in;
using client_detail::Descriptor;
using client_detail::Socket;

namespace {

const std::chrono::seconds long_enough{60};

protocol::Request question(std::size_t number) {
  return protocol::Cancel{{protocol::ScopeKind::function, "f" + std::to_string(number)}};
}
std::uint64_t number_of(const protocol::Request& request) {
  return std::stoull(std::get<protocol::Cancel>(request).scope.subject.substr(1));
}

// A channel and the other end of its socket.
struct Pair {
  explicit Pair(protocol::PinPage* page = nullptr) : Pair(page, ends()) {}
  Pair(protocol::PinPage* page, std::pair<int, int> both)
      : channel(Socket(Descriptor(both.first)), protocol::FrameReader(limits::frame_payload_bytes_max), page),
        peer(both.second) {}
  static std::pair<int, int> ends() {
    int both[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) != 0) throw std::runtime_error("socketpair");
    return {both[0], both[1]};
  }
  std::uint64_t ask(std::size_t number) {
    auto reply = channel.call(question(number), deadline_in(long_enough));
    if (!reply) throw std::runtime_error(reply.error().text);
    return std::get<protocol::Done>(*reply).count;
  }
  Channel channel;
  FakeConnection peer;
};

}  // namespace

TEST_CASE("answers in any order reach those who asked") {
  Pair pair;
  constexpr std::size_t callers = 16;
  constexpr std::size_t rounds = 50;
  std::atomic<std::size_t> right{0};
  std::vector<std::jthread> threads;
  for (std::size_t caller = 0; caller < callers; ++caller) {
    threads.emplace_back([&, caller] {
      for (std::size_t round = 0; round < rounds; ++round) {
        const std::size_t number = caller * rounds + round;
        if (pair.ask(number) == number) ++right;
      }
    });
  }
  const unsigned seed = std::random_device()();
  INFO("seed ", seed);
  std::mt19937 random(seed);
  for (std::size_t round = 0; round < rounds; ++round) {
    // Every caller has one question open: all are asked before any is answered.
    std::vector<std::pair<protocol::RequestId, protocol::Request>> open;
    while (open.size() < callers) open.push_back(pair.peer.next_request());
    std::shuffle(open.begin(), open.end(), random);
    for (const auto& [id, request] : open) pair.peer.send(id, protocol::Done{number_of(request)});
  }
  threads.clear();
  CHECK(right == callers * rounds);
}

TEST_CASE("an answer may come byte by byte, and two in one piece") {
  Pair pair;
  std::atomic<std::uint64_t> first{0};
  std::atomic<std::uint64_t> second{0};
  std::jthread a([&] { first = pair.ask(1); });
  std::jthread b([&] { second = pair.ask(2); });
  std::string answers;
  for (int i = 0; i < 2; ++i) {
    const auto [id, request] = pair.peer.next_request();
    answers += FakeConnection::frame(id, protocol::Done{number_of(request)});
  }
  const std::size_t middle = answers.size() - 20;  // past the first frame's end
  for (std::size_t i = 0; i < middle; ++i) pair.peer.send_raw(std::string_view(answers).substr(i, 1));
  pair.peer.send_raw(std::string_view(answers).substr(middle));
  a.join();
  b.join();
  CHECK(first == 1);
  CHECK(second == 2);
}

TEST_CASE("garbage ends every call, and the channel for good") {
  Pair pair;
  std::atomic<int> unavailable{0};
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        auto reply = pair.channel.call(question(i), deadline_in(long_enough));
        if (!reply.ok() && reply.error().code == ErrorCode::unavailable) ++unavailable;
      });
    }
    for (int i = 0; i < 4; ++i) pair.peer.next_request();
    pair.peer.send_raw(std::string(64, '\xff'));
  }
  CHECK(unavailable == 4);
  CHECK(pair.channel.broken());
  CHECK(pair.channel.call(question(9), deadline_in(long_enough)).error().code == ErrorCode::unavailable);
}

TEST_CASE("a connection that closes in the middle of a frame ends every call") {
  Pair pair;
  std::optional<Result<protocol::Reply>> reply;
  std::jthread caller([&] { reply = pair.channel.call(question(1), deadline_in(long_enough)); });
  const auto [id, request] = pair.peer.next_request();
  const std::string answer = FakeConnection::frame(id, protocol::Done{1});
  pair.peer.send_raw(std::string_view(answer).substr(0, answer.size() - 1));
  pair.peer.close();
  caller.join();
  REQUIRE(reply.has_value());
  CHECK(reply->error().code == ErrorCode::unavailable);
}

TEST_CASE("a refusal that answers nobody is why the connection was closed") {
  Pair pair;
  std::optional<Result<protocol::Reply>> reply;
  std::jthread caller([&] { reply = pair.channel.call(question(1), deadline_in(long_enough)); });
  pair.peer.next_request();
  pair.peer.send(0, protocol::Refused{ErrorCode::malformed, "message type 9999 is unknown"});
  pair.peer.close();
  caller.join();
  CHECK(reply->error().text.find("message type 9999 is unknown") != std::string::npos);
}

TEST_CASE("descriptors that nobody asked for break the channel") {
  const auto ends = Pair::ends();
  Socket socket{Descriptor(ends.first)};
  socket.expect_no_descriptors();
  Channel channel(std::move(socket), protocol::FrameReader(limits::frame_payload_bytes_max), nullptr);
  FakeConnection peer(ends.second);
  std::optional<Result<protocol::Reply>> reply;
  std::jthread caller([&] { reply = channel.call(question(1), deadline_in(long_enough)); });
  const auto [id, request] = peer.next_request();
  peer.send_raw(FakeConnection::frame(id, protocol::Done{1}), {0});
  caller.join();
  CHECK(reply->error().code == ErrorCode::unavailable);
  CHECK(reply->error().text.find("descriptor") != std::string::npos);
}

TEST_CASE("a reader that gives up hands the reading over") {
  Pair pair;
  std::optional<Result<protocol::Reply>> early;
  std::uint64_t late = 0;
  std::jthread first([&] { early = pair.channel.call(question(1), deadline_in(std::chrono::milliseconds(100))); });
  pair.peer.next_request();  // it is in its call, and so the one that reads
  std::jthread second([&] { late = pair.ask(2); });
  const auto [id, request] = pair.peer.next_request();
  first.join();
  CHECK(early->error().code == ErrorCode::unavailable);
  CHECK_FALSE(pair.channel.broken());
  pair.peer.send(id, protocol::Done{2});
  second.join();
  CHECK(late == 2);
}

TEST_CASE("what comes after its caller has gone is released: a pin cleared, a lease given back") {
  auto page = std::make_unique<protocol::PinPage>();
  Pair pair(page.get());
  const Key key = key_named("late");
  const auto give_up = [&] {
    protocol::Acquire request;
    request.key = key.bytes();
    request.wait_ms = 1;
    const auto reply = pair.channel.call(request, deadline_in(std::chrono::milliseconds(1)));
    CHECK(reply.error().code == ErrorCode::unavailable);
    const auto asked = pair.peer.expect<protocol::Acquire>();
    CHECK(pair.peer.expect<protocol::Withdraw>().message.target == asked.id);
    return asked.id;
  };
  const auto ask_once = [&] {
    std::jthread caller([&] { pair.ask(1); });
    const auto [id, request] = pair.peer.next_request();
    pair.peer.send(id, protocol::Done{1});
  };

  constexpr std::uint32_t pin = protocol::client_pins + 7;
  protocol::pin_at(*page, pin) = 4096;
  protocol::Value value;
  value.record = 4096;
  value.pin = pin;
  pair.peer.send(give_up(), value);
  ask_once();
  CHECK(protocol::pin_at(*page, pin) == 0);

  const protocol::Token token{5, 6};
  pair.peer.send(give_up(), protocol::Lease{token, 1000, false, protocol::LeaseCause::absent});
  ask_once();
  CHECK(pair.peer.expect<protocol::Abandon>().message.token == token);
}

TEST_CASE("a pin number outside of what a daemon may grant is not touched") {
  auto page = std::make_unique<protocol::PinPage>();
  Pair pair(page.get());
  protocol::pin_at(*page, 3) = 4096;
  protocol::Value value;
  value.record = 4096;
  for (const std::uint32_t pin : {3U, 4096U, 0xffff'ffffU}) {
    value.pin = pin;
    pair.peer.send(99, value);
  }
  std::jthread caller([&] { pair.ask(1); });
  const auto [id, request] = pair.peer.next_request();
  pair.peer.send(id, protocol::Done{1});
  caller.join();
  CHECK(protocol::pin_at(*page, 3) == 4096);
}

TEST_CASE("the end of a lease is told without blocking") {
  Pair pair;
  const protocol::Token token{1, 2};
  std::jthread caller([&] {
    protocol::Acquire request;
    request.key = key_named("f").bytes();
    static_cast<void>(pair.channel.call(request, deadline_in(long_enough)));
  });
  const auto asked = pair.peer.expect<protocol::Acquire>();
  pair.peer.send(asked.id, protocol::Lease{token, 1000, false, protocol::LeaseCause::absent});
  caller.join();
  CHECK_FALSE(pair.channel.lease_end(token).has_value());
  pair.peer.send(asked.id, protocol::LeaseLost{protocol::Token{1, 1}, protocol::LeaseEnd::cancelled});
  CHECK_FALSE(pair.channel.lease_end(token).has_value());
  pair.peer.send(asked.id, protocol::LeaseLost{token, protocol::LeaseEnd::invalidated});
  CHECK(pair.channel.lease_end(token) == protocol::LeaseEnd::invalidated);
  pair.channel.forget_lease(token);
  CHECK_FALSE(pair.channel.lease_end(token).has_value());
}

TEST_CASE("a sender whose daemon is busy answering reads, so that neither waits for ever") {
  Pair pair;
  // More than both directions' buffers hold: the peer does not read before all of it is sent.
  std::string flood;
  for (int i = 0; i < 60'000; ++i) flood += FakeConnection::frame(12345, protocol::Position{1, 2});
  std::jthread peer([&] {
    pair.peer.send_raw(flood);
    for (int i = 0; i < 40; ++i) pair.peer.next_request();
  });
  for (int i = 0; i < 40; ++i) {
    std::vector<protocol::Part> parts{{"", "", std::string(limits::value_bytes_max, 'x')}};
    const auto sent = pair.channel.post(protocol::Publish{{1, 1}, std::move(parts), 0}, deadline_in(long_enough));
    REQUIRE(sent.ok());
  }
  peer.join();
  CHECK_FALSE(pair.channel.broken());
}

TEST_CASE("progress is dropped when the socket is full, and frames stay whole") {
  Pair pair;
  const std::string text(limits::text_bytes_max, 'p');
  for (int i = 0; i < 2000; ++i) pair.channel.post_if_room(protocol::Progress{{1, 1}, 0.5, text});
  std::jthread asker([&] { CHECK(pair.ask(7) == 7); });
  int progress = 0;
  for (;;) {
    const auto [id, request] = pair.peer.next_request();
    if (std::holds_alternative<protocol::Progress>(request)) {
      ++progress;
      continue;
    }
    pair.peer.send(id, protocol::Done{number_of(request)});
    break;
  }
  CHECK(progress > 0);
  CHECK(progress < 2000);
}
