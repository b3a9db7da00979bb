#include "engine/computations.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/key_fields.hpp"
#include "engine/text.hpp"

namespace onced::engine {

using protocol::LeaseCause;
using protocol::LeaseEnd;
using protocol::SignalEvent;

Computations::Computations(Context& context, Connections& connections, Directory& directory, FunctionTable& functions,
                           Catalog& catalog, SignalHub& signals, Blobs& blobs, DiskValues& disk)
    : context_(context), connections_(connections), directory_(directory), functions_(functions), catalog_(catalog),
      signals_(signals), blobs_(blobs), disk_(disk), leases_(context.settings.epoch, timers_), invalidations_(functions), fences_(context.hash), queues_(context.settings, context.hash),
      waves_(directory.dependencies()), deaths_(context.settings, context.hash) {}

// ---- asking ---------------------------------------------------------------------------------------------------------

void Computations::acquire(Connection& from, protocol::RequestId id, protocol::Acquire request) {
  const ReplyAddress to{from.id, id};
  Entry& entry = directory_.obtain(request.key);
  Function& function = functions_.at(entry.function);
  ++function.calls;
  settle(entry);
  catalog_.catch_up(entry);
  if (entry.value && !request.force && (entry.value->stretch != Stretch::stale || request.accept_stale)) {
    if (is_to_refresh(entry, from, request) && queues_.has_room(function_of(entry.key))) {
      const bool stale = entry.value->stretch == Stretch::stale;
      return grant(entry, from, id, lease_limit_of(request), stale ? LeaseCause::stale : LeaseCause::ahead);
    }
    ++function.hits;
    function.saved_us += entry.value->cost_us;
    ++context_.counters.hits;
    context_.counters.saved_us += entry.value->cost_us;
    context_.recent.add(entry.function, {.avoided = 1, .saved_us = entry.value->cost_us}, context_.now);
    context_.counters.stale_answers += entry.value->stretch == Stretch::stale ? 1U : 0U;
    catalog_.touch(entry);
    SharedParts parts;
    return catalog_.answer(entry, to, false, parts);
  }
  if (is_to_load(entry, request)) return wait_for_load(entry, from, id, std::move(request));
  ++function.misses;
  ++context_.counters.misses;
  if (const FailedAnswer* failure = failure_of(entry); failure != nullptr && !request.force)
    return context_.send(to, protocol::Failure{failure->text, milliseconds_between(failure->since, context_.now)});

  keep_own(request.held, from);
  if (entry.lease != nullptr) {
    if (auto problem = circle_of(request.held, *entry.lease)) return context_.refuse(to, problem->code, std::move(problem->text));
    if (request.wait_ms == 0)
      return context_.refuse(to, ErrorCode::timed_out, holder_text(*entry.lease) + "; the request was not to wait for it");
    return queue(entry, from, id, std::move(request));
  }
  if (request.may_compute && may_begin(entry, is_nested(request))) {
    if (const auto problem = too_much_under_way(from, entry.key.size())) return context_.refuse_for(problem->limit, to, problem->text);
    LeaseCause cause = LeaseCause::absent;
    if (entry.value) cause = request.force ? LeaseCause::forced : LeaseCause::stale;
    return grant(entry, from, id, lease_limit_of(request), cause);
  }
  if (request.wait_ms == 0 && (request.may_compute || entry.queued))
    return context_.refuse(to, ErrorCode::timed_out, holder_text(entry) + "; the request was not to wait for it");
  if (request.wait_ms == 0)
    return context_.refuse(to, ErrorCode::not_found, "nobody has computed " + display(entry.key) + " and nobody is computing it");
  queue(entry, from, id, std::move(request));
}

// Why whoever holds these must not wait for that one (L7); counted, for it is refused.
std::optional<Error> Computations::circle_of(const std::vector<protocol::Token>& held, const Lease& lease) {
  auto problem = graph_.check(held, lease, [this](const Lease& awaited) { return is_ending(awaited); });
  if (problem) ++(problem->code == ErrorCode::recursion ? context_.counters.recursions : context_.counters.deadlocks);
  return problem;
}

// Of an entry whose value would do: whether this caller gets the lease instead, to replace it. One at a time; nobody while
// an attempt that failed is remembered; and a value that would do is not withheld from who has too much under way.
bool Computations::is_to_refresh(Entry& entry, const Connection& from, const protocol::Acquire& request) {
  const bool is_wanted = entry.value->stretch == Stretch::stale || (entry.value->stretch == Stretch::early && request.refresh);
  return is_wanted && request.may_compute && entry.lease == nullptr && failure_of(entry) == nullptr &&
         !too_much_under_way(from, entry.key.size());
}

Duration Computations::lease_limit_of(const protocol::Acquire& request) const {
  return request.lease_limit_ms != 0 ? duration_of_ms(request.lease_limit_ms) : context_.settings.lease_limit_default;
}

void Computations::queue(Entry& entry, Connection& from, protocol::RequestId id, protocol::Acquire request) {
  if (entry.waiters.size() >= context_.settings.waiters_per_key_max) {
    return context_.refuse_for(Limit::waiters_per_key, {from.id, id}, std::to_string(entry.waiters.size()) + " requests wait for this key already");
  }
  if (const auto problem = too_much_under_way(from, entry.key.size() + request.held.size() * sizeof(protocol::Token)))
    return context_.refuse_for(problem->limit, {from.id, id}, problem->text);

  const auto self = entry.waiters.emplace(entry.waiters.end());
  Waiter& waiter = *self;
  waiter.number = ++last_waiter_;
  waiter.from = {from.id, id};
  waiter.entry = &entry;
  waiter.may_compute = request.may_compute;
  waiter.accept_stale = request.accept_stale && !request.force;
  waiter.forced = request.force;
  waiter.background = request.background;
  waiter.nested = is_nested(request);
  waiter.lease_limit = lease_limit_of(request);
  waiter.held = std::move(request.held);
  waiter.stamp = directory_.stamp();
  waiter.since = context_.now;
  waiter.self = self;
  timers_.set(waiter.deadline, context_.now + duration_of_ms(request.wait_ms), WaitDeadline{&waiter});
  graph_.add(waiter);
  from.waits.emplace(id, &waiter);
  charge(from, waiter.bytes());
  ++waiting_;
  if (entry.lease == nullptr && !entry.loading) line_up(entry, waiter);
}

// Waits and leases together: every wait may become a lease, which counts for no more than the wait did.
std::optional<Computations::TooMuch> Computations::too_much_under_way(const Connection& from, std::size_t more_bytes) const {
  const Settings& settings = context_.settings;
  const auto bytes_text_of = [&](std::size_t bytes) {
    return std::to_string(bytes) + " bytes of keys under way, this request adds " + std::to_string(more_bytes);
  };
  if (from.waits.size() + from.leases.size() >= settings.requests_in_flight_per_connection_max) {
    return TooMuch{Limit::requests_in_flight_per_connection, "this connection has " + std::to_string(from.waits.size()) +
                                                                 " requests that wait and " + std::to_string(from.leases.size()) + " leases"};
  }
  if (from.under_way_bytes + more_bytes > settings.under_way_bytes_per_connection_max)
    return TooMuch{Limit::under_way_bytes_per_connection, "this connection has " + bytes_text_of(from.under_way_bytes)};
  if (under_way_bytes_ + more_bytes > settings.under_way_bytes_max)
    return TooMuch{Limit::under_way_bytes, "all connections together have " + bytes_text_of(under_way_bytes_)};
  return std::nullopt;
}

void Computations::charge(Connection& connection, std::size_t bytes) {
  connection.under_way_bytes += bytes;
  under_way_bytes_ += bytes;
}

void Computations::discharge(Connection& connection, std::size_t bytes) {
  connection.under_way_bytes -= bytes;
  under_way_bytes_ -= bytes;
}

void Computations::withdraw(Connection& from, const protocol::Withdraw& request) {
  const auto found = from.waits.find(request.target);
  if (found == from.waits.end()) return end_unwanted_lease(from, request.target);
  Waiter& waiter = *found->second;
  WaiterList& list = waiter.detached != nullptr ? waiter.detached->waiters : waiter.entry->waiters;
  take_out(waiter);
  list.erase(waiter.self);
}

// The answer was sent before the withdrawal was read. A lease is not waited for: who has withdrawn may read nothing for long.
void Computations::end_unwanted_lease(Connection& from, protocol::RequestId acquire) {
  for (const std::uint64_t counter : from.leases) {
    Lease* lease = leases_.find({context_.settings.epoch, counter});
    if (lease->holder.id == acquire) return end_without_result(*lease, EndedBy::abandon);
  }
}

void Computations::take_out(Waiter& waiter) {
  timers_.clear(waiter.deadline);
  graph_.remove(waiter);
  Connection& connection = connections_.at(waiter.from.connection);
  connection.waits.erase(waiter.from.id);
  discharge(connection, waiter.bytes());
  directory_.may_be_unused(*waiter.entry);
  if (waiter.entry->queued && (left_by_waiters_.empty() || left_by_waiters_.back() != waiter.entry)) left_by_waiters_.push_back(waiter.entry);
  --waiting_;
}

void Computations::refuse_waiter(Waiter& waiter, Error error) {
  WaiterList& list = waiter.detached != nullptr ? waiter.detached->waiters : waiter.entry->waiters;
  take_out(waiter);
  context_.refuse(waiter.from, error.code, std::move(error.text));
  list.erase(waiter.self);
}

void Computations::time_out(Waiter& waiter) {
  ++context_.counters.wait_timeouts;
  const std::string waited = "waited " + duration_text(context_.now - waiter.since) + "; ";
  refuse_waiter(waiter, Error{ErrorCode::timed_out,
                              waited + (waiter.detached != nullptr ? holder_text(*waiter.detached) : holder_text(*waiter.entry))});
}

std::string Computations::holder_text(const Lease& lease) const {
  std::string text = lease.holder_name + " has been computing " + display(lease.entry->key) + " for " +
                     duration_text(context_.now - lease.granted);
  if (!std::isnan(lease.fraction)) text += ", " + std::to_string(static_cast<int>(lease.fraction * 100)) + " % done";
  return text;
}

// ---- holding --------------------------------------------------------------------------------------------------------

void Computations::grant(Entry& entry, Connection& holder, protocol::RequestId id, Duration limit, LeaseCause cause, bool has_waited) {
  forget_failure(entry);
  if (entry.queued) queues_.leave(entry);
  Lease& lease = leases_.create(entry, holder, id);
  note_leases();
  queues_.begun(lease);
  ++functions_.at(entry.function).running;
  charge(holder, lease.bytes());
  lease.granted = context_.now;
  lease.limit = limit;
  lease.stamp = directory_.stamp();
  timers_.set(lease.limit_timer, context_.now + limit, LeaseLimit{&lease});
  catalog_.set_refreshing(entry, true);
  ++context_.counters.grants;
  ++context_.counters.grants_by_cause[static_cast<std::size_t>(cause)];
  if (has_waited) {  // it may be busy with something else by now, or stopped
    lease.taken_up = false;
    timers_.set(lease.take_up_timer, context_.now + context_.settings.take_up_deadline, TakeUpDeadline{&lease});
  }
  context_.send(lease.holder,
                protocol::Lease{.token = lease.token,
                                .limit_ms = static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(limit).count()),
                                .take_up = has_waited,
                                .cause = cause});
  signals_.emit(SignalEvent::started, entry.key, entry.value ? entry.value->version : 0);
}

