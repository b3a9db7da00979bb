#include "channel.hpp"

#include <poll.h>

#include <algorithm>
#include <utility>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/segment_reader.hpp>

namespace onced::client_detail {

namespace {

// The longest that a sender keeps the others from sending while the socket is full.
constexpr std::chrono::seconds send_patience{5};
// How often a blocked sender looks whether it has become its turn to read.
constexpr std::chrono::milliseconds lead_retry{20};
// The longest that a call that is over spends on saying so.
constexpr std::chrono::milliseconds last_words{20};

}  // namespace

Channel::Channel(Socket socket, protocol::FrameReader reader, protocol::PinPage* page)
    : socket_(std::move(socket)), page_(page), reader_(std::move(reader)) {}

// ---- calls ----------------------------------------------------------------------------------------------------------

Result<protocol::Reply> Channel::call(const protocol::Request& request, const Patience& patience, bool* taken_back) {
  Call call;
  auto reply = this->call(call, request, patience);
  if (taken_back != nullptr) *taken_back = call.taken_back;
  return reply;
}

Result<protocol::Reply> Channel::call(Call& call, const protocol::Request& request, const Patience& patience) {
  const bool reserves = std::holds_alternative<protocol::Reserve>(request);
  const bool for_memory = reserves || std::holds_alternative<protocol::Fetch>(request);
  {
    const std::lock_guard lock(state_);
    if (broken()) return broken_error();
    call.id = next_id_++;
    if (for_memory) memory_request_ = {call.id, reserves};
    calls_.emplace(call.id, &call);
    const bool at_once = patience.quiet == Clock::duration::max();
    if (at_once && !asked_) asked_ = call.begun;
  }
  std::string frame;
  protocol::encode(call.id, request, frame);
  const Deadline sent_by = patience.silence == Clock::duration::max() ? patience.end : call.begun + patience.silence;
  if (auto sent = send(frame, sent_by, &call.taken_back); !sent) {
    const std::lock_guard lock(state_);
    leave(call);
    if (for_memory && call.taken_back) memory_request_.reset();
    if (!broken()) {
      if (!asked_ && heard_ < call.begun) asked_ = call.begun;  // it could not even be asked
      if (asked_) silent_.store(true, std::memory_order_relaxed);
    }
    return sent.error();
  }
  auto reply = wait(call, patience);
  if (!reply && !broken() && std::holds_alternative<protocol::Acquire>(request)) {
    // Its answer may be under way already: dispatch() releases it.
    static_cast<void>(post(protocol::Withdraw{call.id}, Clock::now() + last_words));
  }
  flush_outbox(Clock::now() + last_words);
  return reply;
}

// ---- descriptors ----------------------------------------------------------------------------------------------------

Result<Channel::BlobMemory> Channel::ask_for_memory(protocol::Request request, Deadline deadline) {
  const std::unique_lock turn(memory_turn_, deadline);
  if (!turn.owns_lock()) return Error{ErrorCode::unavailable, "the daemon does not answer: others wait for memory of large parts"};
  if (auto clear = await_memory_answer(deadline); !clear) return clear.error();
  put_receipt(request);
  Call call;
  auto reply = this->call(call, request, Patience::until(deadline));
  if (!reply) return reply.error();
  if (const auto* blob = std::get_if<protocol::Blob>(&*reply)) {
    if (call.descriptor.open()) return BlobMemory{blob->blob, blob->bytes, std::move(call.descriptor), blob->file};
    if (std::holds_alternative<protocol::Reserve>(request)) release_blobs({blob->blob});
    return Error{ErrorCode::limit_reached, no_free_descriptor};
  }
  if (const auto* refused = std::get_if<protocol::Refused>(&*reply)) return Error{refused->code, refused->text};
  return Error{ErrorCode::malformed, "the daemon answered with message type " + std::to_string(protocol::type_of(*reply)) +
                                         " to a request for memory"};
}

// The answer to a request whose caller has gone: only its receipt makes the next request a right one.
Result<void> Channel::await_memory_answer(Deadline deadline) {
  for (bool asked = false;; asked = true) {
    {
      const std::lock_guard lock(state_);
      if (!memory_request_) return {};
    }
    // The daemon answers both at once, in their order.
    if (asked) return Error{ErrorCode::unavailable, "the daemon has not answered an earlier request for memory"};
    if (auto there = ping(deadline); !there) return there;
  }
}

void Channel::put_receipt(protocol::Request& request) {
  const std::lock_guard lock(state_);
  if (auto* reserve = std::get_if<protocol::Reserve>(&request)) reserve->receipt = receipt_;
  if (auto* fetch = std::get_if<protocol::Fetch>(&request)) fetch->receipt = receipt_;
}

// Under state_, by the leader. False: the answer is not as it must be, and the channel is broken now.
bool Channel::take_memory_answer(protocol::RequestId id, const protocol::Reply& reply) {
  const auto* blob = std::get_if<protocol::Blob>(&reply);
  const bool asked = memory_request_ && memory_request_->id == id;
  if (blob == nullptr && !asked) return true;
  if (!asked) {
    break_with({ErrorCode::malformed, "the daemon sent memory that nobody asked for"});
    return false;
  }
  const bool lost = std::exchange(descriptor_lost_, false);
  if ((blob != nullptr) != (descriptor_.open() || lost)) {
    break_with({ErrorCode::malformed, blob != nullptr ? "the daemon sent memory without a descriptor"
                                                      : "the daemon sent a descriptor with an answer that has none"});
    return false;
  }
  const bool reserves = memory_request_->reserves;
  memory_request_.reset();
  if (blob == nullptr) return true;
  receipt_ = blob->receipt;
  const auto found = calls_.find(id);
  if (found != calls_.end()) {
    found->second->descriptor = std::move(descriptor_);
  } else {
    // Not for a blob that was only asked for: it may be a lent one that its Value asks for again.
    if (reserves) protocol::encode(next_id_++, protocol::Request(protocol::Release{{blob->blob}}), outbox_);
  }
  descriptor_.reset();
  return true;
}

void Channel::release_blobs(const std::vector<std::uint64_t>& blobs) {
  {
    const std::lock_guard lock(state_);
    for (std::size_t begin = 0; begin < blobs.size(); begin += limits::released_blobs_max) {
      const std::size_t end = std::min(blobs.size(), begin + limits::released_blobs_max);
      const std::vector<std::uint64_t> some(blobs.begin() + static_cast<std::ptrdiff_t>(begin), blobs.begin() + static_cast<std::ptrdiff_t>(end));
      protocol::encode(next_id_++, protocol::Request(protocol::Release{some}), outbox_);
    }
  }
  flush_outbox(Clock::now() + last_words);
}

// ---- calls without a value ------------------------------------------------------------------------------------------

Result<void> Channel::ping(Deadline deadline) {
  auto reply = call(protocol::Unsubscribe{}, deadline);
  if (!reply) return reply.error();
  return {};  // a refusal (it is shutting down) is a sign of life as well
}

Result<void> Channel::post(const protocol::Request& request, Deadline deadline) {
  std::string frame;
  protocol::encode(new_id(), request, frame);
  return send(frame, deadline);
}

void Channel::give_up(const Error& why) {
  const std::lock_guard lock(state_);
  break_with(why);
}

// Requests without an answer have an id all the same: should one be refused, the refusal is theirs.
protocol::RequestId Channel::new_id() {
  const std::lock_guard lock(state_);
  return next_id_++;
}

Result<protocol::Reply> Channel::wait(Call& call, const Patience& patience) {
  std::unique_lock lock(state_);
  // Nobody is given up before a look at the socket that began after the time was up: it may be we who were stopped.
  bool looked = false;
  for (;;) {
    if (call.reply) {
      leave(call);
      return std::move(*call.reply);
    }
    if (broken()) {
      leave(call);
      return broken_error();
    }
    const Deadline now = Clock::now();
    const auto due = ping_due(call, patience);
    if (due && now >= *due) {
      asked_ = now;
      lock.unlock();
      post_ping();
      lock.lock();
      continue;
    }
    const Deadline end = end_of(call, patience);
    if (now >= end && (looked || has_leader_)) {
      leave(call);
      return no_answer(call, patience);
    }
    looked = now >= end;
    const Deadline next = due ? std::min(*due, end) : end;
    if (!has_leader_) {
      has_leader_ = true;
      lock.unlock();
      read(next);
      lock.lock();
      has_leader_ = false;
      if (!outbox_.empty()) {
        // A lease that came for a caller who has gone: given back now, not when our own answer has come.
        promote_one();
        lock.unlock();
        flush_outbox(Clock::now() + last_words);
        lock.lock();
      }
    } else {
      call.word.store(Call::asleep, std::memory_order_relaxed);
      lock.unlock();
      futex_wait(call.word, Call::asleep, next);
      lock.lock();
    }
  }
}

// Under state_. When this call has the daemon pinged, unless something comes before.
std::optional<Deadline> Channel::ping_due(const Call& call, const Patience& patience) const {
  if (asked_ || patience.quiet == Clock::duration::max()) return std::nullopt;
  return std::max(call.begun, heard_) + patience.quiet;
}

// Under state_. When this call ends as things stand.
Deadline Channel::end_of(const Call& call, const Patience& patience) const {
  return asked_ ? std::min(patience.end, silent_from(call, patience)) : patience.end;
}

// Under state_, of a daemon that was asked: when it is silent for this call.
Deadline Channel::silent_from(const Call& call, const Patience& patience) const {
  if (patience.silence == Clock::duration::max()) return patience.end;
  // A question from before the call may have been answered long ago, and nobody has read it.
  return std::max(*asked_, call.begun) + patience.silence;
}

// A socket that takes no ping has a daemon that does not read: that is for end_of() to judge.
void Channel::post_ping() { static_cast<void>(post(protocol::Unsubscribe{}, Clock::now() + last_words)); }

// Under state_: the error of a call that has waited long enough.
Error Channel::no_answer(const Call& call, const Patience& patience) {
  // Who has just been asked is not silent yet: the call's own end may come first.
  if (asked_ && Clock::now() >= silent_from(call, patience)) silent_.store(true, std::memory_order_relaxed);
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - call.begun).count();
  return {ErrorCode::unavailable, "the daemon does not answer (it was given " + std::to_string(waited) + " ms); is it stopped or stuck?"};
}

