#include <onced/client.hpp>

#include <utility>

#include <onced/protocol/limits.hpp>

#include "builder_state.hpp"
#include "client_state.hpp"
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

namespace {

// The longest that a hit takes to replace a connection whose pins are used up.
constexpr Milliseconds renewal_time{100};

// Of a request that does not compute.
Result<Value> value_of(Result<Client::Acquired> acquired) {
  if (!acquired) return acquired.error();
  if (auto* value = std::get_if<Value>(&*acquired)) return std::move(*value);
  return Error{ErrorCode::malformed, "the daemon granted a lease to a request that only waits"};
}

}  // namespace

Client::Client(ClientOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<void> Client::connect() {
  auto attachment = state_->connector_here().attachment(deadline_in(state_->options.connect_timeout));
  if (!attachment) return attachment.error();
  return {};
}

// ---- reading --------------------------------------------------------------------------------------------------------

// False: this thread, process or client is not ready to look, or the look was spoilt; peek_slowly() does it. A value that is
// fresh counts as given; one of another age is for the caller to judge.
[[gnu::always_inline]] inline bool Client::peek_in_place(std::string_view key, std::optional<Value>& value, Milliseconds within) {
  ReaderNode* const node = this_thread_node;
  if (node == nullptr || node->process != Process::current()) [[unlikely]] return false;
  // Acquire: pairs with State::connector_here().
  const Look look = state_->connector.load(std::memory_order_acquire)->look_up(key, *node, value);
  if (look != Look::hit) [[unlikely]] {
    if (look == Look::unmapped) {
      state_->map_unnamed(value, within);
    } else if (look == Look::copied) {
      // Every pin was taken. If they are taken for good (retained after forks), a new connection has new ones.
      static_cast<void>(state_->connector_here().attachment(deadline_in(renewal_time)));
    } else {
      return look == Look::miss;
    }
  }
  if (this_thread_may_hold) [[unlikely]] {
    if (value && value->age_ == Age::fresh) state_->given(key, *value);
  }
  return true;
}

bool Client::peek_at_once(std::string_view key, std::optional<Value>& value, Milliseconds within) {
  return peek_in_place(key, value, within);
}

std::optional<Value> Client::peek(std::string_view key) {
  std::optional<Value> value = client_detail::no_value();
  if (!peek_in_place(key, value, Milliseconds::max())) {
    state_->peek_slowly(key, value, deadline_in(state_->options.connect_timeout));
  } else if (!value || value->age_ == Age::fresh) [[likely]] {
    return value;
  }
  if (value) state_->given(key, *value);
  return value;
}

Result<Client::Acquired> Client::acquire(std::string_view key, const ComputeOptions& options) {
  std::optional<Value> found;
  const bool looked = options.force || peek_at_once(key, found, options.wait_timeout);
  if (found && found->age_ == Age::fresh) return Acquired(std::in_place_index<0>, std::move(*found));
  if (state_->suffices(key, found, options.accept_stale)) return Acquired(std::in_place_index<0>, std::move(*found));
  const State::Times times = state_->times_within(options.wait_timeout);
  if (!looked) {
    state_->peek_slowly(key, found, times.begun + times.connect);
    if (state_->suffices(key, found, options.accept_stale)) return Acquired(std::in_place_index<0>, std::move(*found));
  }
  if (auto right = client_detail::check(options); !right) return right.error();
  auto acquired = state_->acquire(key, options, State::Ask::to_compute(options, found), times);
  if (acquired.result.ok() || !found) return std::move(acquired.result);
  state_->given(key, *found);
  return Acquired(std::in_place_index<0>, std::move(*found));
}

Result<Value> Client::wait(std::string_view key, const WaitOptions& options) {
  const State::Times times = state_->times_within(options.timeout);
  std::optional<Value> found;
  const bool looked = peek_at_once(key, found, options.timeout);
  if (looked && found && found->age_ == Age::fresh) return std::move(*found);
  if (!looked) state_->peek_slowly(key, found, times.begun + times.connect);
  if (found && (options.accept_stale || !found->stale())) {
    state_->given(key, *found);
    return std::move(*found);
  }
  return value_of(state_->acquire(key, {}, State::Ask::to_wait(options.accept_stale), times).result);
}

Result<std::optional<Value>> Client::get(std::string_view key, const GetOptions& options) {
  std::optional<Value> found;
  const bool looked = peek_at_once(key, found);
  if (looked && found && found->age_ == Age::fresh) return found;
  if (!looked) state_->peek_slowly(key, found, deadline_in(state_->options.connect_timeout));
  if (found && (options.accept_stale || !found->stale())) {
    state_->given(key, *found);
    return found;
  }
  const State::Times times{Clock::now(), Clock::now(), state_->options.connect_timeout, state_->options.request_timeout};
  auto acquiring = state_->acquire(key, {}, State::Ask::to_wait(options.accept_stale), times);
  if (!acquiring.result) {
    // Nobody has it, or somebody is computing it. All else, also that the daemon does not answer, is an error.
    const ErrorCode code = acquiring.result.error().code;
    if (acquiring.answered && (code == ErrorCode::not_found || code == ErrorCode::timed_out)) return std::optional<Value>();
  }
  auto value = value_of(std::move(acquiring.result));
  if (!value) return value.error();
  return std::optional<Value>(std::move(*value));
}

// ---- computing ------------------------------------------------------------------------------------------------------

Result<Value> Client::compute_once(std::string_view key, const ComputeOptions& options, const ComputeFunction& compute,
                                   bool looked, std::optional<Value> found) {
  const auto run = [&](Computation computation) -> Result<Value> {
    (computation.local() ? state_->computed_locally : state_->computed).fetch_add(1, std::memory_order_relaxed);
    auto made = [&]() -> Result<client_detail::Computed> {
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
    if (!made) {
      computation.fail(made.error().text);
      return made.error();
    }
    return *made ? computation.publish(std::move(**made)) : computation.publish();
  };

  // Before anything that may be a system call: a stale value that somebody refreshes costs none.
  if (state_->suffices(key, found, options.accept_stale)) return std::move(*found);
  const State::Times times = state_->times_within(options.wait_timeout);
  if (!looked) {
    state_->peek_slowly(key, found, times.begun + times.connect);
    if (state_->suffices(key, found, options.accept_stale)) return std::move(*found);
  }
  if (auto right = client_detail::check(options); !right) return right.error();
  auto acquired = state_->acquire(key, options, State::Ask::to_compute(options, found), times);
  if (acquired.result.ok()) {
    found.reset();  // its pin: computing may take long
    if (auto* value = std::get_if<Value>(&*acquired.result)) return std::move(*value);
    return run(std::move(std::get<Computation>(*acquired.result)));
  }
  if (found) {
    state_->given(key, *found);
    return std::move(*found);
  }
  const bool late = acquired.result.error().code == ErrorCode::timed_out && options.on_deadline == OnDeadline::compute;
  if (late || (acquired.away && !state_->options.strict)) return run(state_->local_computation(key, options));
  return acquired.result.error();
}

// ---- the rest -------------------------------------------------------------------------------------------------------

Result<std::uint64_t> Client::put(std::string_view key, std::string bytes, const PutOptions& options) {
  ValueBuilder one = builder();
  if (auto added = one.add({}, bytes, options.content_type); !added) return added.error();
  bytes = std::string();
  return put(key, std::move(one), options);
}

Result<std::uint64_t> Client::put(std::string_view key, ValueBuilder&& builder, const PutOptions& options) {
  const ValueBuilder taken = std::move(builder);
  if (taken.state_ == nullptr || taken.part_count() == 0) return Error{ErrorCode::invalid_argument, "a value has one part at least"};
  taken.state_->set_default_content_type(options.content_type);
  auto published = state_->put(key, *taken.state_, options);
  if (!published) return published.error();
  return published->stored ? published->version : 0;
}

ValueBuilder Client::builder() { return ValueBuilder(std::make_unique<ValueBuilder::State>(*state_)); }

void Client::trim() {
  if (const auto attachment = state_->connector_here().present()) attachment->mappings->drop_unviewed();
}

namespace {

protocol::Scope scope(protocol::ScopeKind kind, std::string_view subject) { return {kind, std::string(subject)}; }

Result<std::uint64_t> count_of(const Result<protocol::Done>& done) {
  if (!done) return done.error();
  return done->count;
}

}  // namespace

Result<std::uint64_t> Client::invalidate(std::string_view key, const InvalidateOptions& options) {
  return count_of(state_->ask<protocol::Done>(protocol::Invalidate{scope(protocol::ScopeKind::key, key), options.soft}));
}
Result<std::uint64_t> Client::invalidate_function(std::string_view function, const InvalidateOptions& options) {
  return count_of(state_->ask<protocol::Done>(protocol::Invalidate{scope(protocol::ScopeKind::function, function), options.soft}));
}
Result<std::uint64_t> Client::invalidate_all(const InvalidateOptions& options) {
  return count_of(state_->ask<protocol::Done>(protocol::Invalidate{scope(protocol::ScopeKind::everything, {}), options.soft}));
}
Result<std::uint64_t> Client::invalidate_tag(std::string_view tag, const InvalidateOptions& options) {
  if (auto right = client_detail::check_tag(tag); !right) return right.error();
  return count_of(state_->ask<protocol::Done>(protocol::Invalidate{scope(protocol::ScopeKind::tag, tag), options.soft}));
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
