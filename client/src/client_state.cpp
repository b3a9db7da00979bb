#include "client_state.hpp"

#include "builder_state.hpp"
#include "checks.hpp"
#include "retention.hpp"
#include "session_state.hpp"
#include "value_maker.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include <onced/protocol/session.hpp>

namespace onced {

using client_detail::Age;
using client_detail::AttachmentRef;
using client_detail::Channel;
using client_detail::check_session;
using client_detail::Clock;
using client_detail::Connector;
using client_detail::Deadline;
using client_detail::deadline_in;
using client_detail::forgot_session;
using client_detail::Dependencies;
using client_detail::HeldLeases;
using client_detail::Look;
using client_detail::NodeInScope;
using client_detail::Patience;
using client_detail::Process;
using client_detail::SessionAccess;

namespace {

// How often a lookup is tried again when other threads hold every pin of a shared line.
constexpr int pin_retries_max = 64;
// How often one call starts again because its connection broke (the daemon was restarted meanwhile).
constexpr int attempts_max = 4;

// The key that a request names.
std::optional<std::string_view> key_in(const protocol::Request& request) {
  using namespace protocol;
  const auto of_scope = [](const Scope& scope) { return scope.kind == ScopeKind::key ? std::optional<std::string_view>(scope.subject) : std::nullopt; };
  if (const auto* explain = std::get_if<Explain>(&request)) return explain->key;
  if (const auto* invalidate = std::get_if<Invalidate>(&request)) return of_scope(invalidate->scope);
  if (const auto* cancel = std::get_if<Cancel>(&request)) return of_scope(cancel->scope);
  return std::nullopt;
}

// Whether opening a session failed for want of an answer, and not by it.
bool channel_is_at_fault(const client_detail::Attachment& attachment) { return attachment.channel.broken() || attachment.channel.silent(); }

Error still_read(std::string_view key, Milliseconds patience) {
  const auto named = Key::parse(key);
  return {ErrorCode::timed_out, (named ? named->display() : std::string("the value")) + " is still being read from disk after " +
                                    std::to_string(patience.count()) + " ms; see `oncectl disk status`"};
}

std::uint64_t milliseconds_until(Deadline deadline) {
  const auto left = std::chrono::ceil<Milliseconds>(deadline - Clock::now()).count();
  return left <= 0 ? 0 : static_cast<std::uint64_t>(left);
}

}  // namespace

bool client_detail::forgot_session(const protocol::Reply& reply) {
  const auto* refused = std::get_if<protocol::Refused>(&reply);
  return refused != nullptr && refused->code == ErrorCode::not_permitted;
}

// A key of a session goes with that session, and any other without one: who serves many users over one connection must not
// get one user's value for another by a key that was kept too long.
Result<void> client_detail::check_session(std::string_view key, const Session::State* session) {
  if (session != nullptr) return session->check(key);
  if (!protocol::names_session(key)) return {};
  if (auto right = client_detail::check_key_given(key); !right) return right;  // a name, say
  return Error{ErrorCode::not_permitted, "this key names a session: ask with the Session that it belongs to (Client::session)"};
}

Result<void> client_detail::check_upstreams(const std::vector<Key>& depends_on, const Session::State* session) {
  for (const Key& upstream : depends_on) {
    if (!protocol::names_session(upstream.bytes())) continue;  // everybody's: a session's value may depend on it as well
    if (auto right = check_session(upstream.bytes(), session); !right) return Error{right.error().code, "depends_on: " + right.error().text};
  }
  return {};
}

namespace {

// Times that no arithmetic on them overflows, and a longest delay that is none below the shortest.
ClientOptions within_bounds(ClientOptions options) {
  for (Milliseconds* const time : {&options.connect_timeout, &options.request_timeout, &options.disk_timeout, &options.reconnect_delay_min, &options.reconnect_delay_max}) {
    *time = std::clamp(*time, Milliseconds(0), client_detail::longest_timeout);
  }
  options.reconnect_delay_max = std::max(options.reconnect_delay_min, options.reconnect_delay_max);
  options.mapping_cache_count = std::min(options.mapping_cache_count, client_detail::mapping_cache_count_max);
  return options;
}

}  // namespace

Client::State::State(ClientOptions options_in)
    : options(within_bounds(std::move(options_in))),
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
    for (auto* counter : {&requests, &computed, &computed_locally, &waited, &stale_hits, &refreshes, &dependencies_dropped}) counter->store(0, std::memory_order_relaxed);
    return *fresh;
  }
  delete fresh;  // another thread of the child was first
  return *present;
}

