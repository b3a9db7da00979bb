// Computations: ending what others began.
#include <algorithm>

#include <onced/protocol/session.hpp>

#include "engine/computations.hpp"
#include "engine/key_fields.hpp"

namespace onced::engine {

using protocol::LeaseEnd;
using protocol::ScopeKind;
using protocol::SignalEvent;

void Computations::cancel(Connection& from, protocol::RequestId id, const protocol::Cancel& request) {
  const std::string text = "cancelled by " + from.description;
  std::uint64_t ended = 0;
  const protocol::Scope& scope = request.scope;
  if (scope.kind == ScopeKind::key) {
    if (Entry* entry = directory_.find(scope.subject)) ended = cancel_entry(*entry, text);
  } else {
    // What is under way only: there may be far more keys. Each step may end several leases, all of one entry.
    const auto session = scope.kind == ScopeKind::session ? protocol::session_number_in(scope.subject) : std::nullopt;
    const auto& leases = leases_.all();
    for (auto at = leases.begin(); at != leases.end();) {
      const std::uint64_t counter = at->first;
      Entry& entry = *at->second.entry;
      const bool is_meant = scope.kind == ScopeKind::session ? protocol::session_in(entry.key) == session
                                                             : scope.kind == ScopeKind::everything || function_of(entry.key) == scope.subject;
      if (is_meant) ended += cancel_entry(entry, text);
      at = leases.upper_bound(counter);
    }
    std::vector<Entry*> queued;
    queues_.walk([&](const FunctionQueue& queue) {
      if (scope.kind == ScopeKind::function && queue.name != scope.subject) return;
      const auto add = [&](Entry& entry) {
        if (scope.kind != ScopeKind::session || protocol::session_in(entry.key) == session) queued.push_back(&entry);
      };
      queue.first.walk(add);
      queue.background.walk(add);
    });
    std::sort(queued.begin(), queued.end(), [](const Entry* a, const Entry* b) { return a->key < b->key; });
    for (Entry* entry : queued) ended += cancel_entry(*entry, text);
  }
  context_.send({from.id, id}, protocol::Done{ended});
}

// Returns how many computations ended: the live one and those that were detached from the key and still run, or the one that
// was queued.
std::uint64_t Computations::cancel_entry(Entry& entry, const std::string& text) {
  if (entry.session != nullptr) settle(entry);  // under a dead id there is nothing to cancel
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
    deaths_.forget(entry.key);
    catalog_.gone().remember(entry.key, Gone{GoneReason::cancelled, context_.now, text});
    signals_.emit(SignalEvent::cancelled, entry.key, entry.value ? entry.value->version : 0, 0, text);
  } else if (entry.queued) {
    queues_.leave(entry);
    answer_all(entry.waiters, [&](Waiter& waiter) { context_.send(waiter.from, protocol::Cancelled{text}); });
    ++context_.counters.cancellations;
    ++ended;
    catalog_.gone().remember(entry.key, Gone{GoneReason::cancelled, context_.now, text});
    signals_.emit(SignalEvent::cancelled, entry.key, entry.value ? entry.value->version : 0, 0, text);
  }
  directory_.may_be_unused(entry);
  return ended;
}

}  // namespace onced::engine