// Under state_. Whoever leaves looks after those who stay: somebody must read.
void Channel::leave(Call& call) {
  calls_.erase(call.id);
  promote_one();
}

// Under state_.
void Channel::promote_one() {
  if (has_leader_) return;
  for (const auto& [id, call] : calls_) {
    if (call->reply) continue;
    rouse(*call, Call::promoted);
    return;
  }
}

// Under state_: the call stays on its caller's stack while we hold it. A system call only for who sleeps: the leader
// itself, alone in most processes, does not.
void Channel::rouse(Call& call, std::uint32_t why) {
  // Relaxed: the lock orders it; the word only ends the sleep.
  if (call.word.exchange(why, std::memory_order_relaxed) == Call::asleep) futex_wake_all(call.word);
}

// ---- reading --------------------------------------------------------------------------------------------------------

bool Channel::take_lead() {
  const std::lock_guard lock(state_);
  if (has_leader_ || broken()) return false;
  has_leader_ = true;
  return true;
}

void Channel::give_lead() {
  const std::lock_guard lock(state_);
  has_leader_ = false;
  promote_one();
}

// By the leader: one receive, which waits until `deadline` for something to come, and out with it.
void Channel::read(Deadline deadline) {
  auto received = socket_.receive(reader_.room(), deadline);
  const std::lock_guard lock(state_);
  if (!received) return break_with(received.error());
  if (received->nothing_yet) return;
  heard_ = Clock::now();
  asked_.reset();
  silent_.store(false, std::memory_order_relaxed);
  for (Descriptor& descriptor : socket_.take_descriptors()) {
    if (!memory_request_ || descriptor_.open()) return break_with({ErrorCode::malformed, "the daemon sent a descriptor that nobody asked for"});
    descriptor_ = std::move(descriptor);
  }
  if (received->descriptor_lost) {
    if (!memory_request_ || descriptor_.open() || descriptor_lost_) return break_with({ErrorCode::limit_reached, no_free_descriptor});
    descriptor_lost_ = true;
  }
  reader_.received(received->bytes);
  dispatch();
}