Result<protocol::Reply> Client::State::ask_for_reply(const protocol::Request& request, Session::State* session, AttachmentRef* over, bool* again) {
  if (const auto key = key_in(request)) {
    if (auto right = client_detail::check_key_given(*key); !right) return right.error();
    if (auto right = check_session(*key, session); !right) return right.error();
  }
  Connector& here = connector_here();
  for (int attempt = 1;; ++attempt) {
    auto attachment = here.attachment(deadline_in(options.connect_timeout));
    if (!attachment) return attachment.error();
    (*attachment)->mappings->drop_dead();
    requests.fetch_add(1, std::memory_order_relaxed);
    const Channel& channel = (*attachment)->channel;
    auto reply = [&]() -> Result<protocol::Reply> {
      if (session == nullptr) return (*attachment)->channel.call(request, patience_for(request));
      if (auto opened = session->open_over(**attachment, deadline_in(options.request_timeout)); !opened) return opened.error();
      return (*attachment)->channel.call(request, patience_for(request));
    }();
    if (reply.ok()) {
      if (session != nullptr && forgot_session(*reply) && attempt < attempts_max) {
        session->forget_opened();
        continue;
      }
      if (over != nullptr) *over = std::move(*attachment);
      return reply;
    }
    if (channel.silent()) here.note_silence(reply.error());
    if (!channel.broken() || attempt == attempts_max) return reply;
    if (again != nullptr) *again = true;
  }
}

void Client::State::peek_slowly(std::string_view key, std::optional<Value>& value, Deadline deadline, const SessionAccess* session) {
  NodeInScope node;
  Connector& here = connector_here();
  Look look = here.look_up(key, *node, value, session);
  if (look == Look::dead) {
    if (!here.attachment(deadline).ok()) return;
    look = here.look_up(key, *node, value, session);
  }
  for (int retry = 0; look == Look::no_pin && retry < pin_retries_max; ++retry) {
    std::this_thread::yield();
    look = here.look_up(key, *node, value, session);
  }
  if (look == Look::unmapped) map_unnamed(value, until(deadline));
}

Milliseconds Client::State::until(Deadline deadline) { return std::chrono::ceil<Milliseconds>(deadline - Clock::now()); }

void Client::State::map_unnamed(std::optional<Value>& value, Milliseconds within) {
  Connector& here = connector_here();
  const auto mapped = client_detail::Attachment::map_unnamed(*value, std::max(within, client_detail::answer_patience_min));
  if (mapped) return;
  value.reset();
  // Who asks the daemon next should not wait for it as long again.
  if (const AttachmentRef attachment = here.present(); attachment && attachment->channel.silent()) here.note_silence(mapped.error());
}