void Computations::end(Lease& lease) {
  Connection& holder = connections_.at(lease.holder.connection);
  discharge(holder, lease.bytes());
  if (!lease.detached) catalog_.set_refreshing(*lease.entry, false);
  queues_.ended(lease);
  --functions_.at(lease.entry->function).running;
  leases_.erase(lease, holder);
  note_leases();
  forget_fences();
}

void Computations::forget_fences() {
  std::uint64_t oldest = leases_.all().empty() ? directory_.stamp() : leases_.all().begin()->second.stamp;
  if (const auto load = disk_.oldest_stamp()) oldest = std::min(oldest, *load);
  fences_.forget_up_to(oldest);
}

void Computations::note_leases() {
  const auto& all = leases_.all();
  if (all.empty()) return directory_.dependencies().under_way(0, 0, 0);
  directory_.dependencies().under_way(all.size(), all.begin()->first, all.rbegin()->first);
}

Lease* Computations::held_by(Connection& from, const protocol::Token& token) {
  Lease* lease = leases_.find(token);
  if (lease == nullptr || lease->holder.connection != from.id) return nullptr;
  settle(*lease->entry);  // an invalidation that is under way may have detached it, a cancellation or its session's end have ended it
  return leases_.find(token);
}

void Computations::refuse_token(Connection& from, protocol::RequestId id) {
  ++context_.counters.tokens_refused;
  context_.refuse({from.id, id}, ErrorCode::unknown_token,
                  "this lease is not held any more: it ended, was cancelled, or went to another worker; the value is not kept");
}