// Under state_, by the leader.
void Channel::dispatch() {
  for (;;) {
    auto frame = reader_.next();
    if (!frame) return break_with(frame.error());
    if (!frame->has_value()) return;
    auto reply = protocol::decode_reply((*frame)->header.type, (*frame)->payload);
    if (!reply) return break_with(reply.error());
    if (const auto* lost = std::get_if<protocol::LeaseLost>(&*reply)) {
      const auto lease = leases_.find(lost->token);
      if (lease != leases_.end()) lease->second = lost->why;
      continue;
    }
    if (!take_memory_answer((*frame)->header.request_id, *reply)) return;
    const auto found = calls_.find((*frame)->header.request_id);
    if (found == calls_.end() || found->second->reply) {
      release((*frame)->header.request_id, *reply);
      continue;
    }
    // A lease is known from here on: the notice that it is over may be the next frame.
    if (const auto* lease = std::get_if<protocol::Lease>(&*reply)) leases_.emplace(lease->token, std::nullopt);
    Call& call = *found->second;
    call.reply = std::move(*reply);
    rouse(call, Call::answered);
  }
}

// Under state_: an answer that nobody waits for any more.
void Channel::release(protocol::RequestId id, const protocol::Reply& reply) {
  if (const auto* value = std::get_if<protocol::Value>(&reply)) {
    const bool granted = value->pin >= protocol::client_pins && value->pin < protocol::client_pins + protocol::granted_pins;
    if (value->record != 0 && granted && page_ != nullptr) protocol::release_pin(*page_, value->pin);
    // Blobs that came with it were lent.
    protocol::Release lent;
    for (const protocol::Part& part : value->parts) {
      if (part.blob != 0) lent.blobs.push_back(part.blob);
    }
    std::sort(lent.blobs.begin(), lent.blobs.end());  // lent once each, however many parts are in them
    lent.blobs.erase(std::unique(lent.blobs.begin(), lent.blobs.end()), lent.blobs.end());
    if (value->record == 0 && !lent.blobs.empty()) protocol::encode(next_id_++, protocol::Request(std::move(lent)), outbox_);
  } else if (const auto* lease = std::get_if<protocol::Lease>(&reply)) {
    protocol::encode(next_id_++, protocol::Request(protocol::Abandon{lease->token}), outbox_);
  } else if (const auto* refused = std::get_if<protocol::Refused>(&reply)) {
    if (id == 0) refusal_ = refused->text;
  }
}

