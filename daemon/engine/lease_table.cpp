#include "engine/lease_table.hpp"

#include <onced/protocol/result.hpp>

namespace onced::engine {

Lease& LeaseTable::create(Entry& entry, Connection& holder, protocol::RequestId request) {
  ONCED_ASSERT(entry.lease == nullptr);
  const std::uint64_t counter = ++last_counter_;
  Lease& lease = leases_.emplace_hint(leases_.end(), std::piecewise_construct, std::forward_as_tuple(counter),
                                      std::forward_as_tuple())->second;
  lease.token = {epoch_, counter};
  lease.entry = &entry;
  lease.holder = {holder.id, request};
  lease.holder_name = holder.description;
  entry.lease = &lease;
  holder.leases.insert(counter);
  ++live_;
  return lease;
}

Lease* LeaseTable::find(const protocol::Token& token) {
  if (token.epoch != epoch_) return nullptr;
  const auto found = leases_.find(token.counter);
  return found == leases_.end() ? nullptr : &found->second;
}

void LeaseTable::detach(Lease& lease) {
  Entry& entry = *lease.entry;
  ONCED_ASSERT(entry.lease == &lease);
  lease.detached = true;
  entry.lease = nullptr;
  entry.detached.push_back(&lease);
  --live_;
  for (Waiter& waiter : entry.waiters) waiter.detached = &lease;
  lease.waiters.splice(lease.waiters.end(), entry.waiters);
}

void LeaseTable::erase(Lease& lease, Connection& holder) {
  ONCED_ASSERT(lease.waiters.empty());
  Entry& entry = *lease.entry;
  if (lease.detached) {
    std::erase(entry.detached, &lease);
  } else {
    ONCED_ASSERT(entry.lease == &lease);
    entry.lease = nullptr;
    --live_;
  }
  timers_.clear(lease.limit_timer);
  timers_.clear(lease.take_up_timer);
  holder.leases.erase(lease.token.counter);
  leases_.erase(lease.token.counter);
}

}  // namespace onced::engine
