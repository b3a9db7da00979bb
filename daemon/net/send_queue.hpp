// What a connection has still to send: bytes of whole frames, and the descriptors that go with some of them.
//
// A descriptor travels with the first byte of its frame, and no byte before that frame goes in the same sendmsg(): the
// receiver gets it neither earlier nor later than the frame that it belongs to.
// It also knows where signals end, so that the engine can be told how many of a subscription have left.
//
// Ownership: bytes are copied in. Descriptors are borrowed, or kept open by what comes with them (Descriptors).
// Threads:   the loop.
// Limits:    none of its own; the owner looks at bytes() (limits::send_queue_bytes_max). Descriptors are few: the two of a
//            Welcome, and one blob, since a client must prove that it has the one before (WIRE.md, "receipt").
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "memory/file_descriptor.hpp"
#include "net/socket_io.hpp"

namespace onced::net {

// What one frame carries. Nothing at all is the rule.
struct Descriptors {
  std::array<int, 2> numbers{};
  std::size_t count = 0;
  // Keeps them open until they have left; null: somebody else does, as long as the connection lasts.
  std::shared_ptr<const memory::FileDescriptor> keeper{};

  static Descriptors borrowed(int first, int second) { return {{first, second}, 2, nullptr}; }
  static Descriptors shared(std::shared_ptr<const memory::FileDescriptor> one) {
    const int number = one->get();
    return {{number}, 1, std::move(one)};
  }
};

class SendQueue {
 public:
  std::size_t bytes() const { return buffer_.size() - begin_; }
  bool empty() const { return bytes() == 0; }

  void push(protocol::RequestId id, const protocol::Reply& reply, Descriptors with = {});

  // Sends what the socket takes now. Outcome: `bytes` also when nothing was left to send. too_many_descriptors: the queue
  // begins with the frame whose descriptors the kernel does not take.
  Sent::Kind flush(int socket);

  // Signals, positions and states that have left since the last call, by subscription.
  using Departures = std::vector<std::pair<protocol::RequestId, std::uint32_t>>;
  void take_departures(Departures& departures);

  // Whether somebody else's descriptors still wait in it (Descriptors::borrowed).
  bool borrows() const;

  void clear();
  std::size_t allocated_bytes() const { return buffer_.capacity(); }

 private:
  // Positions are bytes since the connection began.
  struct Mark {
    std::uint64_t end;  // of a signal's frame
    protocol::RequestId subscription;
  };
  struct Attachment {
    std::uint64_t begin;  // of the frame that carries them
    Descriptors descriptors;
  };
  // What one sendmsg() may send next.
  std::span<const std::byte> next_bytes(std::span<const int>& descriptors) const;
  void compact();

  std::string buffer_;
  std::size_t begin_ = 0;
  std::uint64_t departed_ = 0;
  std::deque<Mark> marks_;
  std::vector<Attachment> attachments_;  // in order of their frames
};

}  // namespace onced::net
