#include <onced/computation.hpp>

#include <utility>

#include <onced/protocol/limits.hpp>

#include "builder_state.hpp"
#include "client_state.hpp"
#include "not_stored.hpp"
#include "retention.hpp"
#include "session_state.hpp"
#include "value_maker.hpp"

namespace onced {

using client_detail::Clock;
using client_detail::deadline_in;
using client_detail::Process;

namespace {

// What the wire takes of a text for people.
std::string cut(std::string_view text) { return std::string(text.substr(0, limits::text_bytes_max)); }

}  // namespace

void Computation::State::end() {
  ended.store(true, std::memory_order_relaxed);
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

ValueBuilder& Computation::State::builder_here() {
  if (builder != nullptr && process != Process::current()) {
    // Begun in the parent, which goes on with it.
    Process::here().keep_inherited(builder.release());
    process = &Process::here();
    attachment = client_detail::AttachmentRef();
  }
  if (builder == nullptr) {
    client_detail::AttachmentRef over(has_lease() ? attachment.get() : nullptr);
    builder = std::make_unique<ValueBuilder>(std::make_unique<ValueBuilder::State>(client, key, std::move(over)));
  }
  return *builder;
}

// Under the lease we have, or, when the daemon was restarted since, under a new one if nobody else was quicker.
Result<protocol::Published> Computation::State::publish() {
  auto published = publish_under(*attachment, token);
  if (published.ok() || published.error().code != ErrorCode::unavailable) return published;

  auto next = connector.attachment(deadline_in(client.options.connect_timeout));
  if (!next) return next.error();
  if (session != nullptr) {
    if (auto opened = session->open_over(**next, deadline_in(client.options.request_timeout)); !opened) return opened.error();
  }
  protocol::Acquire request;
  request.key = key;
  request.force = options.force;
  auto reply = (*next)->channel.call(request, deadline_in(client.options.request_timeout));
  if (!reply) return reply.error();
  if (auto* value = std::get_if<protocol::Value>(&*reply)) {
    // Somebody else was quicker. Made and dropped: that clears its pin.
    static_cast<void>((*next)->value_of(std::move(*value), key));
  }
  const auto* lease = std::get_if<protocol::Lease>(&*reply);
  if (lease == nullptr) return published.error();
  published = publish_under(**next, lease->token);
  (*next)->channel.forget_lease(lease->token);
  return published;
}

// The options were checked before the lease was asked for. Versions are those of one daemon: another one knows none of them.
protocol::Retention Computation::State::retention_over(const client_detail::Attachment& over) const {
  auto checked = client_detail::retention_of(options);
  ONCED_ASSERT(checked.ok());
  if (dependencies == nullptr) return std::move(*checked);
  checked->depends_on = dependencies->list();
  if (over.welcome.epoch != token.epoch) {
    for (protocol::Dependency& upstream : checked->depends_on) upstream.version = 0;
  }
  return std::move(*checked);
}

// However this goes, the lease is over for us, and for the daemon too: without that it would be ours until its limit.
Result<protocol::Published> Computation::State::publish_under(client_detail::Attachment& over, const protocol::Token& lease) {
  ValueBuilder::State& parts = *builder->state_;
  auto placed = parts.place(over);
  if (!placed) {
    if (over.channel.broken()) return Error{ErrorCode::unavailable, placed.error().text};
    end_unkept(over, lease, placed.error());
    return placed.error().code == ErrorCode::unavailable ? Error{ErrorCode::timed_out, placed.error().text} : placed.error();
  }
  parts.named();
  const protocol::Publish request{lease, std::move(*placed), retention_over(over)};
  auto reply = over.channel.call(request, client.patience_for(request));
  if (reply && session != nullptr && client_detail::forgot_session(*reply)) {
    session->forget_opened();
    if (session->open_over(over, deadline_in(client.options.request_timeout))) reply = over.channel.call(request, client.patience_for(request));
  }
  if (!reply) {
    if (over.channel.broken()) return reply.error();
    give_up(over, reply.error());  // perhaps it never left
    return Error{ErrorCode::timed_out, reply.error().text};
  }
  if (const auto* published = std::get_if<protocol::Published>(&*reply)) return *published;
  Error error = client_detail::error_of(*reply);
  // Refused for another reason than that it is over: the daemon holds it still.
  if (error.code != ErrorCode::unknown_token) end_unkept(over, lease, error);
  return error;
}

// Above a limit it will be the next time as well: those who wait are told. Otherwise the next of them has a try, and a
// result of its own in any case.
void Computation::State::end_unkept(client_detail::Attachment& over, const protocol::Token& lease, const Error& why) {
  if (why.code == ErrorCode::too_large) {
    end_with(over, protocol::Fail{lease, cut(why.text), client_detail::failure_ttl_ms(options)});
  } else {
    end_with(over, protocol::Abandon{lease});
  }
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

ValueBuilder& Computation::builder() {
  ONCED_ASSERT(state_ != nullptr);
  return state_->builder_here();
}

Result<Value> Computation::publish(std::string bytes, std::string_view content_type) {
  auto added = builder().add({}, bytes, content_type);
  if (!added) {
    fail(added.error().text);
    return added.error();
  }
  bytes = std::string();
  return publish();
}

Result<Value> Computation::publish() {
  ValueBuilder& parts = builder();
  if (parts.part_count() == 0) {
    const Error error{ErrorCode::invalid_argument, "nothing was published: a value has one part at least"};
    fail(error.text);
    return error;
  }
  parts.state_->set_default_content_type(state_->options.content_type);
  const auto cost = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - state_->started).count();

  std::uint64_t version = 0;
  std::optional<Error> not_stored;
  std::optional<Error> not_durable;
  bool thrown_away = false;  // it reached the daemon
  if (state_->has_lease()) {
    const auto published = state_->publish();
    state_->end();
    if (!published) {
      not_stored = published.error();
      if (not_stored->code == ErrorCode::timed_out) not_stored->code = ErrorCode::unavailable;  // that is what it was
    } else if (published->stored) {
      version = published->version;
      state_->client.unkept_told.store(false, std::memory_order_relaxed);
      if (published->durable) state_->client.not_durable_told.store(false, std::memory_order_relaxed);
      else if (state_->options.durable) not_durable = client_detail::not_durable(state_->key, state_->retention_over(*state_->attachment));
    } else {
      not_stored = client_detail::why_not_stored(*published);
      thrown_away = true;
    }
  } else {
    not_stored = Error{ErrorCode::unavailable, local() ? "computed without a daemon" : "the lease was not held any more"};
  }
  state_->ended.store(true, std::memory_order_relaxed);
  if (state_->dependencies != nullptr && state_->dependencies->dropped() != 0) {
    state_->client.tell_dropped(state_->key, state_->dependencies->dropped());
  }
  state_->client.given(state_->key, version, false);  // to a computation that this one is nested in
  // Whatever came of it, the caller has its value.
  auto own = parts.state_->take_parts();
  if (!own) return own.error();
  if (not_durable) {
    state_->client.tell_not_durable(state_->key, *not_durable);
    (*own)->set_not_durable(std::move(*not_durable));
  }
  if (not_stored) {
    if (state_->options.durable) (*own)->set_not_durable({ErrorCode::not_durable, "it was not stored: " + not_stored->text});
    const ErrorCode code = not_stored->code;
    if (thrown_away || code == ErrorCode::too_large || code == ErrorCode::out_of_memory) state_->client.tell_unkept(state_->key, *not_stored);
    (*own)->set_not_stored(std::move(*not_stored));
  }
  return ValueMaker::owned(std::move(*own), version, static_cast<std::uint64_t>(cost), true);
}

void Computation::fail(std::string_view text) {
  if (state_ == nullptr) return;
  if (state_->has_lease()) {
    state_->end_with(*state_->attachment,
                     protocol::Fail{state_->token, cut(text), client_detail::failure_ttl_ms(state_->options)});
    state_->end();
  }
  state_->ended.store(true, std::memory_order_relaxed);
}

void Computation::abandon() {
  if (state_ == nullptr) return;
  if (state_->has_lease()) {
    state_->end_with(*state_->attachment, protocol::Abandon{state_->token});
    state_->end();
  }
  state_->ended.store(true, std::memory_order_relaxed);
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
