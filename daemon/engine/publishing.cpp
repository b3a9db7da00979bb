// Computations: how a lease ends with a value or a failure, and values that come without a lease.
#include <algorithm>
#include <utility>

#include "engine/computations.hpp"
#include "engine/key_fields.hpp"
#include "engine/text.hpp"

namespace onced::engine {

using protocol::LeaseEnd;
using protocol::NotStored;
using protocol::SignalEvent;

namespace {

// Its parts travel beside it (Send::parts).
protocol::Value inline_value(std::uint64_t version, std::uint64_t cost_us, bool stale = false) {
  return protocol::Value{.version = version, .parts = {}, .cost_us = cost_us, .waited = true, .stale = stale};
}

// What whoever runs the daemon can do about values that have no room.
std::string_view advice_on(NotStored why) {
  switch (why) {
    case NotStored::session_full: return "a session may keep more by sessions.bytes_max and sessions.entries_max";
    case NotStored::function_full: return "a function may keep more by functions.NAME.bytes_max";
    case NotStored::upstreams_full: return "more memory does not help; fewer upstreams a value do (record_dependencies, depends_on), or fewer values that have any";
    case NotStored::too_large:
    case NotStored::not_worth_it:
    case NotStored::no_room: return "a larger segment (the setting memory) has room for more";
    case NotStored::not_said:
    case NotStored::invalidated:
    case NotStored::superseded:
    case NotStored::upstream_invalidated: break;
  }
  return "the next one who asks computes it again";
}

}  // namespace

void Computations::publish(Connection& from, protocol::RequestId id, protocol::Publish request) {
  Lease* lease = held_by(from, request.token);
  if (lease == nullptr) return refuse_token(from, id);
  if (value_is_wrong(from, id, request.parts)) return;
  Entry& entry = *lease->entry;
  directory_.may_be_unused(entry);
  const bool has_room = lease->detached || make_room_for(request.retention.depends_on);
  const Standing of_upstreams = lease->detached ? Standing::current : standing_of(entry, request.retention.depends_on, lease);
  const bool fenced = detach_if_overtaken(*lease, request.retention.tags, of_upstreams);
  const std::uint64_t cost_us = microseconds_between(lease->granted, context_.now);
  const std::uint64_t version = ++last_version_;
  SharedParts parts = std::make_shared<const std::vector<protocol::Part>>(std::move(request.parts));
  count_computation(*lease, cost_us);

  if (lease->detached) {
    ++context_.counters.detached_publishes;
    count_served(entry, cost_us, lease->waiters);
    answer_all(lease->waiters, [&](Waiter& waiter) {
      catalog_.answer_inline(waiter.from, inline_value(version, cost_us), parts);
    });
    if (!fenced && !entry.value) catalog_.gone().remember(entry.key, Gone{GoneReason::not_stored, context_.now, lease->not_kept_text, lease->not_kept});
    const protocol::Published told{version, false, lease->not_kept, std::move(lease->not_kept_text)};
    end(*lease);
    context_.send({from.id, id}, told);
    if (fenced) hand_over(entry, protocol::LeaseCause::abandoned);
    return;
  }
  directory_.set_tags(entry, request.retention.tags);

  const Kept kept = keep(entry, *parts, request.retention, {version, cost_us, from.description, false}, of_upstreams, has_room);
  const DiskTicket written = keep_on_disk(entry, kept, parts, request.retention);
  end(*lease);
  deaths_.forget(entry.key);
  answer_takers(entry, kept, version, cost_us, parts);
  const NotStored why = why_not_stored(entry, kept, has_room);
  answer_after(kept.wave, {from.id, id}, published(entry, kept, version, why), written);
  tell_kept(entry, kept, version, request.retention.retire_older, why);
  hand_over(entry, protocol::LeaseCause::abandoned);  // for those to whom it was too old
  go_on_with_waves(context_.settings.invalidated_per_step_max);
}

void Computations::put(Connection& from, protocol::RequestId id, protocol::Put request) {
  if (value_is_wrong(from, id, request.parts)) return;
  Entry& entry = directory_.obtain(request.key);
  settle(entry);
  directory_.may_be_unused(entry);
  const bool has_room = make_room_for(request.retention.depends_on);
  const Standing of_upstreams = standing_of(entry, request.retention.depends_on, nullptr);
  const std::uint64_t version = ++last_version_;
  ++context_.counters.puts;
  if (of_upstreams == Standing::condemned) {  // it came too late, and the key goes on without it
    ++context_.counters.overtaken;
    return context_.send({from.id, id}, protocol::Published{version, false, NotStored::upstream_invalidated, std::string(upstream_invalidated_text)});
  }
  SharedParts parts = std::make_shared<const std::vector<protocol::Part>>(std::move(request.parts));
  forget_failure(entry);
  directory_.set_tags(entry, request.retention.tags);
  const bool was_loading = entry.loading.has_value();
  disk_.end_load(entry);
  const Kept kept = keep(entry, *parts, request.retention, {version, 0, from.description, true}, of_upstreams, has_room);
  const DiskTicket written = keep_on_disk(entry, kept, parts, request.retention);
  deaths_.forget(entry.key);
  answer_takers(entry, kept, version, 0, parts);
  WaiterList others;  // for whom it is too old
  others.splice(others.end(), entry.waiters);
  if (entry.lease != nullptr) detach(*entry.lease, LeaseEnd::superseded, NotStored::superseded, "a value was put in its place by " + from.description + " while it was computed");
  entry.waiters.splice(entry.waiters.end(), others);
  const NotStored why = why_not_stored(entry, kept, has_room);
  answer_after(kept.wave, {from.id, id}, published(entry, kept, version, why), written);
  tell_kept(entry, kept, version, request.retention.retire_older, why);
  if (was_loading) begin_for_others(entry, protocol::LeaseCause::abandoned);
  else begin_or_line_up(entry, protocol::LeaseCause::abandoned);  // no lease has ended that would leave its place to them
  if (entry.queued) queues_.tell_again(entry);               // they have kept their place, though it is done
  go_on_with_waves(context_.settings.invalidated_per_step_max);
}

// In order of arrival: all who wait for the key; of an outdated value those to whom a stale one will do.
void Computations::answer_takers(Entry& entry, const Kept& kept, std::uint64_t version, std::uint64_t cost_us, const SharedParts& parts) {
  WaiterList takers;
  for (auto at = entry.waiters.begin(); at != entry.waiters.end();) {
    const auto waiter = at++;
    if (!kept.outdated || waiter->accept_stale) takers.splice(takers.end(), entry.waiters, waiter);
  }
  count_served(entry, cost_us, takers);
  SharedParts whole = parts;
  answer_all(takers, [&](Waiter& waiter) {
    if (kept.stored) return catalog_.answer(entry, waiter.from, true, whole);
    catalog_.answer_inline(waiter.from, inline_value(version, cost_us, kept.outdated), parts);
  });
}

void Computations::tell_kept(Entry& entry, const Kept& kept, std::uint64_t version, bool retires_older, NotStored why) {
  signals_.emit(SignalEvent::done, entry.key, version);
  if (kept.stored) {
    if (kept.outdated) signals_.emit(SignalEvent::stale, entry.key, version);
    if (retires_older) retire_older(entry);
  } else {
    note_not_stored(entry, why);
    signals_.emit(SignalEvent::evicted, entry.key, version);  // it was computed, and cannot be found
  }
}

NotStored Computations::why_not_stored(const Entry& entry, const Kept& kept, bool has_room) const {
  if (kept.stored) return NotStored::not_said;
  return has_room ? catalog_.cause_not_stored(entry) : NotStored::upstreams_full;
}

protocol::Published Computations::published(const Entry& entry, const Kept& kept, std::uint64_t version, NotStored why) const {
  return {version, kept.stored, why, kept.stored ? std::string() : catalog_.why_not_stored(entry)};
}

void Computations::fail(Connection& from, protocol::RequestId id, const protocol::Fail& request) {
  Lease* lease = held_by(from, request.token);
  if (lease == nullptr) return refuse_token(from, id);
  Entry& entry = *lease->entry;
  directory_.may_be_unused(entry);
  ++context_.counters.failures;
  const std::string text = cut(request.text, limits::text_bytes_max);
  const bool detached = lease->detached;
  answer_all(detached ? lease->waiters : entry.waiters,
             [&](Waiter& waiter) { context_.send(waiter.from, protocol::Failure{text, 0}); });
  end(*lease);
  context_.send({from.id, id}, protocol::Done{});
  if (detached) return;  // the key goes on without it
  deaths_.forget(entry.key);
  keep_failure(entry, text, failure_ttl_of(context_.settings.retention, function_of(entry.key), request.failure_ttl_ms));
  signals_.emit(SignalEvent::failed, entry.key, entry.value ? entry.value->version : 0, 0, text);
}

void Computations::detach(Lease& lease, LeaseEnd why, NotStored not_kept, std::string_view not_kept_text) {
  lose(lease, why);
  lease.not_kept = not_kept;
  lease.not_kept_text = not_kept_text;
  catalog_.set_refreshing(*lease.entry, false);
  leases_.detach(lease);
}

bool Computations::value_is_wrong(Connection& from, protocol::RequestId id, const std::vector<protocol::Part>& parts) {
  std::optional<Error> problem = problem_of(parts, context_.settings);
  if (!problem) problem = blobs_.examine(parts);
  if (!problem) return false;
  context_.refuse({from.id, id}, problem->code, std::move(problem->text));
  return true;
}

void Computations::keep_failure(Entry& entry, std::string text, Duration ttl) {
  catalog_.gone().remember(entry.key, Gone{GoneReason::failed, context_.now, text});
  if (ttl <= Duration::zero()) return;
  if (failures_.size() >= limits::failures_kept_max) forget_failure(*failures_.front());
  FailedAnswer& failure = entry.failure.emplace();
  failure.text = std::move(text);
  failure.since = context_.now;
  failure.until = context_.now + ttl;
  failure.order = failures_.insert(failures_.end(), &entry);
  timers_.set(failure.end, failure.until, FailureEnd{&entry});
  catalog_.set_refreshing(entry, true);  // nobody tries again for so long
}

void Computations::forget_failure(Entry& entry) {
  if (!entry.failure) return;
  timers_.clear(entry.failure->end);
  failures_.erase(entry.failure->order);
  entry.failure.reset();
  catalog_.set_refreshing(entry, false);
  directory_.may_be_unused(entry);
}

const FailedAnswer* Computations::failure_of(Entry& entry) {
  if (entry.failure && entry.failure->until <= context_.now) forget_failure(entry);
  return entry.failure ? &*entry.failure : nullptr;
}

void Computations::count_computation(const Lease& lease, std::uint64_t cost_us) {
  Function& function = functions_.at(lease.entry->function);
  ++function.computations;
  function.computed_us += cost_us;
  ++context_.counters.computations;
  context_.counters.computed_us += cost_us;
  context_.recent.add(function.number, {.computations = 1}, context_.now);
}

void Computations::count_served(const Entry& entry, std::uint64_t cost_us, const WaiterList& waiters) {
  if (waiters.empty()) return;
  const auto duplicates = std::count_if(waiters.begin(), waiters.end(), [](const Waiter& waiter) { return waiter.may_compute; });
  const Savings savings{.avoided = waiters.size(), .duplicates_avoided = static_cast<std::uint64_t>(duplicates),
                        .saved_us = cost_us * waiters.size()};
  Function& function = functions_.at(entry.function);
  function.waiters_served += savings.avoided;
  function.duplicates_avoided += savings.duplicates_avoided;
  function.saved_us += savings.saved_us;
  context_.counters.waiters_served += savings.avoided;
  context_.counters.duplicates_avoided += savings.duplicates_avoided;
  context_.counters.saved_us += savings.saved_us;
  context_.recent.add(entry.function, savings, context_.now);
}

// A blocked arena meets every publish.
void Computations::note_not_stored(const Entry& entry, NotStored why) {
  if (!context_.is_time_to_note(not_stored_noted_)) return;
  context_.note(Note::Level::warning, "the value of " + display(entry.key) + " could not be stored (" +
                                          std::to_string(context_.counters.stored_inline) + " so far): " + catalog_.why_not_stored(entry) +
                                          "; " + std::string(advice_on(why)));
}

}  // namespace onced::engine
