#include "client_state.hpp"

#include <algorithm>
#include <utility>

namespace onced {

using client_detail::AttachmentRef;
using client_detail::Clock;
using client_detail::Connector;
using client_detail::Deadline;
using client_detail::deadline_in;
using client_detail::HeldLeases;
using client_detail::Process;

namespace {

// How often one call starts again because its connection broke (the daemon was restarted meanwhile).
constexpr int attempts_max = 4;

std::uint64_t milliseconds_until(Deadline deadline) {
  const auto left = std::chrono::ceil<Milliseconds>(deadline - Clock::now()).count();
  return left <= 0 ? 0 : static_cast<std::uint64_t>(left);
}

}  // namespace

Client::State::State(ClientOptions options_in)
    : options(std::move(options_in)),
      identity(client_detail::identity_of(options)),
      connector(new Connector(options, identity)) {}

Client::State::~State() {
  Connector* const last = connector.load(std::memory_order_acquire);
  if (last->process == &Process::here()) {
    delete last;
  } else {
    Process::here().keep_inherited(last);
  }
}

Connector& Client::State::connector_here() {
  Connector* present = connector.load(std::memory_order_acquire);
  if (present->process == &Process::here()) return *present;
  auto* const fresh = new Connector(options, identity);
  if (connector.compare_exchange_strong(present, fresh, std::memory_order_acq_rel)) {
    Process::here().keep_inherited(present);
    for (auto* counter : {&requests, &computed, &computed_locally, &waited}) counter->store(0, std::memory_order_relaxed);
    return *fresh;
  }
  delete fresh;  // another thread of the child was first
  return *present;
}

Result<protocol::Reply> Client::State::ask_for_reply(const protocol::Request& request) {
  for (int attempt = 1;; ++attempt) {
    auto attachment = connector_here().attachment();
    if (!attachment) return attachment.error();
    requests.fetch_add(1, std::memory_order_relaxed);
    auto reply = (*attachment)->channel.call(request, deadline_in(options.request_timeout));
    if (reply.ok() || reply.error().code != ErrorCode::unavailable || attempt == attempts_max) return reply;
  }
}

Error client_detail::error_of(const protocol::Reply& reply) {
  if (const auto* refused = std::get_if<protocol::Refused>(&reply)) return {refused->code, refused->text};
  if (const auto* failure = std::get_if<protocol::Failure>(&reply)) return {ErrorCode::computation_failed, failure->text};
  if (const auto* cancelled = std::get_if<protocol::Cancelled>(&reply)) return {ErrorCode::cancelled, cancelled->text};
  return {ErrorCode::malformed, "the daemon answered with message type " + std::to_string(protocol::type_of(reply)) +
                                    ", which is no answer to this request"};
}

Client::State::Acquiring Client::State::acquire(std::string_view key, const ComputeOptions& options_of_call,
                                                bool may_compute) {
  const Deadline until = deadline_in(options_of_call.wait_timeout);
  Connector& here = connector_here();
  const auto held = HeldLeases::of_this_thread();

  protocol::Acquire request;
  request.key = key;
  request.may_compute = may_compute;
  request.force = options_of_call.force;
  request.lease_limit_ms = static_cast<std::uint64_t>(std::max<Milliseconds::rep>(options_of_call.lease_limit.count(), 0));
  request.held = held->tokens(&here);

  for (int attempt = 1;; ++attempt) {
    auto attachment = here.attachment();
    if (!attachment) return {true, Error{ErrorCode::unavailable, attachment.error().text}};
    request.wait_ms = milliseconds_until(until);
    requests.fetch_add(1, std::memory_order_relaxed);
    // The daemon keeps the deadline and names the holder; ours is for a daemon that does not answer.
    auto reply = (*attachment)->channel.call(request, until + options.request_timeout);
    if (!reply) {
      if (reply.error().code == ErrorCode::unavailable && attempt < attempts_max) continue;
      return {reply.error().code == ErrorCode::unavailable, reply.error()};
    }
    if (auto* value = std::get_if<protocol::Value>(&*reply)) {
      if (value->waited) waited.fetch_add(1, std::memory_order_relaxed);
      auto made = (*attachment)->value_of(std::move(*value), key);
      if (!made) return {false, made.error()};
      return {false, Acquired(std::in_place_index<0>, std::move(*made))};
    }
    if (const auto* lease = std::get_if<protocol::Lease>(&*reply)) {
      // At once: the daemon passes over a waiter that does not take its lease up.
      if (lease->take_up) {
        static_cast<void>((*attachment)->channel.post(protocol::TakeUp{lease->token}, deadline_in(options.request_timeout)));
      }
      held->add(&here, lease->token);
      auto computation = std::make_unique<Computation::State>(
          Computation::State{*this, here, std::move(*attachment), lease->token, request.key, options_of_call, held,
                             here.process, Clock::now()});
      return {false, Acquired(std::in_place_index<1>, std::move(computation))};
    }
    Error error = client_detail::error_of(*reply);
    const bool away = error.code == ErrorCode::unavailable;  // it is shutting down
    if (away) here.note_outage(error);
    return {away, std::move(error)};
  }
}

Computation Client::State::local_computation(std::string_view key, const ComputeOptions& options_of_call) {
  Connector& here = connector_here();
  return Computation(std::make_unique<Computation::State>(Computation::State{
      *this, here, AttachmentRef(), {}, std::string(key), options_of_call, nullptr, here.process, Clock::now()}));
}

}  // namespace onced