void Computations::take_up(Connection& from, const protocol::TakeUp& request) {
  Lease* lease = held_by(from, request.token);
  if (lease == nullptr) return;  // too late: it was told LeaseLost
  lease->taken_up = true;
  timers_.clear(lease->take_up_timer);
}

void Computations::progress(Connection& from, protocol::Progress request) {
  Lease* lease = held_by(from, request.token);
  if (lease == nullptr) return;
  take_up(from, protocol::TakeUp{request.token});  // who reports progress works on it
  lease->fraction = request.fraction >= 0 && request.fraction <= 1 ? request.fraction : std::numeric_limits<double>::quiet_NaN();
  discharge(from, lease->bytes());
  lease->progress = cut(request.text, limits::text_bytes_max);
  if (from.under_way_bytes + lease->bytes() > context_.settings.under_way_bytes_per_connection_max) lease->progress.clear();
  charge(from, lease->bytes());
  if (lease->detached) return;
  const Entry& entry = *lease->entry;
  signals_.emit(SignalEvent::progress, entry.key, entry.value ? entry.value->version : 0, lease->fraction, lease->progress);
}

void Computations::abandon(Connection& from, protocol::RequestId id, const protocol::Abandon& request) {
  Lease* lease = held_by(from, request.token);
  if (lease == nullptr) return refuse_token(from, id);
  context_.send({from.id, id}, protocol::Done{});
  end_without_result(*lease, EndedBy::abandon);
}

