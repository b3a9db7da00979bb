// Computations: what holds between any two steps.
#include <algorithm>

#include "engine/computations.hpp"

namespace onced::engine {

void Computations::check_invariants() const {
  std::size_t waiting = 0;
  std::size_t failures = 0;
  const auto check_waiter = [&](const Waiter& waiter, const Entry& entry, const Lease* detached) {
    ++waiting;
    ONCED_ASSERT(waiter.entry == &entry && waiter.detached == detached && waiter.deadline.is_set());
    const Connection& connection = connections_.at(waiter.from.connection);
    const auto wait = connection.waits.find(waiter.from.id);
    ONCED_ASSERT(wait != connection.waits.end() && wait->second == &waiter && !connection.gone);
  };
  const auto in_order = [](const WaiterList& list) {
    return std::is_sorted(list.begin(), list.end(), [](const Waiter& a, const Waiter& b) { return a.number < b.number; });
  };
  directory_.walk_all([&](const Entry& entry) {
    ONCED_ASSERT(!entry.unused() && in_order(entry.waiters));
    ONCED_ASSERT(!entry.failure || entry.lease == nullptr);
    ONCED_ASSERT(!entry.value || entry.value->refreshing == (entry.lease != nullptr || entry.failure));
    failures += entry.failure ? 1U : 0U;
    for (const Waiter& waiter : entry.waiters) {
      check_waiter(waiter, entry, nullptr);
      ONCED_ASSERT(!waiter.may_compute || entry.lease != nullptr || entry.queued || entry.loading);  // or nobody would ever answer it
      ONCED_ASSERT(!waiter.for_load || entry.loading);
    }
    ONCED_ASSERT(!entry.loading || (!entry.value && entry.lease == nullptr && !entry.queued && disk_.takes(entry.key)));
    check_queue_of(entry);
  });
  std::size_t live = 0;
  std::size_t held = 0;
  for (const auto& [counter, lease] : leases_.all()) {
    const Connection& holder = connections_.at(lease.holder.connection);
    ONCED_ASSERT(holder.leases.contains(counter) && !holder.gone);
    ONCED_ASSERT(lease.token.counter == counter && lease.limit_timer.is_set());
    ONCED_ASSERT(lease.taken_up != lease.take_up_timer.is_set());
    ONCED_ASSERT(lease.detached ? lease.entry->lease != &lease : lease.entry->lease == &lease);
    ONCED_ASSERT(lease.detached || lease.waiters.empty());
    ONCED_ASSERT(in_order(lease.waiters));
    for (const Waiter& waiter : lease.waiters) check_waiter(waiter, *lease.entry, &lease);
    live += lease.detached ? 0U : 1U;
  }
  check_queues();
  check_cancellations();
  std::size_t waits = 0;
  std::size_t invalidating = 0;
  std::size_t under_way_bytes = 0;
  for (const auto& [id, connection] : connections_.all()) {
    held += connection.leases.size();
    waits += connection.waits.size();
    invalidating += connection.invalidations.size();
    std::size_t bytes = 0;
    for (const auto& [request, waiter] : connection.waits) bytes += waiter->bytes();
    for (const std::uint64_t counter : connection.leases) bytes += leases_.all().at(counter).bytes();
    ONCED_ASSERT(bytes == connection.under_way_bytes);
    under_way_bytes += bytes;
  }
  std::uint64_t stamp = 0;
  for (const Invalidation& one : invalidations_.all()) {
    ONCED_ASSERT(one.stamp > stamp && one.stamp <= directory_.stamp());
    stamp = one.stamp;
    if (!one.to) continue;
    ONCED_ASSERT(connections_.at(one.to->connection).invalidations.contains(one.to->id));
    --invalidating;
  }
  ONCED_ASSERT(invalidating == 0);
  ONCED_ASSERT(under_way_bytes == under_way_bytes_);
  ONCED_ASSERT(live == leases_.live() && held == leases_.all().size());
  ONCED_ASSERT(waiting == waiting_ && waits == waiting_);
  ONCED_ASSERT(failures == failures_.size());
}

// Who asks after a cancellation does not wait for what it ends.
void Computations::check_cancellations() const {
  std::size_t awaited = 0;
  for (const Cancellation& one : cancellations_.all()) {
    ONCED_ASSERT(one.leases <= leases_.last() && one.places <= queues_.last_place());
    if (one.to) ONCED_ASSERT(connections_.at(one.to->connection).cancellations.contains(one.to->id));
    awaited += one.to ? 1U : 0U;
  }
  for (const auto& [id, connection] : connections_.all()) awaited -= connection.cancellations.size();
  ONCED_ASSERT(awaited == 0);
  if (cancellations_.empty()) return;
  directory_.walk_all([&](const Entry& entry) {
    const Cancellation* const one = cancellations_.due(entry);
    if (one == nullptr) return;
    const auto is_older = [&](const Waiter& waiter) { return waiter.number <= one->waiters; };
    ONCED_ASSERT(entry.lease == nullptr || entry.lease->token.counter <= one->leases);
    ONCED_ASSERT(!entry.queued || entry.queued->number <= one->places);
    ONCED_ASSERT(std::all_of(entry.waiters.begin(), entry.waiters.end(), is_older));
    for (const Lease* lease : entry.detached)
      ONCED_ASSERT(lease->token.counter <= one->leases && std::all_of(lease->waiters.begin(), lease->waiters.end(), is_older));
  });
}

}  // namespace onced::engine