// Under state_.
void Channel::break_with(Error error) {
  if (broken()) return;
  error_ = std::move(error);
  error_.code = ErrorCode::unavailable;
  if (!refusal_.empty()) error_.text += " (it said: " + refusal_ + ")";
  broken_.store(true, std::memory_order_relaxed);
  for (const auto& [id, call] : calls_) rouse(*call, Call::answered);
}

Error Channel::broken_error() { return error_; }

// ---- sending --------------------------------------------------------------------------------------------------------

Result<void> Channel::send(std::string_view frame, Deadline deadline, bool* taken_back) {
  if (taken_back != nullptr) *taken_back = true;
  const std::unique_lock lock(sending_, deadline);
  if (!lock.owns_lock()) return Error{ErrorCode::unavailable, "the daemon takes no requests: others wait to send theirs"};
  {
    const std::lock_guard state(state_);
    if (broken()) return broken_error();
    unsent_ += std::exchange(outbox_, {});
  }
  unsent_ += frame;
  auto flushed = flush(std::min<Deadline>(deadline, Clock::now() + send_patience));
  // Not one byte of it has left: it can be taken back. Else its rest goes before whatever is sent next.
  const bool whole = unsent_.size() >= frame.size();
  if (!flushed && whole) unsent_.resize(unsent_.size() - frame.size());
  if (taken_back != nullptr) *taken_back = whole;
  return flushed;
}

// Under sending_. Reads meanwhile when nobody else does: a daemon whose answers pile up stops taking requests.
Result<void> Channel::flush(Deadline deadline) {
  for (;;) {
    auto sent = socket_.send_some(unsent_);
    if (!sent) {
      const std::lock_guard lock(state_);
      break_with(sent.error());
      return broken_error();
    }
    unsent_.erase(0, *sent);
    if (unsent_.empty()) return {};
    if (*sent > 0) continue;
    if (Clock::now() >= deadline) return Error{ErrorCode::unavailable, "the daemon takes no requests; is it stopped or stuck?"};
    const bool lead = take_lead();
    const short events = static_cast<short>(lead ? POLLOUT | POLLIN : POLLOUT);
    const short ready = wait_for(socket_.descriptor(), events, std::min<Deadline>(deadline, Clock::now() + lead_retry));
    if (lead) {
      if ((ready & (POLLIN | POLLHUP | POLLERR)) != 0) read(Clock::now());
      give_lead();
    }
    if (broken()) {
      const std::lock_guard lock(state_);
      return broken_error();
    }
  }
}

void Channel::post_if_room(const protocol::Request& request) {
  const std::unique_lock lock(sending_, std::try_to_lock);
  if (!lock.owns_lock() || broken()) return;
  std::string frame;
  if (unsent_.empty()) protocol::encode(new_id(), request, frame);
  unsent_ += frame;
  auto sent = socket_.send_some(unsent_);
  if (!sent) {
    const std::lock_guard state(state_);
    return break_with(sent.error());
  }
  unsent_.erase(0, *sent);
  if (!frame.empty() && unsent_.size() == frame.size()) unsent_.clear();  // nothing of it has left: dropped
}

void Channel::flush_outbox(Deadline deadline) {
  {
    const std::lock_guard lock(state_);
    if (outbox_.empty()) return;
  }
  static_cast<void>(send({}, deadline));
}

// ---- leases ---------------------------------------------------------------------------------------------------------

std::optional<protocol::LeaseEnd> Channel::lease_end(const protocol::Token& token) {
  if (take_lead()) {
    read(Clock::now());
    give_lead();
  }
  flush_outbox(Clock::now());
  const std::lock_guard lock(state_);
  const auto lease = leases_.find(token);
  return lease == leases_.end() ? std::nullopt : lease->second;
}

void Channel::forget_lease(const protocol::Token& token) {
  const std::lock_guard lock(state_);
  leases_.erase(token);
}

}  // namespace onced::client_detail