void Computations::lose(const Lease& lease, LeaseEnd why) {
  if (connections_.at(lease.holder.connection).gone) return;
  context_.send(lease.holder, protocol::LeaseLost{lease.token, why});
}

// ---- going away -----------------------------------------------------------------------------------------------------

void Computations::process_gone(Connection& connection) {
  connections_.set_gone(connection);
  for (Wave& wave : waves_.all())
    if (wave.reply_to && wave.reply_to->connection == connection.id) wave.reply_to.reset();
  connection.held_back.clear();
  for (Invalidation& one : invalidations_.all())
    if (one.to && one.to->connection == connection.id) one.to.reset();  // it goes on: it was accepted
  connection.invalidations.clear();
  for (Cancellation& one : cancellations_.all())
    if (one.to && one.to->connection == connection.id) one.to.reset();
  connection.cancellations.clear();
  while (!connection.waits.empty()) withdraw(connection, protocol::Withdraw{connection.waits.begin()->first});
  while (!connection.leases.empty()) {
    Lease* lease = leases_.find({context_.settings.epoch, *connection.leases.begin()});
    end_without_result(*lease, EndedBy::holder_death);
  }
}

void Computations::drain() {
  for (Invalidation& one : invalidations_.all()) {
    if (!one.to) continue;
    connections_.at(one.to->connection).invalidations.erase(one.to->id);
    context_.refuse(*one.to, ErrorCode::unavailable, context_.draining_why + "; what has not been dropped yet goes with it");
    one.to.reset();
  }
  for (Cancellation& one : cancellations_.all()) {
    if (!one.to) continue;
    connections_.at(one.to->connection).cancellations.erase(one.to->id);
    context_.refuse(*one.to, ErrorCode::unavailable, context_.draining_why + "; what has not been ended yet ends with it");
    one.to.reset();
  }
  for (Wave& wave : waves_.all()) give_held_back(wave);
  for (auto& [id, connection] : connections_.all())
    while (!connection.waits.empty())
      refuse_waiter(*connection.waits.begin()->second, Error{ErrorCode::unavailable, context_.draining_why});
}

// ---- deadlines ------------------------------------------------------------------------------------------------------

void Computations::run_deadlines() {
  struct Act {
    Computations& self;
    void operator()(WaitDeadline due) const { self.time_out(*due.waiter); }
    void operator()(LeaseLimit due) const {
      self.context_.note(Note::Level::warning, self.holder_text(*due.lease) + ": its limit has passed");
      self.end_without_result(*due.lease, EndedBy::limit);
    }
    void operator()(TakeUpDeadline due) const { self.end_without_result(*due.lease, EndedBy::not_taken_up); }
    void operator()(FailureEnd due) const { self.forget_failure(*due.entry); }
  };
  for (std::size_t done = 0; done < deadlines_per_step_max; ++done) {
    const std::optional<Deadline> due = timers_.due(context_.now);
    if (!due) return;
    std::visit(Act{*this}, *due);
  }
}

}  // namespace onced::engine