Result<protocol::Published> Client::State::put(std::string_view key, ValueBuilder::State& parts, const PutOptions& put_options, Session::State* session) {
  if (auto right = client_detail::check_key_given(key); !right) return right.error();
  if (auto right = check_session(key, session); !right) return right.error();
  auto retention = client_detail::retention_of(put_options);
  if (!retention) return retention.error();
  if (auto right = client_detail::check_upstreams(put_options.depends_on, session); !right) return right.error();
  std::erase_if(retention->depends_on, [key](const protocol::Dependency& upstream) { return upstream.key == key; });
  parts.key = key;
  Connector& here = connector_here();
  for (int attempt = 1;; ++attempt) {
    AttachmentRef attachment(parts.attachment_in_use());
    if (!attachment) {
      auto connected = here.attachment(deadline_in(options.connect_timeout));
      if (!connected) return connected.error();
      attachment = std::move(*connected);
    }
    protocol::Put request;
    request.key = key;
    request.retention = *retention;
    // Anew for every attempt: versions are those of one daemon.
    for (protocol::Dependency& upstream : request.retention.depends_on) upstream.version = version_now(upstream.key, session);
    attachment->mappings->drop_dead();
    auto placed = parts.place(*attachment);
    Error error = placed.ok() ? Error{} : placed.error();
    if (placed && session != nullptr) {
      // After a reservation: the connection is the one that has it. No round trip but for the first time.
      if (auto opened = session->open_over(*attachment, deadline_in(options.request_timeout)); !opened) {
        if (!channel_is_at_fault(*attachment)) return opened.error();
        error = opened.error();
        placed = error;
      }
    }
    if (placed) {
      request.parts = std::move(*placed);
      requests.fetch_add(1, std::memory_order_relaxed);
      bool taken_back = false;
      auto reply = attachment->channel.call(request, patience_for(request), &taken_back);
      if (!taken_back) parts.named();
      if (reply) {
        if (const auto* published = std::get_if<protocol::Published>(&*reply)) {
          if (put_options.durable && published->stored && !published->durable) return client_detail::not_durable(key, request.retention);
          return *published;
        }
        if (session != nullptr && forgot_session(*reply) && attempt < attempts_max) {
          session->forget_opened();
          continue;
        }
        return client_detail::error_of(*reply);
      }
      error = reply.error();
    }
    if (attachment->channel.silent()) here.note_silence(error);
    if (!attachment->channel.broken() || attempt == attempts_max) return error;
  }
}

void Client::State::tell_unkept(std::string_view key, const Error& why) {
  if (unkept_told.exchange(true, std::memory_order_relaxed)) return;
  std::string name = "a result";
  if (const auto parsed = Key::parse(key)) name += " of " + parsed->function();
  client_detail::warn(options, name + " was computed and could not be kept for others: " + why.text);
}

void Client::State::tell_not_durable(std::string_view key, const Error& why) {
  if (not_durable_told.exchange(true, std::memory_order_relaxed)) return;
  std::string name = "a result";
  if (const auto parsed = Key::parse(key)) name += " of " + parsed->function();
  client_detail::warn(options, name + " was to be durable: " + why.text);
}

client_detail::Patience Client::State::patience_with_disk(Milliseconds disk, Milliseconds answer) {
  const Milliseconds half = answer / 2;
  // A quarter before the ping: its time is over before the call's own can be, so that what ended it is known.
  return {deadline_in(std::max(disk, answer)), answer / 4, std::max(half, std::min(answer, client_detail::answer_patience_min))};
}

client_detail::Patience Client::State::patience_for(const protocol::Request& request) const {
  const auto is_durable = [](const protocol::Retention& retention) { return retention.durable; };
  bool waits = std::holds_alternative<protocol::Invalidate>(request) || std::holds_alternative<protocol::NewSession>(request) ||
               std::holds_alternative<protocol::RotateSession>(request) || std::holds_alternative<protocol::EndSession>(request);
  if (const auto* put = std::get_if<protocol::Put>(&request)) waits = is_durable(put->retention);
  if (const auto* publish = std::get_if<protocol::Publish>(&request)) waits = is_durable(publish->retention);
  if (const auto* disk = std::get_if<protocol::Disk>(&request)) waits = disk->action == protocol::DiskAction::clear;
  return waits ? patience_with_disk(options.disk_timeout, options.request_timeout) : client_detail::Patience::until(deadline_in(options.request_timeout));
}

// ---- freshness and dependencies -------------------------------------------------------------------------------------

void Client::State::given(std::string_view key, std::uint64_t version, bool stale) {
  if (stale) stale_hits.fetch_add(1, std::memory_order_relaxed);
  if (const auto recording = HeldLeases::recording_here(this)) recording->add(key, version);
}

bool Client::State::suffices(std::string_view key, std::optional<Value>& found, bool accept_stale) {
  if (!found) return false;
  if (found->stale() && !accept_stale) {
    found.reset();
    return false;
  }
  const Age age = ValueMaker::age(*found);
  if ((age == Age::early_due || age == Age::stale_due) && !turned_away.is_paused(key, Clock::now())) return false;
  given(key, *found);
  return true;
}

