// Requests and answers of many threads over one socket, without a thread of its own.
//
// Of the threads that wait for an answer one is the leader: it reads the socket for all and hands out what comes, by
// request id. When it has its own answer (or gives up) it makes one of the others the leader.
//
// Ownership: the socket and the bytes on their way. Calls live on their callers' stacks.
// Descriptors: come with the answers to reserve() and fetch(), of which one at a time is under way (WIRE.md, receipt). Any
//            other descriptor is closed and ends the connection. When the caller of one has gone, its answer is waited for
//            before the next is asked for; what it brings is given back.
// Silence:   a daemon that lives may keep a request for minutes (another one computes). One that is stopped or stuck
//            keeps it too. They are told apart by a question that is answered at once, a *ping* (Unsubscribe from
//            nothing), which is sent when nothing has come over the connection for a while. When it stays unanswered,
//            the daemon is *silent*: an error, and the channel remains as it is, for the daemon may go on some day.
//            Whatever comes from it ends the silence.
//
// Threads:   any. Three locks: memory_turn_ (one request for a descriptor), sending_ (one sender), then state_, in this order. Waiting for
//            sending_ counts as sending: no longer than the call may take.
// Errors:    unavailable: the connection is broken, for good, and every call ends with it; or (broken() is false) there
//            was no answer in time. Whatever comes later is released here (a granted pin cleared, a lease given back).
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <onced/protocol/frame.hpp>
#include <onced/protocol/messages.hpp>
#include <onced/protocol/pin_page.hpp>
#include <onced/protocol/result.hpp>

#include "socket.hpp"

namespace onced::client_detail {

// The least time that a daemon is given to answer, however short its caller's own wait: less would take a busy machine
// for a stopped daemon.
inline constexpr std::chrono::milliseconds answer_patience_min{100};

// How long a call may take.
struct Patience {
  // For a request that the daemon answers at once.
  static Patience until(Deadline end) { return {end, Clock::duration::max(), Clock::duration::max()}; }
  // For one that it may keep for `wait`. A silent daemon is found out after `wait`, or after 2 * `answer` if that is
  // less: half of it passes before the ping, half after.
  static Patience waiting(std::chrono::milliseconds wait, std::chrono::milliseconds answer) {
    const std::chrono::milliseconds quiet = std::min(wait / 2, answer);
    return {deadline_in(wait) + answer, quiet, std::max(quiet, std::min(answer, answer_patience_min))};
  }
  Deadline end;             // it ends then, whatever the daemon does
  Clock::duration quiet;    // when nothing has come for so long, the daemon is pinged
  Clock::duration silence;  // when the ping stays unanswered for so long, the daemon is silent
};

class Channel {
 public:
  // `page`: where answers set pins; may be null (a connection without a mapping). Outlives the channel.
  Channel(Socket socket, protocol::FrameReader reader, protocol::PinPage* page);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // `taken_back`: with an error, whether not a byte of the request has left or ever will.
  Result<protocol::Reply> call(const protocol::Request& request, const Patience& patience, bool* taken_back = nullptr);
  Result<protocol::Reply> call(const protocol::Request& request, Deadline deadline, bool* taken_back = nullptr) {
    return call(request, Patience::until(deadline), taken_back);
  }
  // Asks whether the daemon is there.
  Result<void> ping(Deadline deadline);
  // For requests that have no answer.
  Result<void> post(const protocol::Request& request, Deadline deadline);
  // Memory of a large part: new, or that of a published one. Errors: as the daemon refuses; malformed: no descriptor came.
  struct BlobMemory {
    std::uint64_t blob = 0;
    std::uint64_t bytes = 0;
    Descriptor descriptor;
    bool file = false;  // so the daemon says; otherwise it has to be sealed
  };
  Result<BlobMemory> reserve(std::uint64_t bytes, bool ready, Deadline deadline, std::string_view key = {}) {
    return ask_for_memory(protocol::Reserve{bytes, 0, ready, std::string(key)}, deadline);
  }
  Result<BlobMemory> fetch(std::uint64_t blob, Deadline deadline) { return ask_for_memory(protocol::Fetch{blob, 0}, deadline); }
  // Gives reservations and lent blobs back. Never blocks for long, and is never lost: what the socket does not take now is
  // sent before the next request.
  void release_blobs(const std::vector<std::uint64_t>& blobs);
  // Never blocks: dropped when the socket is full or somebody else is sending.
  void post_if_room(const protocol::Request& request);

