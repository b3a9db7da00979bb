#include <onced/client.hpp>

#include <thread>
#include <utility>

#include <onced/protocol/limits.hpp>

#include "client_state.hpp"
#include "value_maker.hpp"

namespace onced {

using client_detail::Connector;
using client_detail::NodeInScope;
using client_detail::Process;
using client_detail::ReaderNode;
using client_detail::this_thread_node;
using protocol::LookupOutcome;

namespace {

// How often a lookup is tried again when other threads hold every pin of a shared line.
constexpr int pin_retries_max = 64;

std::uint64_t milliseconds(Milliseconds duration) {
  return duration.count() <= 0 ? 0 : static_cast<std::uint64_t>(duration.count());
}

}  // namespace

Client::Client(ClientOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<void> Client::connect() {
  auto attachment = state_->connector_here().attachment();
  if (!attachment) return attachment.error();
  return {};
}

// ---- reading --------------------------------------------------------------------------------------------------------

std::optional<Value> Client::peek(std::string_view key) {
  std::optional<Value> value;
  ReaderNode* const node = this_thread_node;
  if (node == nullptr || node->process != Process::current()) [[unlikely]] {
    peek_slowly(key, value);
    return value;
  }
  // Acquire: pairs with State::connector_here().
  const LookupOutcome outcome = state_->connector.load(std::memory_order_acquire)->look_up(key, *node, value);
  if (outcome == LookupOutcome::hit) [[likely]] {
    if (value->in_shared_memory()) [[likely]] return value;
    // Every pin was taken. If they are taken for good (retained after forks), a new connection has new ones.
    static_cast<void>(state_->connector_here().attachment());
    return value;
  }
  if (outcome != LookupOutcome::miss) peek_slowly(key, value);
  return value;
}

// The first lookup of a thread, a forked child, or a new daemon: makes what is missing, then looks.
void Client::peek_slowly(std::string_view key, std::optional<Value>& value) {
  NodeInScope node;
  Connector& connector = state_->connector_here();
  LookupOutcome outcome = connector.look_up(key, *node, value);
  if (outcome == LookupOutcome::dead) {
    if (!connector.attachment().ok()) return;
    outcome = connector.look_up(key, *node, value);
  }
  for (int retry = 0; outcome == LookupOutcome::no_pin && retry < pin_retries_max; ++retry) {
    std::this_thread::yield();
    outcome = connector.look_up(key, *node, value);
  }
}

Result<Client::Acquired> Client::acquire(std::string_view key, const ComputeOptions& options) {
  if (!options.force) {
    if (auto value = peek(key)) return Acquired(std::in_place_index<0>, std::move(*value));
  }
  return state_->acquire(key, options, true).result;
}

Result<Value> Client::wait(std::string_view key, const WaitOptions& options) {
  if (auto value = peek(key)) return std::move(*value);
  ComputeOptions wait_only;
  wait_only.wait_timeout = options.timeout;
  auto acquired = state_->acquire(key, wait_only, false).result;
  if (!acquired) return acquired.error();
  if (auto* value = std::get_if<Value>(&*acquired)) return std::move(*value);
  return Error{ErrorCode::malformed, "the daemon granted a lease to a request that only waits"};
}

Result<std::optional<Value>> Client::get(std::string_view key) {
  WaitOptions at_once;
  at_once.timeout = Milliseconds(0);
  auto value = wait(key, at_once);
  if (value.ok()) return std::optional<Value>(std::move(*value));
  if (value.error().code == ErrorCode::not_found || value.error().code == ErrorCode::timed_out) return std::optional<Value>();
  return value.error();
}

// ---- computing ------------------------------------------------------------------------------------------------------

Result<Value> Client::compute_once(std::string_view key, const ComputeOptions& options, const ComputeFunction& compute) {
  const auto run = [&](Computation computation) -> Result<Value> {
    (computation.local() ? state_->computed_locally : state_->computed).fetch_add(1, std::memory_order_relaxed);
    Result<std::string> bytes = [&] {
      try {
        return compute(computation);
      } catch (const std::exception& error) {
        computation.fail(error.what());
        throw;
      } catch (...) {
        computation.fail("the computation threw something that is no std::exception");
        throw;
      }
    }();
    if (!bytes) {
      computation.fail(bytes.error().text);
      return bytes.error();
    }
    return computation.publish(std::move(*bytes));
  };

  auto acquired = state_->acquire(key, options, true);
  if (acquired.result.ok()) {
    if (auto* value = std::get_if<Value>(&*acquired.result)) return std::move(*value);
    return run(std::move(std::get<Computation>(*acquired.result)));
  }
  const bool late = acquired.result.error().code == ErrorCode::timed_out && options.on_deadline == OnDeadline::compute;
  if (late || (acquired.away && !state_->options.strict)) return run(state_->local_computation(key, options));
  return acquired.result.error();
}

// ---- the rest -------------------------------------------------------------------------------------------------------

Result<std::uint64_t> Client::put(std::string_view key, std::string bytes, const PutOptions& options) {
  protocol::Put request;
  request.key = key;
  request.parts.push_back({"", options.content_type, std::move(bytes)});
  request.ttl_ms = milliseconds(options.ttl);
  if (request.parts[0].bytes.size() > limits::value_bytes_max) {
    return Error{ErrorCode::too_large, "value of " + std::to_string(request.parts[0].bytes.size()) + " bytes > " +
                                           std::to_string(limits::value_bytes_max) + ", the largest that is kept"};
  }
  auto published = state_->ask<protocol::Published>(request);
  if (!published) return published.error();
  return published->stored ? published->version : 0;
}

namespace {

protocol::Scope scope(protocol::ScopeKind kind, std::string_view subject) { return {kind, std::string(subject)}; }

Result<std::uint64_t> count_of(const Result<protocol::Done>& done) {
  if (!done) return done.error();
  return done->count;
}

}  // namespace

Result<std::uint64_t> Client::invalidate(std::string_view key) {
  return count_of(state_->ask<protocol::Done>(protocol::Invalidate{scope(protocol::ScopeKind::key, key)}));
}
Result<std::uint64_t> Client::invalidate_function(std::string_view function) {
  return count_of(state_->ask<protocol::Done>(protocol::Invalidate{scope(protocol::ScopeKind::function, function)}));
}
Result<std::uint64_t> Client::invalidate_all() {
  return count_of(state_->ask<protocol::Done>(protocol::Invalidate{scope(protocol::ScopeKind::everything, {})}));
}
Result<std::uint64_t> Client::cancel(std::string_view key) {
  return count_of(state_->ask<protocol::Done>(protocol::Cancel{scope(protocol::ScopeKind::key, key)}));
}
Result<std::uint64_t> Client::cancel_function(std::string_view function) {
  return count_of(state_->ask<protocol::Done>(protocol::Cancel{scope(protocol::ScopeKind::function, function)}));
}

Result<protocol::Report> Client::status() {
  auto report = state_->ask<protocol::StatusReport>(protocol::GetStatus{});
  if (!report) return report.error();
  return std::move(report->fields);
}
Result<protocol::Statistics> Client::statistics() { return state_->ask<protocol::Statistics>(protocol::GetStats{}); }
Result<protocol::Listing> Client::list(std::string_view function, std::string_view cursor) {
  return state_->ask<protocol::Listing>(protocol::List{std::string(function), std::string(cursor)});
}
Result<protocol::Explanation> Client::explain(std::string_view key) {
  return state_->ask<protocol::Explanation>(protocol::Explain{std::string(key)});
}

ClientCounters Client::counters() const {
  Connector& connector = state_->connector_here();
  ClientCounters counters;
  counters.hits = connector.hits();
  counters.copied_hits = connector.copied_hits();
  counters.requests = state_->requests.load(std::memory_order_relaxed);
  counters.computed = state_->computed.load(std::memory_order_relaxed);
  counters.computed_locally = state_->computed_locally.load(std::memory_order_relaxed);
  counters.waited = state_->waited.load(std::memory_order_relaxed);
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
