#include <onced/computation.hpp>

#include <utility>

#include <onced/protocol/limits.hpp>

#include "client_state.hpp"
#include "value_maker.hpp"

namespace onced {

using client_detail::Clock;
using client_detail::deadline_in;
using client_detail::Process;

namespace {

std::uint64_t milliseconds(Milliseconds duration) {
  return duration.count() <= 0 ? 0 : static_cast<std::uint64_t>(duration.count());
}

// What the wire takes of a text for people.
std::string cut(std::string_view text) { return std::string(text.substr(0, limits::text_bytes_max)); }

}  // namespace

void Computation::State::end() {
  ended = true;
  if (!attachment || process != Process::current()) return;
  attachment->channel.forget_lease(token);
  held->remove(connector.identity.namespace_name, token);
}

// The daemon hands the connection's leases on when its socket closes: at once, or with the last view that it keeps.
void Computation::State::give_up(client_detail::Attachment& over, const Error& why) {
  over.channel.give_up(why);
  connector.forget_broken();
}

void Computation::State::end_with(client_detail::Attachment& over, const protocol::Request& last) {
  const auto sent = over.channel.post(last, deadline_in(client.options.request_timeout));
  if (!sent) give_up(over, sent.error());
}

// Under the lease we have, or, when the daemon was restarted since, under a new one if nobody else was quicker.
Result<protocol::Published> Computation::State::publish(const std::vector<protocol::Part>& parts) {
  auto published = publish_under(*attachment, token, parts);
  if (published.ok() || published.error().code != ErrorCode::unavailable) return published;

  auto next = connector.attachment(deadline_in(client.options.connect_timeout));
  if (!next) return next.error();
  protocol::Acquire request;
  request.key = key;
  auto reply = (*next)->channel.call(request, deadline_in(client.options.request_timeout));
  if (!reply) return reply.error();
  if (auto* value = std::get_if<protocol::Value>(&*reply)) {
    // Somebody else was quicker. Made and dropped: that clears its pin.
    static_cast<void>((*next)->value_of(std::move(*value), key));
  }
  const auto* lease = std::get_if<protocol::Lease>(&*reply);
  if (lease == nullptr) return published.error();
  published = publish_under(**next, lease->token, parts);
  (*next)->channel.forget_lease(lease->token);
  return published;
}

// However this goes, the lease is over for us, and for the daemon too: without that it would be ours until its limit.
Result<protocol::Published> Computation::State::publish_under(client_detail::Attachment& over, const protocol::Token& lease,
                                                              const std::vector<protocol::Part>& parts) {
  const protocol::Publish request{lease, parts, milliseconds(options.ttl)};
  auto reply = over.channel.call(request, deadline_in(client.options.request_timeout));
  if (!reply) {
    if (over.channel.broken()) return reply.error();
    give_up(over, reply.error());  // perhaps it never left
    return Error{ErrorCode::timed_out, reply.error().text};
  }
  if (const auto* published = std::get_if<protocol::Published>(&*reply)) return *published;
  Error error = client_detail::error_of(*reply);
  // Refused for another reason than that it is over: the daemon holds it still.
  if (error.code != ErrorCode::unknown_token) end_with(over, protocol::Abandon{lease});
  return error;
}

Computation::Computation(std::unique_ptr<State> state) : state_(std::move(state)) {}
Computation::Computation(Computation&&) noexcept = default;
Computation& Computation::operator=(Computation&& other) noexcept {
  if (this != &other) {
    abandon();
    state_ = std::move(other.state_);
  }
  return *this;
}
Computation::~Computation() { abandon(); }

Result<Value> Computation::publish(std::string bytes, std::string_view content_type) {
  ONCED_ASSERT(state_ != nullptr);
  if (content_type.empty()) content_type = state_->options.content_type;
  const auto cost = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - state_->started).count();
  std::vector<protocol::Part> parts(1);
  parts[0].content_type = content_type;
  parts[0].bytes = std::move(bytes);

  std::uint64_t version = 0;
  if (state_->has_lease()) {
    if (parts[0].bytes.size() > limits::value_bytes_max) {
      const std::string text = "value of " + std::to_string(parts[0].bytes.size()) + " bytes > " +
                               std::to_string(limits::value_bytes_max) + ", the largest that is kept";
      fail(text);  // told to the waiters: each of them would compute the same in vain
      return Error{ErrorCode::too_large, text};
    }
    if (parts[0].content_type.size() > limits::content_type_bytes_max) {
      const std::string text = "content type of " + std::to_string(parts[0].content_type.size()) + " bytes > " +
                               std::to_string(limits::content_type_bytes_max);
      fail(text);
      return Error{ErrorCode::too_large, text};
    }
    const auto published = state_->publish(parts);
    state_->end();
    // Late, or no daemon any more: the caller has its value all the same.
    if (published.ok() && published->stored) version = published->version;
  }
  state_->ended = true;
  return ValueMaker::owned(std::move(parts[0].bytes), parts[0].content_type, version, static_cast<std::uint64_t>(cost), true);
}

void Computation::fail(std::string_view text) {
  if (state_ == nullptr) return;
  if (state_->has_lease()) {
    state_->end_with(*state_->attachment,
                     protocol::Fail{state_->token, cut(text), milliseconds(state_->options.failure_ttl)});
    state_->end();
  }
  state_->ended = true;
}

void Computation::abandon() {
  if (state_ == nullptr) return;
  if (state_->has_lease()) {
    state_->end_with(*state_->attachment, protocol::Abandon{state_->token});
    state_->end();
  }
  state_->ended = true;
}

void Computation::progress(double fraction, std::string_view text) {
  if (state_ == nullptr || !state_->has_lease()) return;
  state_->attachment->channel.post_if_room(protocol::Progress{state_->token, fraction, cut(text)});
}

bool Computation::cancelled() {
  if (state_ == nullptr || !state_->has_lease()) return false;
  return state_->attachment->channel.lease_end(state_->token).has_value();
}

bool Computation::local() const { return state_ == nullptr || !state_->attachment; }

}  // namespace onced