  // Nothing is sent or read any more: for when a lease could not be ended. The socket stays as it is, for the views that
  // it keeps (shutting it down could look like its end, WIRE.md); closing it ends the lease.
  void give_up(const Error& why);

  bool broken() const { return broken_.load(std::memory_order_relaxed); }
  // Nothing has come since a question stayed unanswered.
  bool silent() const { return silent_.load(std::memory_order_relaxed); }

  // Why a lease that was granted over this channel is over, if the daemon has said so. Reads what is there, never
  // blocks. Leases are remembered from their grant until forget_lease().
  std::optional<protocol::LeaseEnd> lease_end(const protocol::Token& token);
  void forget_lease(const protocol::Token& token);

 private:
  struct Call {
    enum : std::uint32_t { awake, asleep, promoted, answered };
    protocol::RequestId id = 0;
    const Deadline begun = Clock::now();
    std::optional<protocol::Reply> reply;
    Descriptor descriptor;  // with a Blob, unless this process had none free
    bool taken_back = false;
    // What the caller sleeps on; written under state_, where the caller looks again before it believes anything.
    std::atomic<std::uint32_t> word{awake};
  };

  Result<protocol::Reply> call(Call& call, const protocol::Request& request, const Patience& patience);
  Result<BlobMemory> ask_for_memory(protocol::Request request, Deadline deadline);
  Result<void> await_memory_answer(Deadline deadline);
  void put_receipt(protocol::Request& request);
  bool take_memory_answer(protocol::RequestId id, const protocol::Reply& reply);
  protocol::RequestId new_id();
  Result<protocol::Reply> wait(Call& call, const Patience& patience);
  std::optional<Deadline> ping_due(const Call& call, const Patience& patience) const;
  Deadline end_of(const Call& call, const Patience& patience) const;
  Deadline silent_from(const Call& call, const Patience& patience) const;
  void post_ping();
  Error no_answer(const Call& call, const Patience& patience);
  void leave(Call& call);
  void promote_one();
  static void rouse(Call& call, std::uint32_t why);
  // `taken_back`: with an error, whether not a byte of the frame has left or ever will.
  Result<void> send(std::string_view frame, Deadline deadline, bool* taken_back = nullptr);
  Result<void> flush(Deadline deadline);
  void flush_outbox(Deadline deadline);
  bool take_lead();
  void give_lead();
  void read(Deadline deadline);
  void dispatch();
  void release(protocol::RequestId id, const protocol::Reply& reply);
  void break_with(Error error);
  Error broken_error();

  Socket socket_;
  protocol::PinPage* const page_;
  std::atomic<bool> broken_{false};  // set under state_, for good; read anywhere as a hint
  std::atomic<bool> silent_{false};  // changed under state_; read anywhere as a hint

  std::timed_mutex memory_turn_;  // who may ask for a descriptor

  std::timed_mutex sending_;
  std::string unsent_;  // the rest of a frame that the socket did not take whole, and what follows it

  std::mutex state_;
  std::unordered_map<protocol::RequestId, Call*> calls_;
  std::map<protocol::Token, std::optional<protocol::LeaseEnd>> leases_;
  protocol::RequestId next_id_ = 1;
  bool has_leader_ = false;     // the leader alone touches reader_ and receives, without the lock
  Deadline heard_ = Clock::now();    // when something last came
  std::optional<Deadline> asked_;    // when the first question was asked to which, or after which, nothing has come
  std::string outbox_;          // frames that dispatch() wants sent
  // The request for a descriptor that is under way, also when its caller has gone; the receipt that the next one carries;
  // the descriptor whose frame is not whole yet.
  struct MemoryRequest {
    protocol::RequestId id = 0;
    bool reserves = false;
  };
  std::optional<MemoryRequest> memory_request_;
  std::uint64_t receipt_ = 0;
  Descriptor descriptor_;
  bool descriptor_lost_ = false;  // it came, and this process had none free
  Error error_;                 // why it is broken
  std::string refusal_;         // a refusal that answers no request: why the daemon is about to close
  protocol::FrameReader reader_;
};

}  // namespace onced::client_detail
