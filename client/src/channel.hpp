// Requests and answers of many threads over one socket, without a thread of its own.
//
// Of the threads that wait for an answer one is the leader: it reads the socket for all and hands out what comes, by
// request id. When it has its own answer (or gives up) it makes one of the others the leader.
//
// Ownership: the socket and the bytes on their way. Calls live on their callers' stacks.
// Threads:   any. Two locks: sending_ (one sender at a time), then state_ (never the other way round).
// Errors:    unavailable: the connection is broken, for good; every call ends with it. timed_out: no answer by the
//            deadline; whatever comes later is released here (a granted pin cleared, a lease given back).
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include <onced/protocol/frame.hpp>
#include <onced/protocol/messages.hpp>
#include <onced/protocol/pin_page.hpp>
#include <onced/protocol/result.hpp>

#include "socket.hpp"

namespace onced::client_detail {

class Channel {
 public:
  // `page`: where answers set pins; may be null (a connection without a mapping). Outlives the channel.
  Channel(Socket socket, protocol::FrameReader reader, protocol::PinPage* page);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  Result<protocol::Reply> call(const protocol::Request& request, Deadline deadline);
  // For requests that have no answer.
  Result<void> post(const protocol::Request& request, Deadline deadline);
  // Never blocks: dropped when the socket is full or somebody else is sending.
  void post_if_room(const protocol::Request& request);

  // Nothing is sent or read any more: for when a lease could not be ended. The socket stays as it is, for the views that
  // it keeps (shutting it down could look like its end, WIRE.md); closing it ends the lease.
  void give_up(const Error& why);

  bool broken() const { return broken_.load(std::memory_order_relaxed); }

  // Why a lease that was granted over this channel is over, if the daemon has said so. Reads what is there, never
  // blocks. Leases are remembered from their grant until forget_lease().
  std::optional<protocol::LeaseEnd> lease_end(const protocol::Token& token);
  void forget_lease(const protocol::Token& token);

 private:
  struct Call {
    enum : std::uint32_t { awake, asleep, promoted, answered };
    protocol::RequestId id = 0;
    std::optional<protocol::Reply> reply;
    // What the caller sleeps on; written under state_, where the caller looks again before it believes anything.
    std::atomic<std::uint32_t> word{awake};
  };

  protocol::RequestId new_id();
  Result<protocol::Reply> wait(Call& call, Deadline deadline);
  void leave(Call& call);
  void promote_one();
  static void rouse(Call& call, std::uint32_t why);
  Result<void> send(std::string_view frame, Deadline deadline);
  Result<void> flush(Deadline deadline);
  void flush_outbox();
  bool take_lead();
  void give_lead();
  void read_available();
  void dispatch();
  void release(protocol::RequestId id, const protocol::Reply& reply);
  void break_with(Error error);
  Error broken_error();

  Socket socket_;
  protocol::PinPage* const page_;
  std::atomic<bool> broken_{false};  // set under state_, for good; read anywhere as a hint

  std::mutex sending_;
  std::string unsent_;  // the rest of a frame that the socket did not take whole, and what follows it

  std::mutex state_;
  std::unordered_map<protocol::RequestId, Call*> calls_;
  std::map<protocol::Token, std::optional<protocol::LeaseEnd>> leases_;
  protocol::RequestId next_id_ = 1;
  bool has_leader_ = false;     // the leader alone touches reader_ and receives, without the lock
  std::string outbox_;          // frames that dispatch() wants sent
  Error error_;                 // why it is broken
  std::string refusal_;         // a refusal that answers no request: why the daemon is about to close
  protocol::FrameReader reader_;
};

}  // namespace onced::client_detail
