// Computations: ending what others began. Invalidation detaches (L5), cancelling ends.
#include <utility>

#include "engine/computations.hpp"
#include "engine/key_fields.hpp"

namespace onced::engine {

using protocol::LeaseEnd;
using protocol::ScopeKind;
using protocol::SignalEvent;

void Computations::invalidate(Connection& from, protocol::RequestId id, const protocol::Invalidate& request) {
  std::uint64_t values = 0;
  const auto drop = [&](Entry& entry) {
    values += invalidate_entry(entry, from.description) ? 1U : 0U;
    return true;
  };
  switch (request.scope.kind) {
    case ScopeKind::key:
      if (Entry* entry = directory_.find(request.scope.subject)) drop(*entry);
      break;
    case ScopeKind::function: directory_.walk_function(request.scope.subject, drop); break;
    case ScopeKind::everything: directory_.walk_all(drop); break;
  }
  context_.counters.invalidations += values;
  context_.send({from.id, id}, protocol::Done{values});
}

// Returns whether there was a value. Later requests start anew; those who wait already still get what is being computed.
bool Computations::invalidate_entry(Entry& entry, const std::string& by) {
  if (!entry.value && entry.lease == nullptr && !entry.failure) return false;
  const std::uint64_t version = entry.value ? entry.value->version : 0;
  const bool had_value = entry.value.has_value();
  if (had_value) catalog_.drop(entry, GoneReason::invalidated, by);
  if (entry.lease != nullptr) detach(*entry.lease, LeaseEnd::invalidated);
  forget_failure(entry);
  entry.holder_deaths = 0;
  signals_.emit(SignalEvent::invalidated, entry.key, version);
  return had_value;
}

void Computations::cancel(Connection& from, protocol::RequestId id, const protocol::Cancel& request) {
  const std::string text = "cancelled by " + from.description;
  std::uint64_t ended = 0;
  switch (request.scope.kind) {
    case ScopeKind::key:
      if (Entry* entry = directory_.find(request.scope.subject)) ended += cancel_entry(*entry, text);
      break;
    case ScopeKind::function:
      directory_.walk_function(request.scope.subject, [&](Entry& entry) {
        ended += cancel_entry(entry, text);
        return true;
      });
      break;
    case ScopeKind::everything:
      while (!leases_.all().empty()) ended += cancel_entry(*leases_.all().begin()->second.entry, text);
      break;
  }
  context_.send({from.id, id}, protocol::Done{ended});
}

// Returns how many computations ended: the live one and those that were detached from the key and still run.
std::uint64_t Computations::cancel_entry(Entry& entry, const std::string& text) {
  std::uint64_t ended = 0;
  const auto cancel_one = [&](Lease& lease, WaiterList& waiters) {
    lose(lease, LeaseEnd::cancelled);
    answer_all(waiters, [&](Waiter& waiter) { context_.send(waiter.from, protocol::Cancelled{text}); });
    end(lease);
    ++context_.counters.cancellations;
    ++ended;
  };
  while (!entry.detached.empty()) cancel_one(*entry.detached.front(), entry.detached.front()->waiters);
  if (entry.lease != nullptr) {
    cancel_one(*entry.lease, entry.waiters);
    entry.holder_deaths = 0;
    catalog_.gone().remember(entry.key, Gone{GoneReason::cancelled, context_.now, text});
    signals_.emit(SignalEvent::cancelled, entry.key, entry.value ? entry.value->version : 0, 0, text);
  }
  directory_.may_be_unused(entry);
  return ended;
}

}  // namespace onced::engine
