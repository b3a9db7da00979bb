// Client::State: the calls that read and compute, of Client (no session) and of Session.
#include <exception>
#include <utility>

#include <onced/protocol/limits.hpp>

#include "builder_state.hpp"
#include "checks.hpp"
#include "peek.hpp"
#include "retention.hpp"
#include "session_state.hpp"
#include "value_maker.hpp"

namespace onced {

using client_detail::Age;
using client_detail::check_session;
using client_detail::Clock;
using client_detail::deadline_in;
using client_detail::SessionAccess;

namespace {

const SessionAccess* access_of(const Session::State* session) { return session == nullptr ? nullptr : &session->access; }

// Of a request that does not compute.
Result<Value> value_of(Result<Client::Acquired> acquired) {
  if (!acquired) return acquired.error();
  if (auto* value = std::get_if<Value>(&*acquired)) return std::move(*value);
  return Error{ErrorCode::malformed, "the daemon granted a lease to a request that only waits"};
}

}  // namespace

// ---- reading --------------------------------------------------------------------------------------------------------

std::optional<Value> Client::State::peek(std::string_view key, const SessionAccess* session) {
  std::optional<Value> value = client_detail::no_value();
  if (!peek_at_once(key, value, Milliseconds::max(), session)) {
    peek_slowly(key, value, deadline_in(options.connect_timeout), session);
  } else if (!value || ValueMaker::age(*value) == Age::fresh) [[likely]] {
    return value;
  }
  if (value) given(key, *value);
  return value;
}

Result<Client::Acquired> Client::State::acquire(std::string_view key, const ComputeOptions& options_of_call, Session::State* session) {
  if (auto right = check_session(key, session); !right) return right.error();
  std::optional<Value> found;
  const bool looked = options_of_call.force || peek_at_once(key, found, options_of_call.wait_timeout, access_of(session));
  if (found && ValueMaker::age(*found) == Age::fresh) return Acquired(std::in_place_index<0>, std::move(*found));
  if (suffices(key, found, options_of_call.accept_stale)) return Acquired(std::in_place_index<0>, std::move(*found));
  const Times times = times_within(options_of_call.wait_timeout);
  if (!looked) {
    peek_slowly(key, found, times.begun + times.connect, access_of(session));
    if (suffices(key, found, options_of_call.accept_stale)) return Acquired(std::in_place_index<0>, std::move(*found));
  }
  if (auto right = client_detail::check(options_of_call); !right) return right.error();
  if (auto right = client_detail::check_upstreams(options_of_call.depends_on, session); !right) return right.error();
  auto acquired = acquire(key, options_of_call, Ask::to_compute(options_of_call, found, session), times);
  // A session that is over has no stale values either.
  if (acquired.result.ok() || !found || acquired.result.error().code == ErrorCode::session_ended) return std::move(acquired.result);
  given(key, *found);
  return Acquired(std::in_place_index<0>, std::move(*found));
}

Result<Value> Client::State::wait(std::string_view key, const WaitOptions& options_of_call, Session::State* session) {
  if (auto right = check_session(key, session); !right) return right.error();
  const Times times = times_within(options_of_call.timeout);
  std::optional<Value> found;
  const bool looked = peek_at_once(key, found, options_of_call.timeout, access_of(session));
  if (looked && found && ValueMaker::age(*found) == Age::fresh) return std::move(*found);
  if (!looked) peek_slowly(key, found, times.begun + times.connect, access_of(session));
  if (found && (options_of_call.accept_stale || !found->stale())) {
    given(key, *found);
    return std::move(*found);
  }
  return value_of(acquire(key, {}, Ask::to_wait(options_of_call.accept_stale, session), times).result);
}

Result<std::optional<Value>> Client::State::get(std::string_view key, const GetOptions& options_of_call, Session::State* session) {
  if (auto right = check_session(key, session); !right) return right.error();
  std::optional<Value> found;
  const bool looked = peek_at_once(key, found, Milliseconds::max(), access_of(session));
  if (looked && found && ValueMaker::age(*found) == Age::fresh) return found;
  if (!looked) peek_slowly(key, found, deadline_in(options.connect_timeout), access_of(session));
  if (found && (options_of_call.accept_stale || !found->stale())) {
    given(key, *found);
    return found;
  }
  const Times times{Clock::now(), Clock::now(), options.connect_timeout, options.request_timeout, options.disk_timeout};
  auto acquiring = acquire(key, {}, Ask::to_wait(options_of_call.accept_stale, session), times);
  if (!acquiring.result) {
    // Nobody has it, or somebody is computing it. All else, also that the daemon does not answer, is an error.
    const ErrorCode code = acquiring.result.error().code;
    if (acquiring.answered && (code == ErrorCode::not_found || code == ErrorCode::timed_out)) return std::optional<Value>();
  }
  auto value = value_of(std::move(acquiring.result));
  if (!value) return value.error();
  return std::optional<Value>(std::move(*value));
}

Result<protocol::Listing> Client::State::list(std::string_view function, std::string_view cursor, Session::State* session) {
  if (!function.empty()) {
    if (auto right = client_detail::check_function(function); !right) return right.error();
  }
  if (cursor.size() > limits::key_bytes_max) return Error{ErrorCode::invalid_argument, "a cursor is what an earlier listing gave, and nothing else"};
  return ask<protocol::Listing>(protocol::List{std::string(function), std::string(cursor), session == nullptr ? 0 : session->access.grant.number}, session);
}

// ---- computing ------------------------------------------------------------------------------------------------------

Result<Value> Client::State::compute_once(std::string_view key, const ComputeOptions& options_of_call, const ComputeFunction& compute, bool looked,
                                          std::optional<Value> found, Session::State* session) {
  if (auto right = check_session(key, session); !right) return right.error();
  const auto run = [&](Computation computation) -> Result<Value> {
    (computation.local() ? computed_locally : computed).fetch_add(1, std::memory_order_relaxed);
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
  if (suffices(key, found, options_of_call.accept_stale)) return std::move(*found);
  const Times times = times_within(options_of_call.wait_timeout);
  if (!looked) {
    peek_slowly(key, found, times.begun + times.connect, access_of(session));
    if (suffices(key, found, options_of_call.accept_stale)) return std::move(*found);
  }
  if (auto right = client_detail::check(options_of_call); !right) return right.error();
  if (auto right = client_detail::check_upstreams(options_of_call.depends_on, session); !right) return right.error();
  auto acquired = acquire(key, options_of_call, Ask::to_compute(options_of_call, found, session), times);
  if (acquired.result.ok()) {
    found.reset();  // its pin: computing may take long
    if (auto* value = std::get_if<Value>(&*acquired.result)) return std::move(*value);
    return run(std::move(std::get<Computation>(*acquired.result)));
  }
  if (found && acquired.result.error().code != ErrorCode::session_ended) {
    given(key, *found);
    return std::move(*found);
  }
  const bool late = acquired.result.error().code == ErrorCode::timed_out && options_of_call.on_deadline == OnDeadline::compute;
  if (late || (acquired.away && !options.strict)) return run(local_computation(key, options_of_call));
  return acquired.result.error();
}

ValueBuilder Client::State::builder(std::string_view key) { return ValueBuilder(std::make_unique<ValueBuilder::State>(*this, key)); }

Result<std::uint64_t> Client::State::put_built(std::string_view key, ValueBuilder&& builder, const PutOptions& options_of_call, Session::State* session) {
  const ValueBuilder taken = std::move(builder);
  if (taken.state_ == nullptr || taken.part_count() == 0) return Error{ErrorCode::invalid_argument, "a value has one part at least"};
  // Its memory is of the process that began it, and so is the connection over which that was given.
  if (auto right = taken.state_->check_own(); !right) return right.error();
  if (auto right = client_detail::check_content_type(options_of_call.content_type); !right) return right.error();
  taken.state_->set_default_content_type(options_of_call.content_type);
  auto published = put(key, *taken.state_, options_of_call, session);
  if (!published) return published.error();
  return published->stored ? published->version : 0;
}

}  // namespace onced
