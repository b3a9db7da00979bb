#include <onced/session.hpp>

#include <algorithm>
#include <utility>

#include <onced/protocol/session.hpp>

#include "builder_state.hpp"
#include "peek.hpp"
#include "retention.hpp"
#include "session_state.hpp"
#include "subscription_state.hpp"
#include "value_maker.hpp"

namespace onced {

using client_detail::Age;
using client_detail::Attachment;
using client_detail::AttachmentRef;
using client_detail::Deadline;
using client_detail::deadline_in;

namespace {

Error ended() { return {ErrorCode::session_ended, "this session has ended, has expired, has another id by now, or never was; make a new one"}; }

}  // namespace

Session::State::State(Client::State& client_in, std::string id_in, const protocol::SessionOpened& answer, const Attachment& over)
    : client(client_in), id(std::move(id_in)), access{{answer.number, answer.generation}, over.welcome.epoch}, idle_ttl(answer.idle_ttl_ms),
      absolute_ttl_left(answer.absolute_left_ms), opened_on_(over.welcome.connection) {}

Result<void> Session::State::open_over(Attachment& attachment, Deadline deadline) {
  // The daemon would not know which id we mean: this connection may have shown the new one too. A daemon that has come since may have kept it.
  const bool is_other_daemon = access.epoch.load(std::memory_order_relaxed) != attachment.welcome.epoch;
  if (!is_other_daemon && !attachment.good(access)) return ended();
  if (!is_other_daemon && opened_on_.load(std::memory_order_relaxed) == attachment.welcome.connection) return {};
  auto reply = attachment.channel.call(protocol::OpenSession{id}, deadline);
  if (!reply) return reply.error();
  const auto* opened = std::get_if<protocol::SessionOpened>(&*reply);
  if (opened == nullptr) return client_detail::error_of(*reply);
  if (opened->number != access.grant.number || opened->generation != access.grant.generation) return ended();
  opened_on_.store(attachment.welcome.connection, std::memory_order_relaxed);
  access.epoch.store(attachment.welcome.epoch, std::memory_order_relaxed);
  return {};
}

Result<void> Session::State::check(std::string_view key) const {
  if (protocol::session_in(key) == access.grant.number) return {};
  return Error{ErrorCode::invalid_argument, protocol::names_session(key) ? "this key is of another session"
                                                                        : "this key names no session: make it with Session::key(), or ask the Client"};
}

// ---- beginning and ending -------------------------------------------------------------------------------------------

Result<Session> Client::State::session_by(const protocol::Request& request, std::string id, bool* again) {
  AttachmentRef over;
  auto opened = ask<protocol::SessionOpened>(request, nullptr, &over, again);
  if (!opened) return opened.error();
  if (!opened->id.empty()) id = opened->id;
  return Session(std::make_shared<Session::State>(*this, std::move(id), *opened, *over));
}

Result<Session> Client::new_session(const SessionOptions& options) {
  const auto idle_ttl_ms = client_detail::configured_ms("idle_ttl", options.idle_ttl);
  if (!idle_ttl_ms) return idle_ttl_ms.error();
  const auto absolute_ttl_ms = client_detail::configured_ms("absolute_ttl", options.absolute_ttl);
  if (!absolute_ttl_ms) return absolute_ttl_ms.error();
  protocol::NewSession request;
  request.idle_ttl_ms = *idle_ttl_ms;
  request.absolute_ttl_ms = *absolute_ttl_ms;
  return state_->session_by(request, {});
}

Result<Session> Client::session(std::string_view id) {
  // What came from a browser may be anything.
  if (!protocol::is_session_id(id)) return ended();
  return state_->session_by(protocol::OpenSession{std::string(id)}, std::string(id));
}

Result<protocol::SessionListing> Client::list_sessions(std::uint64_t cursor) {
  return state_->ask<protocol::SessionListing>(protocol::ListSessions{cursor});
}

const std::string& Session::id() const { return state_->id; }
std::uint64_t Session::number() const { return state_->access.grant.number; }
Milliseconds Session::idle_ttl() const { return state_->idle_ttl; }
Milliseconds Session::absolute_ttl_left() const { return state_->absolute_ttl_left; }

Result<void> Session::touch() {
  const auto done = state_->client.ask<protocol::Done>(protocol::TouchSession{number()}, state_.get());
  if (!done) return done.error();
  return {};
}

Result<Session> Session::rotate() {
  bool again = false;
  auto rotated = state_->client.session_by(protocol::RotateSession{id()}, {}, &again);
  if (!rotated && again && rotated.error().code == ErrorCode::session_ended) {
    return Error{ErrorCode::session_ended, "the connection was lost while the session got another id, and nobody has heard which: make a new session"};
  }
  return rotated;
}

Result<std::uint64_t> Session::end() {
  bool again = false;
  const auto done = state_->client.ask<protocol::Done>(protocol::EndSession{id()}, nullptr, nullptr, &again);
  if (!done && again && done.error().code == ErrorCode::session_ended) return std::uint64_t{0};  // by the first time it was asked for
  return Client::State::count_of(done);
}

// ---- values ---------------------------------------------------------------------------------------------------------

bool Session::look_first(std::string_view key, const ComputeOptions& options, std::optional<Value>& found, bool& looked) {
  if (options.force) return false;
  looked = state_->check(key) && state_->client.peek_at_once(key, found, options.wait_timeout, &state_->access);
  return found && ValueMaker::age(*found) == Age::fresh;
}

Result<Value> Session::compute_once(std::string_view key, const ComputeOptions& options, const ComputeFunction& compute, bool looked,
                                    std::optional<Value> found) {
  return state_->client.compute_once(key, options, compute, looked, std::move(found), state_.get());
}

std::optional<Value> Session::peek(std::string_view key) {
  if (!state_->check(key)) return std::nullopt;
  return state_->client.peek(key, &state_->access);
}

Result<Client::Acquired> Session::acquire(std::string_view key, const ComputeOptions& options) {
  return state_->client.acquire(key, options, state_.get());
}
Result<Value> Session::wait(std::string_view key, const WaitOptions& options) { return state_->client.wait(key, options, state_.get()); }
Result<std::optional<Value>> Session::get(std::string_view key, const GetOptions& options) {
  return state_->client.get(key, options, state_.get());
}

Result<std::uint64_t> Session::put(std::string_view key, std::string bytes, const PutOptions& options) {
  ValueBuilder one = state_->client.builder(key);
  if (auto added = one.add({}, bytes, options.content_type); !added) return added.error();
  bytes = std::string();
  return put(key, std::move(one), options);
}
Result<std::uint64_t> Session::put(std::string_view key, ValueBuilder&& builder, const PutOptions& options) {
  return state_->client.put_built(key, std::move(builder), options, state_.get());
}

Result<std::uint64_t> Session::invalidate(std::string_view key, const InvalidateOptions& options) {
  return Client::State::count_of(state_->client.ask<protocol::Done>(protocol::Invalidate{{protocol::ScopeKind::key, std::string(key)}, options.soft}, state_.get()));
}
Result<std::uint64_t> Session::invalidate_all(const InvalidateOptions& options) {
  return Client::State::count_of(state_->client.ask<protocol::Done>(protocol::Invalidate{state_->scope(), options.soft}, state_.get()));
}
Result<std::uint64_t> Session::cancel(std::string_view key) {
  return Client::State::count_of(state_->client.ask<protocol::Done>(protocol::Cancel{{protocol::ScopeKind::key, std::string(key)}}, state_.get()));
}
Result<std::uint64_t> Session::cancel_all() {
  return Client::State::count_of(state_->client.ask<protocol::Done>(protocol::Cancel{state_->scope()}, state_.get()));
}
Result<protocol::Listing> Session::list(std::string_view function, std::string_view cursor) {
  return state_->client.list(function, cursor, state_.get());
}
Result<protocol::Explanation> Session::explain(std::string_view key) {
  return state_->client.ask<protocol::Explanation>(protocol::Explain{std::string(key)}, state_.get());
}

Result<Subscription> Session::subscribe(const Key& key) {
  if (auto right = state_->check(key.bytes()); !right) return right.error();
  return open_subscription(std::make_unique<Subscription::State>(state_->client.options, state_->client.identity,
                                                                 protocol::Scope{protocol::ScopeKind::key, std::string(key.bytes())}, id()));
}
Result<Subscription> Session::subscribe() {
  return open_subscription(std::make_unique<Subscription::State>(state_->client.options, state_->client.identity, state_->scope(), id()));
}

}  // namespace onced
