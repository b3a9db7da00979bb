// Computations: dropping what there is (L5, L6): invalidation, and older versions.
#include <algorithm>
#include <utility>

#include "engine/computations.hpp"
#include "engine/key_fields.hpp"

#include <onced/protocol/session.hpp>

namespace onced::engine {

using protocol::LeaseEnd;
using protocol::NotStored;
using protocol::ScopeKind;
using protocol::SignalEvent;

void Computations::invalidate(Connection& from, protocol::RequestId id, const protocol::Invalidate& request) {
  const protocol::Scope& scope = request.scope;
  if (scope.kind == ScopeKind::key) {
    deaths_.forget(scope.subject);
    Entry* const entry = directory_.find(scope.subject);
    if (entry != nullptr) settle(*entry);
    if (!request.soft) note_invalidated(directory_.next_stamp());
    const bool was_in_memory = entry != nullptr && entry->value;
    const Invalidated done = entry == nullptr ? Invalidated{} : invalidate_entry(*entry, from.description, request.soft);
    // Also a soft one: what is on disk is fresh until its time.
    const bool was_on_disk = !was_in_memory && disk_.may_have(scope.subject);
    const DiskTicket written = disk_.drop(scope.subject, true);
    if (was_on_disk) catalog_.gone().remember(scope.subject, Gone{GoneReason::invalidated, context_.now, from.description});
    answer_after(done.wave != 0 ? done.wave : behind_all_waves(), {from.id, id}, protocol::Done{done.value || was_on_disk ? 1U : 0U}, written);
    return go_on_with_waves(context_.settings.invalidated_per_step_max);
  }
  Invalidation invalidation{.function = std::nullopt, .function_name = {}, .to = ReplyAddress{from.id, id}, .by = from.description, .soft = request.soft};
  if (scope.kind == ScopeKind::function) {
    const Function* function = functions_.find(scope.subject);
    if (function == nullptr) {
      if (!request.soft) note_invalidated(directory_.next_stamp());  // what is under way may name such a key all the same
      return answer_after(behind_all_waves(), {from.id, id}, protocol::Done{0}, disk_.drop_label(DiskTier::Label::function, scope.subject, true));
    }
    invalidation.function = function->number;
    invalidation.function_name = scope.subject;
  }
  if (has_too_many_under_way(from, {from.id, id})) return;
  invalidation.stamp = directory_.next_stamp();
  if (!request.soft) note_invalidated(invalidation.stamp);
  if (scope.kind == ScopeKind::tag) {
    invalidation.tag = scope.subject;
    invalidation.by += " through its tag " + scope.subject;
    if (!leases_.all().empty() || disk_.loads() > 0) fences_.add(scope.subject, invalidation.stamp);
    invalidation.written = disk_.drop_label(DiskTier::Label::tag, scope.subject, true);
  } else if (scope.kind == ScopeKind::session) {
    invalidation.session = *protocol::session_number_in(scope.subject);
    deaths_.forget_if([&](std::string_view key) { return protocol::session_in(key) == invalidation.session; });
    invalidation.written = disk_.drop_in_session(invalidation.session, true);
  } else {
    deaths_.forget_if([&](std::string_view key) { return scope.kind == ScopeKind::everything || function_of(key) == scope.subject; });
    const bool all = scope.kind == ScopeKind::everything;
    invalidation.written = disk_.drop_label(all ? DiskTier::Label::everything : DiskTier::Label::function, scope.subject, true);
  }
  invalidation.last_wave = waves_.last();
  from.invalidations.insert(id);
  invalidations_.add(std::move(invalidation));
  if (invalidations_.size() == 1) go_on_invalidating();  // a small one is answered at once
}

// Invalidations and cancellations together: both are looked through by whoever comes to an entry.
bool Computations::has_too_many_under_way(const Connection& from, ReplyAddress to) {
  if (const std::size_t own = from.invalidations.size() + from.cancellations.size(); own >= context_.settings.invalidations_per_connection_max) {
    context_.refuse_for(Limit::invalidations_per_connection, to,
                        "this connection waits for the answers to " + std::to_string(own) + " invalidations and cancellations");
    return true;
  }
  if (invalidations_under_way() < context_.settings.invalidations_max) return false;
  context_.refuse_for(Limit::invalidations, to, std::to_string(invalidations_under_way()) + " invalidations and cancellations are under way");
  return true;
}

void Computations::go_on_invalidating() {
  for (std::size_t left = context_.settings.invalidated_per_step_max; !invalidations_.empty();) {
    Invalidation& first = invalidations_.front();
    Entry* entry = oldest_of(first);
    if (entry == nullptr || entry->stamp >= first.stamp) {
      if (!waves_.is_over(first.last_wave)) {
        if (left == 0) return;
        go_on_with_waves(std::exchange(left, 0));
        continue;
      }
      if (!first.soft) invalidated_at_ = directory_.next_stamp();  // until now it could be read
      if (first.to) {
        connections_.at(first.to->connection).invalidations.erase(first.to->id);
        disk_.answer(first.written, *first.to, protocol::Done{first.values});
      } else {
        disk_.forget(first.written);
      }
      invalidations_.pop_front();
      continue;
    }
    if (left == 0) return;
    left -= std::min(left, 1 + entry->waiters.size());
    settle(*entry);
  }
}

Entry* Computations::oldest_of(const Invalidation& one) {
  if (one.tag) return directory_.oldest_with(*one.tag);
  if (one.session != 0) return directory_.oldest_in(one.session);
  return one.function ? directory_.oldest_of(*one.function) : directory_.oldest();
}

// What is under way may have read it, or may do so until it is dropped.
void Computations::note_invalidated(std::uint64_t stamp) {
  invalidated_at_ = stamp;
  invalidated_up_to_ = last_version_;
}

// A computation whose value turns out to have a tag that was invalidated since it began, or to have been made from what was, is no longer
// the key's. Those who had asked by then get its value; the others go on waiting for the key.
bool Computations::detach_if_overtaken(Lease& lease, const std::vector<std::string>& tags, Standing of_upstreams) {
  if (lease.detached) return false;
  const bool condemned = of_upstreams == Standing::condemned;
  const auto fence = condemned ? TagFences::Fence{lease.stamp + 1, {}} : fences_.of(tags, lease.stamp);
  if (!fence) return false;
  context_.counters.overtaken += condemned ? 1U : 0U;
  Entry& entry = *lease.entry;
  const std::string why = condemned                ? std::string(upstream_invalidated_text)
                          : fence->tag.empty() ? "tags were invalidated while it was computed, and by now it is forgotten which"
                                               : "its tag " + fence->tag + " was invalidated while it was computed";
  detach(lease, LeaseEnd::invalidated, condemned ? NotStored::upstream_invalidated : NotStored::invalidated, why);
  for (auto at = lease.waiters.begin(); at != lease.waiters.end();) {
    const auto waiter = at++;
    if (waiter->stamp < fence->stamp) continue;
    waiter->detached = nullptr;
    entry.waiters.splice(entry.waiters.end(), lease.waiters, waiter);
  }
  catalog_.gone().remember(entry.key, Gone{GoneReason::not_stored, context_.now, why, lease.not_kept});
  signals_.emit(SignalEvent::abandoned, entry.key, entry.value ? entry.value->version : 0, 0, "invalidated");
  return true;
}

// Does to an entry what the invalidations and cancellations under way will do to it, in the order in which they came; afterwards all it has
// is newer than them.
void Computations::settle(Entry& entry) {
  const bool fenced = leave_generation(entry);
  if (!fenced && (invalidations_.empty() || entry.stamp == directory_.stamp())) return end_cancelled(entry);
  for (Invalidation& one : invalidations_.all()) {
    if (!invalidations_.is_due(one, entry)) continue;
    end_cancelled(entry, one.stamp);
    const Invalidated done = invalidate_entry(entry, one.by, one.soft);
    one.values += done.value ? 1U : 0U;
    if (done.wave != 0) {
      one.last_wave = done.wave;
      waves_.at(done.wave).invalidation = one.stamp;
    }
    if (!one.soft) break;  // nothing is left for the others
  }
  end_cancelled(entry);
  directory_.may_be_unused(entry);
  directory_.restamp(entry);
}

// Returns whether a value was dropped, or made stale. Later requests start anew; those who wait already still get what is
// being computed.
Computations::Invalidated Computations::invalidate_entry(Entry& entry, const std::string& by, bool soft) {
  deaths_.forget(entry.key);  // also here: only the entries say which keys a tag concerns
  if (entry.loading) entry.loading->is_void = true;  // who waits for it gets a lease when it has ended, or waits on
  if (soft) return soften_entry(entry, by);
  directory_.clear_tags(entry);
  const std::uint64_t wave = condemn(entry, by);
  if (!entry.value && entry.lease == nullptr && !entry.failure) return {false, wave};
  const std::uint64_t version = entry.value ? entry.value->version : 0;
  const bool had_value = entry.value.has_value();
  if (had_value) catalog_.drop(entry, GoneReason::invalidated, by);
  if (entry.lease != nullptr) detach_invalidated(*entry.lease, by);
  forget_failure(entry);
  signals_.emit(SignalEvent::invalidated, entry.key, version);
  context_.counters.invalidations += had_value ? 1U : 0U;
  return {had_value, wave};
}

void Computations::detach_invalidated(Lease& lease, const std::string& by) {
  detach(lease, LeaseEnd::invalidated, NotStored::invalidated, "its key was invalidated by " + by + " while it was computed");
}

// For subscribers the computation is over: what it brings is not the key's.
Computations::Invalidated Computations::soften_entry(Entry& entry, const std::string& by) {
  forget_failure(entry);
  if (entry.lease != nullptr) {
    detach_invalidated(*entry.lease, by);
    signals_.emit(SignalEvent::abandoned, entry.key, entry.value ? entry.value->version : 0, 0, "invalidated");
  }
  if (entry.value) entry.value->outdated = true;
  const bool changed = entry.value && catalog_.make_stale(entry);
  if (entry.value && entry.value->softened == nullptr) entry.value->softened = std::make_unique<Softened>(Softened{context_.now, by, changed});
  Derivation* const latest = entry.derivations == nullptr ? nullptr : entry.derivations->latest;
  const std::uint64_t wave = entry.derivations == nullptr ? 0 : latest == nullptr ? await_waves(entry) : outdate(*latest, "was invalidated softly by " + by);
  if (!entry.value && entry.derivations == nullptr) directory_.clear_tags(entry);
  context_.counters.soft_invalidations += changed ? 1U : 0U;
  return {changed, wave};
}

std::size_t Computations::go_on() {
  go_on_cancelling();
  go_on_with_waves(context_.settings.invalidated_per_step_max);
  go_on_invalidating();
  std::size_t most = context_.settings.invalidated_per_step_max;
  while (most > 0 && !retirements_.empty()) {
    most -= retire_some(retirements_.front(), most);
    if (retirements_.front().left == 0) retirements_.pop_front();
  }
  return most;
}

// The newer value is stored. What does not go in this step goes in the next turns.
void Computations::retire_older(Entry& newer) {
  Retirement retirement{std::string(newer.key), newer.family, newer.value->version, directory_.versions().family_size(newer)};
  if (retirement.left == 1) return;  // itself
  std::erase_if(retirements_, [&](const Retirement& other) { return other.family == newer.family; });
  retire_some(retirement, context_.settings.invalidated_per_step_max);
  if (retirement.left > 0) retirements_.push_back(std::move(retirement));
}

// A computation of another version goes on, and what it brings is kept: somebody still runs that version.
std::size_t Computations::retire_some(Retirement& retirement, std::size_t most) {
  const std::size_t count = std::min(most, retirement.left);
  Entry& newer = directory_.obtain(retirement.key);  // its value may have gone again
  directory_.versions().examine(newer, count, [&](Entry& older) {
    settle(older);
    const std::string_view name = version_of(newer.key);
    const auto supersede_older = [&] {
      supersede(older, "was superseded by " + (name.empty() ? std::string("a value without a version") : "version " + std::string(name)));
    };
    if (!older.value) {  // what hangs on it is as old, whether it is in memory or went from there
      const Derivation* const latest = older.derivations == nullptr ? nullptr : older.derivations->latest;
      if (latest != nullptr && latest->version <= retirement.version) supersede_older();
      return;
    }
    if (older.value->version > retirement.version) return;
    const std::uint64_t version = older.value->version;
    catalog_.drop(older, GoneReason::superseded, name.empty() ? std::string("no version") : "version " + std::string(name));
    supersede_older();
    ++context_.counters.older_versions_dropped;
    signals_.emit(SignalEvent::evicted, older.key, version);
  });
  retirement.left -= count;
  return count;
}

}  // namespace onced::engine
