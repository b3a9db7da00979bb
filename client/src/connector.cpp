#include "connector.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <onced/protocol/escape.hpp>

namespace onced::client_detail {

namespace {

// The least time for an attempt to connect during an outage.
constexpr Milliseconds attempt_time_min{1000};

}  // namespace

bool means_away(ErrorCode code) {
  return code == ErrorCode::unavailable || code == ErrorCode::limit_reached || code == ErrorCode::out_of_memory;
}

Milliseconds BackOff::failed() {
  delay_ = std::clamp(delay_ * 2, std::max(least_, Milliseconds(1)), std::max(most_, Milliseconds(1)));
  const auto half = delay_.count() / 2;
  return Milliseconds(std::uniform_int_distribution<Milliseconds::rep>(delay_.count() - half, delay_.count())(random_));
}

void warn(const ClientOptions& options, std::string_view text) {
  if (options.on_warning) return options.on_warning(text);
  // It may be a terminal, and what others name their functions may be anything.
  std::fputs(("onced: " + protocol::escape_controls(text) + "\n").c_str(), stderr);
}

Connector::Connector(const ClientOptions& options, Identity identity_in)
    : process(&Process::here()),
      identity(std::move(identity_in)),
      options_(options),
      back_off_(options.reconnect_delay_min, options.reconnect_delay_max) {}

Connector::~Connector() { attach(nullptr); }

Result<AttachmentRef> Connector::attachment(Deadline deadline) {
  if (auto at_once = known()) return std::move(*at_once);
  const std::unique_lock connecting(connecting_, deadline);
  if (!connecting.owns_lock()) {
    return Error{ErrorCode::unavailable, "the daemon at " + identity.socket_path + " does not answer another thread that connects to it"};
  }
  if (auto at_once = known()) return std::move(*at_once);  // of the attempt that we have waited for
  deadline = end_of_attempt(deadline);
  if (AttachmentRef silent = present(); silent && !silent->channel.broken() && silent->alive() && silent->channel.silent()) {
    if (silent->channel.ping(std::min(deadline, Clock::now() + answer_patience_min))) {
      if (auto at_once = known()) return std::move(*at_once);
      return silent;
    }
    if (!silent->channel.broken()) return still_silent();
  }
  auto handshake = shake_hands(identity, true, deadline);
  Result<std::unique_ptr<Attachment>> made =
      handshake.ok() ? Attachment::make(std::move(*handshake), {{options_.mapping_cache_bytes, options_.mapping_cache_count}, options_.request_timeout}) : Result<std::unique_ptr<Attachment>>(handshake.error());
  if (!made) return failed(made.error());

  const std::lock_guard lock(mutex_);
  back_off_.succeeded();
  next_attempt_ = {};
  outage_ = silence_noted_ = false;
  if (std::exchange(connected_before_, true)) reconnects.fetch_add(1, std::memory_order_relaxed);
  AttachmentRef next(made->get());
  attach(std::move(*made));
  return next;
}

// What can be said without an attempt: the connection that works, or that the next attempt is not due.
std::optional<Result<AttachmentRef>> Connector::known() {
  const std::lock_guard lock(mutex_);
  Attachment* const attachment = current_.load(std::memory_order_relaxed);
  const bool usable = attachment != nullptr && !attachment->channel.broken() && attachment->alive() && !attachment->channel.silent();
  if (usable && std::exchange(silence_noted_, false)) {
    back_off_.succeeded();
    next_attempt_ = {};
    outage_ = false;
  }
  if (usable && !attachment->worn()) return AttachmentRef(attachment);
  if (Clock::now() >= next_attempt_) return std::nullopt;
  if (usable) return AttachmentRef(attachment);
  return last_error_;
}

// While the daemon is away an attempt takes no longer than the pause before it was: its callers have work to do.
Deadline Connector::end_of_attempt(Deadline deadline) {
  const std::lock_guard lock(mutex_);
  const Milliseconds patience = outage_ ? std::max(back_off_.delay(), attempt_time_min) : options_.connect_timeout;
  return std::min(deadline, deadline_in(std::min(patience, options_.connect_timeout)));
}

// An attempt that failed. A connection that still works (only its page is worn) goes on for now.
Result<AttachmentRef> Connector::failed(const Error& error) {
  std::unique_lock lock(mutex_);
  next_attempt_ = Clock::now() + back_off_.failed();
  Attachment* const attachment = current_.load(std::memory_order_relaxed);
  if (attachment != nullptr && !attachment->channel.broken() && attachment->alive()) return AttachmentRef(attachment);
  last_error_ = error;
  begin_outage(std::move(lock), error);
  return error;
}

Result<AttachmentRef> Connector::still_silent() {
  const std::lock_guard lock(mutex_);
  next_attempt_ = Clock::now() + back_off_.failed();
  return last_error_;
}

AttachmentRef Connector::present() {
  const std::lock_guard lock(mutex_);
  return AttachmentRef(current_.load(std::memory_order_relaxed));
}

void Connector::forget_broken() {
  const std::lock_guard lock(mutex_);
  const Attachment* const attachment = current_.load(std::memory_order_relaxed);
  if (attachment != nullptr && attachment->channel.broken()) attach(nullptr);
}

void Connector::note_outage(const Error& error) { begin_outage(std::unique_lock(mutex_), error); }

void Connector::note_silence(const Error& error) {
  std::unique_lock lock(mutex_);
  if (std::exchange(silence_noted_, true)) return;  // another thread's wait ended first
  last_error_ = error;
  next_attempt_ = Clock::now() + back_off_.failed();
  begin_outage(std::move(lock), error);
}

// With mutex_ locked, which is released before the warning is given.
void Connector::begin_outage(std::unique_lock<std::mutex> lock, const Error& error) {
  const bool first = !std::exchange(outage_, true);
  lock.unlock();
  if (first) warn(options_, error.text + "; trying again from time to time");
}

// Under mutex_ (or in the destructor). The current attachment, if there is one, is retired.
void Connector::attach(std::unique_ptr<Attachment> next) {
  // Seq_cst: pairs with the second load in look_up().
  Attachment* const last = current_.exchange(next.release(), std::memory_order_seq_cst);
  if (last == nullptr) return;
  past_hits_ += last->hits();  // a lookup under way may be missing
  past_copied_hits_ += last->copied_hits.load(std::memory_order_relaxed);
  past_mapped_parts_ += last->mapped_blobs.load(std::memory_order_relaxed);
  last->mappings->keep_nothing();
  process->retire(last);
}

std::uint64_t Connector::hits() {
  const std::lock_guard lock(mutex_);
  const Attachment* attachment = current_.load(std::memory_order_relaxed);
  return past_hits_ + (attachment == nullptr ? 0 : attachment->hits());
}

std::uint64_t Connector::mapped_parts() {
  const std::lock_guard lock(mutex_);
  const Attachment* attachment = current_.load(std::memory_order_relaxed);
  return past_mapped_parts_ + (attachment == nullptr ? 0 : attachment->mapped_blobs.load(std::memory_order_relaxed));
}

std::uint64_t Connector::copied_hits() {
  const std::lock_guard lock(mutex_);
  const Attachment* attachment = current_.load(std::memory_order_relaxed);
  return past_copied_hits_ + (attachment == nullptr ? 0 : attachment->copied_hits.load(std::memory_order_relaxed));
}

}  // namespace onced::client_detail
