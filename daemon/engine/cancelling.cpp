// Computations: ending what others began (cancellations.hpp).
#include <algorithm>
#include <utility>

#include "engine/computations.hpp"

namespace onced::engine {

using protocol::LeaseEnd;
using protocol::ScopeKind;
using protocol::SignalEvent;

void Computations::cancel(Connection& from, protocol::RequestId id, const protocol::Cancel& request) {
  const ReplyAddress to{from.id, id};
  const std::string text = "cancelled by " + from.description;
  if (request.scope.kind == ScopeKind::key) {
    Entry* const entry = directory_.find(request.scope.subject);
    if (entry != nullptr) settle(*entry);
    return context_.send(to, protocol::Done{entry == nullptr ? 0 : end_computations(*entry, text)});
  }
  if (has_too_many_under_way(from, to)) return;
  from.cancellations.insert(id);
  cancellations_.add({.leases = leases_.last(), .places = queues_.last_place(), .waiters = last_waiter_, .stamp = directory_.stamp(),
                      .scope = request.scope, .to = to, .text = text});
  if (cancellations_.size() == 1) go_on_cancelling();  // a small one is answered at once
}

void Computations::go_on_cancelling() {
  for (std::size_t left = context_.settings.invalidated_per_step_max; !cancellations_.empty(); cancellations_.pop_front()) {
    Cancellation& first = cancellations_.front();
    if (!carry_out(first, left)) return;
    if (!first.to) continue;
    connections_.at(first.to->connection).cancellations.erase(first.to->id);
    context_.send(*first.to, protocol::Done{first.ended});
  }
}

// As far as what is left of a step's share goes: each look counts, and everybody who is told. True: nothing that it means is left.
bool Computations::carry_out(Cancellation& one, std::size_t& left) {
  const auto look_at = [&](Entry& entry) {
    --left;
    if (!cancellations_.first_is_due(entry)) return;
    left -= std::min(left, waiters_of(entry));
    settle(entry);
  };
  const auto& leases = leases_.all();
  for (auto at = leases.upper_bound(one.last_lease); at != leases.end() && at->first <= one.leases; at = leases.upper_bound(one.last_lease)) {
    if (left == 0) return false;
    one.last_lease = at->first;
    look_at(*at->second.entry);
  }
  const auto& places = queues_.places();
  for (auto at = places.upper_bound(one.last_place); at != places.end() && at->first <= one.places; at = places.upper_bound(one.last_place)) {
    if (left == 0) return false;
    one.last_place = at->first;
    look_at(*at->second);
  }
  return true;
}

void Computations::end_cancelled(Entry& entry, std::uint64_t before) {
  if (Cancellation* const one = cancellations_.due(entry, before)) one->ended += end_computations(entry, one->text);
}

// Returns how many computations ended: the live one and those that were detached from the key and still run, or the one that
// was queued.
std::uint64_t Computations::end_computations(Entry& entry, const std::string& text) {
  std::uint64_t ended = 0;
  const auto tell = [&](Waiter& waiter) { context_.send(waiter.from, protocol::Cancelled{text}); };
  const auto end_one = [&](Lease& lease, WaiterList& waiters) {
    lose(lease, LeaseEnd::cancelled);
    answer_all(waiters, tell);
    end(lease);
    ++ended;
  };
  while (!entry.detached.empty()) end_one(*entry.detached.front(), entry.detached.front()->waiters);
  const bool was_computed = entry.lease != nullptr;
  const bool was_queued = entry.queued.has_value();
  if (was_computed) {
    end_one(*entry.lease, entry.waiters);
    deaths_.forget(entry.key);
  } else if (was_queued) {
    queues_.leave(entry);
    answer_all(entry.waiters, tell);
    ++ended;
  }
  if (was_computed || was_queued) {
    catalog_.gone().remember(entry.key, Gone{GoneReason::cancelled, context_.now, text});
    signals_.emit(SignalEvent::cancelled, entry.key, entry.value ? entry.value->version : 0, 0, text);
  }
  context_.counters.cancellations += ended;
  directory_.may_be_unused(entry);
  return ended;
}

// It is cancelled, or under an id of a session that is dead, and nobody has come to it yet.
bool Computations::is_ending(const Lease& lease) const {
  const Entry& entry = *lease.entry;
  return cancellations_.due(entry) != nullptr || (entry.session != nullptr && entry.generation != entry.session->generation);
}

std::size_t Computations::waiters_of(const Entry& entry) {
  std::size_t waiters = entry.waiters.size();
  for (const Lease* lease : entry.detached) waiters += lease->waiters.size();
  return waiters;
}

}  // namespace onced::engine