std::uint64_t Client::State::version_now(std::string_view key, Session::State* session) {
  Session::State* const its_own = protocol::names_session(key) ? session : nullptr;
  std::optional<Value> value;
  {
    NodeInScope node;
    static_cast<void>(connector_here().look_up(key, *node, value, its_own == nullptr ? nullptr : &its_own->access));
  }
  if (value) return value->version();
  const auto explained = ask<protocol::Explanation>(protocol::Explain{std::string(key)}, its_own);
  return explained.ok() && explained->row.state == protocol::KeyState::ready ? explained->row.version : 0;
}

void Client::State::tell_dropped(std::string_view key, std::uint64_t dropped) {
  dependencies_dropped.fetch_add(dropped, std::memory_order_relaxed);
  if (dropped_told.exchange(true, std::memory_order_relaxed)) return;
  std::string name = "a computation";
  if (const auto parsed = Key::parse(key)) name = parsed->function();
  client_detail::warn(options, name + " has read more values than can be recorded for one (" + std::to_string(limits::dependencies_max) +
                                   " keys of " + std::to_string(limits::dependencies_bytes_max) +
                                   " bytes together): when one of the others changes, its value stays as it is; give it a tag");
}

Client::State::Times Client::State::times_within(Milliseconds wait) const {
  const Milliseconds least = std::max(wait, client_detail::answer_patience_min);
  return {Clock::now(), deadline_in(wait), std::min(least, options.connect_timeout), std::min(least, options.request_timeout)};
}

Error client_detail::error_of(const protocol::Reply& reply) {
  if (const auto* refused = std::get_if<protocol::Refused>(&reply)) return {refused->code, refused->text};
  if (const auto* failure = std::get_if<protocol::Failure>(&reply)) return {ErrorCode::computation_failed, failure->text};
  if (const auto* cancelled = std::get_if<protocol::Cancelled>(&reply)) return {ErrorCode::cancelled, cancelled->text};
  return {ErrorCode::malformed, "the daemon answered with message type " + std::to_string(protocol::type_of(reply)) +
                                    ", which is no answer to this request"};
}

