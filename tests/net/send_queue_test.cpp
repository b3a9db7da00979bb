#include "net/send_queue.hpp"

#include <doctest/doctest.h>

#include <array>

#include <onced/protocol/frame.hpp>

#include "net/socket_pair.hpp"

using namespace onced;
using namespace onced::net;
using onced::testing::SocketPair;

namespace {

SendQueue::Departures departures(SendQueue& queue) {
  SendQueue::Departures result;
  queue.take_departures(result);
  return result;
}

std::size_t drain(int socket) {
  std::array<std::byte, 65536> room;
  std::size_t bytes = 0;
  for (;;) {
    const Received received = receive(socket, room);
    for (const int descriptor : received.descriptors) ::close(descriptor);
    if (received.bytes == 0) return bytes;
    bytes += received.bytes;
  }
}

}  // namespace

TEST_CASE("signals are counted when they have left, and not before") {
  SocketPair pair;
  SendQueue queue;
  protocol::Signal signal;
  signal.text = std::string(4000, 'x');
  for (int i = 0; i < 200; ++i) queue.push(7, signal);
  queue.push(8, protocol::Reply(protocol::Done{}));  // no signal
  queue.push(9, protocol::Reply(protocol::Position{1, 2}));
  CHECK(departures(queue).empty());
  std::uint32_t left = 0;
  std::uint32_t others = 0;
  std::size_t received = 0;
  bool partly = false;
  while (true) {
    const Sent::Kind kind = queue.flush(pair.ours);
    for (const auto& [subscription, count] : departures(queue)) (subscription == 7 ? left : others) += count;
    received += drain(pair.theirs);
    CHECK(left <= received / 4000);
    if (kind == Sent::Kind::bytes) break;
    REQUIRE(kind == Sent::Kind::nothing);
    partly = partly || (left > 0 && left < 200);
  }
  CHECK(partly);
  CHECK(left == 200);
  CHECK(others == 1);
  CHECK(queue.empty());
}

TEST_CASE("descriptors go with the first bytes, and an empty queue gives its memory back") {
  SocketPair pair;
  SendQueue queue;
  queue.attach(pair.ours, pair.ours);
  protocol::Value value;
  value.parts = {{"", "", std::string(60'000, 'v')}};
  queue.push(1, protocol::Reply(value));
  CHECK(queue.flush(pair.ours) == Sent::Kind::bytes);
  std::array<std::byte, 65536> room;
  const Received received = receive(pair.theirs, room);
  CHECK(received.descriptors.size() == 2);
  for (const int descriptor : received.descriptors) ::close(descriptor);
  CHECK(queue.empty());
  CHECK(queue.allocated_bytes() < 32 * 1024);
}

TEST_CASE("a peer that is gone breaks the queue") {
  SocketPair pair;
  pair.close_theirs();
  SendQueue queue;
  queue.push(1, protocol::Reply(protocol::Done{}));
  CHECK(queue.flush(pair.ours) == Sent::Kind::broken);
}
