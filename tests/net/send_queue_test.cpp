#include "net/send_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include <onced/protocol/frame.hpp>

#include "net/socket_pair.hpp"

using namespace onced;
using namespace onced::net;
using onced::testing::SocketPair;
using onced::testing::is_open;

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
  protocol::Value value;
  value.parts = {{"", "", std::string(60'000, 'v')}};
  queue.push(1, protocol::Reply(value), Descriptors::borrowed(pair.ours, pair.ours));
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

TEST_CASE("a descriptor in the middle of the queue comes with its own frame, not with bytes before it") {
  SocketPair pair;
  SendQueue queue;
  int released = 0;
  const auto shared = [&released](int descriptor) {
    return std::shared_ptr<const memory::FileDescriptor>(new memory::FileDescriptor(::dup(descriptor)),
                                                         [&released](const memory::FileDescriptor* last) {
                                                           ++released;
                                                           delete last;
                                                         });
  };
  // More before it than the socket takes, so that it waits for several calls.
  protocol::Value large;
  large.parts = {{"", "", std::string(60'000, 'v')}};
  for (protocol::RequestId id = 1; id <= 8; ++id) queue.push(id, protocol::Reply(large));
  queue.push(9, protocol::Reply(protocol::Blob{77, 1, 2}), Descriptors::shared(shared(pair.ours)));
  queue.push(10, protocol::Reply(protocol::Done{}));
  queue.push(11, protocol::Reply(protocol::Blob{78, 1, 2}), Descriptors::shared(shared(pair.ours)));
  protocol::FrameReader frames(1024 * 1024);
  std::vector<protocol::RequestId> received_frames;
  std::vector<protocol::RequestId> frame_before;  // each descriptor: the last whole frame that was there before it
  for (bool all_sent = false; received_frames.size() < 11;) {
    if (!all_sent) all_sent = queue.flush(pair.ours) == Sent::Kind::bytes;
    const std::span<std::byte> room = frames.room();
    const Received received = receive(pair.theirs, room.first(std::min<std::size_t>(room.size(), 4096)));
    REQUIRE((received.kind == Received::Kind::bytes || received.kind == Received::Kind::descriptors));
    frames.received(received.bytes);
    std::vector<protocol::RequestId> now;
    for (auto frame = frames.next(); frame.ok() && *frame; frame = frames.next()) now.push_back((**frame).header.request_id);
    if (!received.descriptors.empty()) {
      CHECK(received.descriptors.size() == 1);
      // The kernel ends a receive with the piece that carried descriptors: its bytes are the last ones of this receive.
      frame_before.push_back(now.empty() ? received_frames.back() : now.front());
      CHECK(is_open(received.descriptors[0]));
      ::close(received.descriptors[0]);
    }
    received_frames.insert(received_frames.end(), now.begin(), now.end());
  }
  CHECK(received_frames == std::vector<protocol::RequestId>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  REQUIRE(frame_before.size() == 2);
  CHECK((frame_before[0] == 8 || frame_before[0] == 9));
  CHECK((frame_before[1] == 10 || frame_before[1] == 11));
  CHECK(released == 2);
  CHECK(queue.empty());
}

TEST_CASE("bytes before a descriptor leave in a call of their own") {
  SocketPair pair;
  SendQueue queue;
  queue.push(1, protocol::Reply(protocol::Done{}));
  const std::size_t before = queue.bytes();
  queue.push(2, protocol::Reply(protocol::Blob{77, 1, 2}),
             Descriptors::shared(std::make_shared<const memory::FileDescriptor>(::dup(pair.ours))));
  CHECK(queue.flush(pair.ours) == Sent::Kind::bytes);
  std::array<std::byte, 4096> room;
  // Were they one piece, all of it would be behind the descriptor.
  const Received first = receive(pair.theirs, std::span(room).first(before));
  CHECK(first.bytes == before);
  CHECK(first.descriptors.empty());
  const Received second = receive(pair.theirs, room);
  CHECK(second.descriptors.size() == 1);
  for (const int descriptor : second.descriptors) ::close(descriptor);
}

TEST_CASE("a descriptor that is dropped unsent is let go") {
  SendQueue queue;
  const auto owner = std::make_shared<const memory::FileDescriptor>(::dup(STDERR_FILENO));
  queue.push(1, protocol::Reply(protocol::Blob{77, 1, 2}), Descriptors::shared(owner));
  CHECK(owner.use_count() == 2);
  queue.clear();
  CHECK(owner.use_count() == 1);
  // What comes after it carries nothing.
  SocketPair pair;
  queue.push(2, protocol::Reply(protocol::Done{}));
  CHECK(queue.flush(pair.ours) == Sent::Kind::bytes);
  std::array<std::byte, 4096> room;
  CHECK(receive(pair.theirs, room).kind == Received::Kind::bytes);
}