Client::State::Acquiring Client::State::acquire(std::string_view key, const ComputeOptions& options_of_call,
                                                const Ask& ask, const Times& times) {
  if (auto right = client_detail::check_key_given(key); !right) return {false, true, right.error()};
  Connector& here = connector_here();
  const auto held = HeldLeases::of_this_thread();

  protocol::Acquire request;
  request.key = key;
  request.may_compute = ask.may_compute;
  request.accept_stale = ask.accept_stale;
  request.refresh = ask.refresh;
  request.background = options_of_call.background;
  request.force = options_of_call.force;
  request.lease_limit_ms = static_cast<std::uint64_t>(std::max<Milliseconds::rep>(options_of_call.lease_limit.count(), 0));
  for (int attempt = 1;; ++attempt) {
    // A first attempt has its time from the call's begin; who lost a connection while waiting has it anew.
    const Deadline connected_by = (attempt == 1 ? times.begun : Clock::now()) + times.connect;
    auto attachment = here.attachment(connected_by);
    if (!attachment) return {client_detail::means_away(attachment.error().code), false, attachment.error()};
    Channel& channel = (*attachment)->channel;
    request.held = held->tokens({(*attachment)->welcome.epoch, here.identity.namespace_name});
    if (ask.session != nullptr) {
      if (auto opened = ask.session->open_over(**attachment, Clock::now() + times.answer); !opened) {
        if (!channel_is_at_fault(**attachment)) return {false, true, opened.error()};
        if (channel.silent()) here.note_silence(opened.error());
        if (channel.broken() && attempt < attempts_max) continue;
        return {true, false, opened.error()};
      }
    }
    request.wait_ms = milliseconds_until(times.until);
    const bool for_disk = request.wait_ms == 0 && times.disk.count() != 0;
    const Milliseconds for_disk_ms = std::max(times.disk, times.answer);
    // Twice our own patience, so that it is us who give up: a refusal would look like somebody else's computation.
    if (for_disk) request.load_ms = 2 * static_cast<std::uint64_t>(std::max<Milliseconds::rep>(for_disk_ms.count(), 1));
    // Who has no time left hears from the daemon that it is being read, well before its silence would mean something.
    else if (request.wait_ms == 0) request.load_ms = static_cast<std::uint64_t>(std::max<Milliseconds::rep>(times.answer.count() / 2, 1));
    requests.fetch_add(1, std::memory_order_relaxed);
    // The daemon keeps the deadline and names the holder; ours is for a daemon that does not answer.
    const Patience patience = request.wait_ms != 0      ? Patience::waiting(Milliseconds(request.wait_ms), times.answer)
                              : times.disk.count() == 0 ? Patience::until(Clock::now() + times.answer)
                                                        : patience_with_disk(times.disk, times.answer);
    auto reply = channel.call(request, patience);
    if (!reply) {
      if (channel.silent()) here.note_silence(reply.error());
      if (channel.broken() && attempt < attempts_max) continue;
      if (for_disk && !channel.broken() && !channel.silent()) return {false, false, still_read(key, for_disk_ms)};
      return {true, false, reply.error()};
    }
    if (auto* value = std::get_if<protocol::Value>(&*reply)) {
      if (value->waited) waited.fetch_add(1, std::memory_order_relaxed);
      const bool stale = value->stale;
      // It was due to be refreshed, and nobody is to do that now.
      if (ask.may_compute && !value->waited && (stale || ask.refresh)) turned_away.note(key, Clock::now());
      auto made = (*attachment)->value_of(std::move(*value), key, times.answer);
      if (made) {
        if (stale) ValueMaker::set_stale(*made);
        given(key, *made);
        return {false, true, Acquired(std::in_place_index<0>, std::move(*made))};
      }
      // Its large part could not be had: from a daemon that went in between, or goes, as without any answer.
      if (channel.silent()) here.note_silence(made.error());
      if (channel.broken() && attempt < attempts_max) continue;
      return {client_detail::means_away(made.error().code), false, made.error()};
    }
    if (const auto* lease = std::get_if<protocol::Lease>(&*reply)) {
      // At once: the daemon passes over a waiter that does not take its lease up.
      if (lease->take_up) {
        static_cast<void>(channel.post(protocol::TakeUp{lease->token}, deadline_in(options.request_timeout)));
      }
      if (lease->cause == protocol::LeaseCause::stale || lease->cause == protocol::LeaseCause::ahead) refreshes.fetch_add(1, std::memory_order_relaxed);
      const bool records = options.record_dependencies && options_of_call.record_dependencies;
      std::shared_ptr<Dependencies> dependencies;
      if (records || !options_of_call.depends_on.empty()) dependencies = std::make_shared<Dependencies>(key);
      for (const Key& upstream : options_of_call.depends_on) dependencies->declare(upstream.bytes(), version_now(upstream.bytes(), ask.session));
      held->add(here.identity.namespace_name, lease->token, this, records ? dependencies : nullptr);
      std::unique_ptr<Computation::State> computation(new Computation::State{*this, here, std::move(*attachment), lease->token, request.key, options_of_call, held,
                                                                             std::move(dependencies), ask.session == nullptr ? nullptr : ask.session->shared_from_this(),
                                                                             here.process, Clock::now()});
      return {false, true, Acquired(std::in_place_index<1>, std::move(computation))};
    }
    if (ask.session != nullptr && forgot_session(*reply) && attempt < attempts_max) {
      ask.session->forget_opened();
      continue;
    }
    Error error = client_detail::error_of(*reply);
    const bool away = error.code == ErrorCode::unavailable;  // it is shutting down
    if (away) here.note_outage(error);
    return {away, true, std::move(error)};
  }
}

Computation Client::State::local_computation(std::string_view key, const ComputeOptions& options_of_call) {
  Connector& here = connector_here();
  return Computation(std::unique_ptr<Computation::State>(
      new Computation::State{*this, here, AttachmentRef(), {}, std::string(key), options_of_call, nullptr, nullptr, nullptr, here.process, Clock::now()}));
}

}  // namespace onced
