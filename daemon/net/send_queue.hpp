// What a connection has still to send: bytes of whole frames, and the descriptors that go with the first of them.
//
// It also knows where signals end, so that the engine can be told how many of a subscription have left.
//
// Ownership: bytes are copied in; descriptors are borrowed and must live until the first byte has left.
// Threads:   the loop.
// Limits:    none of its own; the owner looks at bytes() (limits::send_queue_bytes_max).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "net/socket_io.hpp"

namespace onced::net {

class SendQueue {
 public:
  std::size_t bytes() const { return buffer_.size() - begin_; }
  bool empty() const { return bytes() == 0; }

  void push(protocol::RequestId id, const protocol::Reply& reply);
  void push_bytes(std::string_view bytes) { buffer_ += bytes; }
  // Segment and pin page, with the next bytes that leave. Only while the queue is empty.
  void attach(int segment, int pin_page);

  // Sends what the socket takes now. Outcome: `bytes` also when nothing was left to send.
  Sent::Kind flush(int socket);

  // Signals, positions and states that have left since the last call, by subscription.
  using Departures = std::vector<std::pair<protocol::RequestId, std::uint32_t>>;
  void take_departures(Departures& departures);

  void clear();
  std::size_t allocated_bytes() const { return buffer_.capacity(); }

 private:
  struct Mark {
    std::uint64_t end;  // of a signal's frame, in bytes since the connection began
    protocol::RequestId subscription;
  };
  void compact();

  std::string buffer_;
  std::size_t begin_ = 0;
  std::uint64_t departed_ = 0;  // bytes since the connection began
  std::deque<Mark> marks_;
  std::array<int, 2> attached_{};
  std::size_t attached_count_ = 0;
};

}  // namespace onced::net
