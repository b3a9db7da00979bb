#include <onced/client.hpp>

#include <utility>

#include "builder_state.hpp"
#include "checks.hpp"
#include "client_state.hpp"
#include "peek.hpp"
#include "retention.hpp"
#include "value_maker.hpp"

namespace onced {

using client_detail::Age;
using client_detail::Clock;
using client_detail::Connector;
using client_detail::deadline_in;
using client_detail::Look;
using client_detail::Process;
using client_detail::ReaderNode;
using client_detail::this_thread_may_hold;
using client_detail::this_thread_node;

Client::Client(ClientOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<void> Client::connect() {
  auto attachment = state_->connector_here().attachment(deadline_in(state_->options.connect_timeout));
  if (!attachment) return attachment.error();
  return {};
}

// ---- reading and computing: asking.cpp ------------------------------------------------------------------------------

std::optional<Value> Client::peek(std::string_view key) {
  std::optional<Value> value = client_detail::no_value();
  if (!state_->peek_at_once(key, value, Milliseconds::max(), nullptr)) {
    state_->peek_slowly(key, value, deadline_in(state_->options.connect_timeout), nullptr);
  } else if (!value || value->age_ == Age::fresh) [[likely]] {
    return value;
  }
  if (value) state_->given(key, *value);
  return value;
}

bool Client::peek_at_once(std::string_view key, std::optional<Value>& value, Milliseconds within) {
  return state_->peek_at_once(key, value, within, nullptr);
}

Result<Client::Acquired> Client::acquire(std::string_view key, const ComputeOptions& options) { return state_->acquire(key, options, nullptr); }
Result<Value> Client::wait(std::string_view key, const WaitOptions& options) { return state_->wait(key, options, nullptr); }
Result<std::optional<Value>> Client::get(std::string_view key, const GetOptions& options) { return state_->get(key, options, nullptr); }
Result<Value> Client::compute_once(std::string_view key, const ComputeOptions& options, const ComputeFunction& compute, bool looked,
                                   std::optional<Value> found) {
  return state_->compute_once(key, options, compute, looked, std::move(found), nullptr);
}

// ---- the rest -------------------------------------------------------------------------------------------------------

Result<std::uint64_t> Client::put(std::string_view key, std::string bytes, const PutOptions& options) {
  ValueBuilder one = builder(key);
  if (auto added = one.add({}, bytes, options.content_type); !added) return added.error();
  bytes = std::string();
  return put(key, std::move(one), options);
}

Result<std::uint64_t> Client::put(std::string_view key, ValueBuilder&& builder, const PutOptions& options) {
  return state_->put_built(key, std::move(builder), options, nullptr);
}

ValueBuilder Client::builder(std::string_view key) { return state_->builder(key); }

void Client::trim() {
  if (const auto attachment = state_->connector_here().present()) attachment->mappings->drop_unviewed();
}

namespace {

protocol::Scope scope(protocol::ScopeKind kind, std::string_view subject) { return {kind, std::string(subject)}; }

}  // namespace

Result<std::uint64_t> Client::invalidate(std::string_view key, const InvalidateOptions& options) {
  return State::count_of(state_->ask<protocol::Done>(protocol::Invalidate{scope(protocol::ScopeKind::key, key), options.soft}));
}
Result<std::uint64_t> Client::invalidate_function(std::string_view function, const InvalidateOptions& options) {
  if (auto right = client_detail::check_function(function); !right) return right.error();
  return State::count_of(state_->ask<protocol::Done>(protocol::Invalidate{scope(protocol::ScopeKind::function, function), options.soft}));
}
Result<std::uint64_t> Client::invalidate_all(const InvalidateOptions& options) {
  return State::count_of(state_->ask<protocol::Done>(protocol::Invalidate{scope(protocol::ScopeKind::everything, {}), options.soft}));
}
Result<std::uint64_t> Client::invalidate_tag(std::string_view tag, const InvalidateOptions& options) {
  if (auto right = client_detail::check_tag(tag); !right) return right.error();
  return State::count_of(state_->ask<protocol::Done>(protocol::Invalidate{scope(protocol::ScopeKind::tag, tag), options.soft}));
}
Result<std::uint64_t> Client::cancel(std::string_view key) {
  return State::count_of(state_->ask<protocol::Done>(protocol::Cancel{scope(protocol::ScopeKind::key, key)}));
}
Result<std::uint64_t> Client::cancel_function(std::string_view function) {
  if (auto right = client_detail::check_function(function); !right) return right.error();
  return State::count_of(state_->ask<protocol::Done>(protocol::Cancel{scope(protocol::ScopeKind::function, function)}));
}

Result<protocol::Report> Client::status() {
  auto report = state_->ask<protocol::StatusReport>(protocol::GetStatus{});
  if (!report) return report.error();
  return std::move(report->fields);
}
Result<protocol::Statistics> Client::statistics() { return state_->ask<protocol::Statistics>(protocol::GetStats{}); }
Result<protocol::Listing> Client::list(std::string_view function, std::string_view cursor) { return state_->list(function, cursor, nullptr); }
Result<protocol::Explanation> Client::explain(std::string_view key) {
  return state_->ask<protocol::Explanation>(protocol::Explain{std::string(key)});
}

Result<protocol::Report> Client::disk(protocol::DiskAction action) {
  if (action == protocol::DiskAction::clear) return Error{ErrorCode::invalid_argument, "clear_disk() clears"};
  auto report = state_->ask<protocol::DiskReport>(protocol::Disk{action});
  if (!report) return report.error();
  return std::move(report->fields);
}
Result<std::uint64_t> Client::clear_disk() { return State::count_of(state_->ask<protocol::Done>(protocol::Disk{protocol::DiskAction::clear})); }

ClientCounters Client::counters() const {
  Connector& connector = state_->connector_here();
  ClientCounters counters;
  counters.hits = connector.hits();
  counters.copied_hits = connector.copied_hits();
  counters.requests = state_->requests.load(std::memory_order_relaxed);
  counters.computed = state_->computed.load(std::memory_order_relaxed);
  counters.computed_locally = state_->computed_locally.load(std::memory_order_relaxed);
  counters.waited = state_->waited.load(std::memory_order_relaxed);
  counters.mapped_parts = connector.mapped_parts();
  counters.stale_hits = state_->stale_hits.load(std::memory_order_relaxed);
  counters.refreshes = state_->refreshes.load(std::memory_order_relaxed);
  counters.dependencies_dropped = state_->dependencies_dropped.load(std::memory_order_relaxed);
  if (const auto attachment = connector.present()) {
    counters.mappings = attachment->mappings->count();
    counters.mapping_bytes = attachment->mappings->bytes();
  }
  counters.reconnects = connector.reconnects.load(std::memory_order_relaxed);
  return counters;
}

std::string Client::socket_path() const { return state_->identity.socket_path; }

std::optional<protocol::Welcome> Client::welcome() const {
  const auto attachment = state_->connector_here().present();
  if (!attachment) return std::nullopt;
  return attachment->welcome;
}

}  // namespace onced
