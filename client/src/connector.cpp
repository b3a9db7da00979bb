#include "connector.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace onced::client_detail {

Milliseconds BackOff::failed() {
  delay_ = std::clamp(delay_ * 2, std::max(least_, Milliseconds(1)), std::max(most_, Milliseconds(1)));
  const auto half = delay_.count() / 2;
  return Milliseconds(std::uniform_int_distribution<Milliseconds::rep>(delay_.count() - half, delay_.count())(random_));
}

void warn(const ClientOptions& options, std::string_view text) {
  if (options.on_warning) {
    options.on_warning(text);
  } else {
    std::fprintf(stderr, "onced: %.*s\n", static_cast<int>(text.size()), text.data());
  }
}

Connector::Connector(const ClientOptions& options, Identity identity_in)
    : process(&Process::here()),
      identity(std::move(identity_in)),
      options_(options),
      back_off_(options.reconnect_delay_min, options.reconnect_delay_max) {}

Connector::~Connector() { attach(nullptr); }

Result<AttachmentRef> Connector::attachment() {
  std::unique_lock lock(mutex_);
  Attachment* const attachment = current_.load(std::memory_order_relaxed);
  const bool usable = attachment != nullptr && !attachment->channel.broken() && attachment->alive();
  if (usable && !attachment->worn()) return AttachmentRef(attachment);
  if (Clock::now() < next_attempt_) {
    if (usable) return AttachmentRef(attachment);
    return last_error_;
  }
  auto handshake = shake_hands(identity, true, deadline_in(options_.connect_timeout));
  Result<std::unique_ptr<Attachment>> made =
      handshake.ok() ? Attachment::make(std::move(*handshake)) : Result<std::unique_ptr<Attachment>>(handshake.error());
  if (!made) {
    next_attempt_ = Clock::now() + back_off_.failed();
    if (usable) return AttachmentRef(attachment);
    last_error_ = made.error();
    const bool first = begin_outage();
    Error error = last_error_;
    lock.unlock();
    if (first) warn(options_, error.text + "; trying again from time to time");
    return error;
  }
  back_off_.succeeded();
  next_attempt_ = {};
  outage_ = false;
  if (std::exchange(connected_before_, true)) reconnects.fetch_add(1, std::memory_order_relaxed);
  AttachmentRef next(made->get());
  attach(std::move(*made));
  return next;
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

void Connector::note_outage(const Error& error) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = begin_outage();
  }
  if (first) warn(options_, error.text + "; trying again from time to time");
}

// Under mutex_. True for the first call of an outage.
bool Connector::begin_outage() { return !std::exchange(outage_, true); }

// Under mutex_ (or in the destructor). The current attachment, if there is one, is retired.
void Connector::attach(std::unique_ptr<Attachment> next) {
  // Seq_cst: pairs with the second load in look_up().
  Attachment* const last = current_.exchange(next.release(), std::memory_order_seq_cst);
  if (last == nullptr) return;
  past_hits_ += last->hits();  // a lookup under way may be missing
  past_copied_hits_ += last->copied_hits.load(std::memory_order_relaxed);
  process->retire(last);
}

std::uint64_t Connector::hits() {
  const std::lock_guard lock(mutex_);
  const Attachment* attachment = current_.load(std::memory_order_relaxed);
  return past_hits_ + (attachment == nullptr ? 0 : attachment->hits());
}

std::uint64_t Connector::copied_hits() {
  const std::lock_guard lock(mutex_);
  const Attachment* attachment = current_.load(std::memory_order_relaxed);
  return past_copied_hits_ + (attachment == nullptr ? 0 : attachment->copied_hits.load(std::memory_order_relaxed));
}

}  // namespace onced::client_detail
