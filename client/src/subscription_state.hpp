// The inside of a Subscription: a small state machine over one socket that never blocks but in next().
//
//   disconnected --(attempt is due)--> greeting --(Welcome)--> subscribed
//        ^---------(anything goes wrong, the greeting takes too long)---'
//
// A refusal that would be the same again (no such namespace, not permitted, another version) is the end: `refused`.
//
// Positions: every signal names the position before it. When that is not the one we are at, something is missing; we
// do not guess but subscribe anew, and tell the reader with a resync event.
#pragma once

#include <deque>
#include <optional>
#include <string>

#include <onced/options.hpp>
#include <onced/protocol/frame.hpp>
#include <onced/protocol/messages.hpp>
#include <onced/subscription.hpp>

#include "connector.hpp"
#include "descriptor.hpp"
#include "handshake.hpp"
#include "process.hpp"

namespace onced {

struct Subscription::State {
  // `session_id`: of the session that the scope is in; empty: in none. It is shown on every connection, before the scope.
  State(const ClientOptions& options, client_detail::Identity identity, protocol::Scope scope, std::string session_id = {});

  // Makes the descriptors that descriptor() and next() wait with.
  Result<void> open();
  // Does what can be done now: connects if that is due, reads, queues events.
  void step();
  // Until there is an event, the subscription was refused, or the deadline has passed.
  void run_until(client_detail::Deadline deadline);
  // Makes descriptor() readable when there is something to do.
  void arm();
  // A forked child goes on from the same position with a connection of its own.
  void leave_parent();

  const ClientOptions options;
  const client_detail::Identity identity;
  const protocol::Scope scope;
  const std::string session_id;

  std::deque<Event> events;
  std::optional<Error> refused;  // for good
  Error last_error{ErrorCode::unavailable, "not connected yet"};
  client_detail::Descriptor readiness;  // epoll: the socket and the timer

  bool connected() const { return phase_ == Phase::subscribed; }
  bool attempting() const { return phase_ == Phase::greeting; }

 private:
  enum class Phase { disconnected, greeting, subscribed };
  void start_greeting();
  void read();
  void handle(protocol::Reply reply);
  void handle_signal(protocol::Signal&& signal);
  void handle_state(protocol::State&& state);
  void subscribe();
  void answered();
  void lose(Error error);
  void refuse(Error error);
  void disconnect(Error error);

  client_detail::Process* process_ = nullptr;
  client_detail::Descriptor timer_;
  client_detail::BackOff back_off_;
  Phase phase_ = Phase::disconnected;
  client_detail::Deadline due_{};  // of the next attempt, or of the greeting's end
  std::optional<client_detail::Socket> socket_;
  protocol::FrameReader reader_;
  std::optional<protocol::Position> position_;  // where the reader is; nothing before the first state, or after a gap
  bool delivered_first_state_ = false;
  bool warned_ = false;
};

// Waits for the first state: changes made after this returns are signalled.
Result<Subscription> open_subscription(std::unique_ptr<Subscription::State> state);

}  // namespace onced
