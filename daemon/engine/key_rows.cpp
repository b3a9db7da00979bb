#include "engine/key_rows.hpp"

#include <algorithm>

#include "engine/lifespans.hpp"

namespace onced::engine {

std::uint64_t waiting_on(const Entry& entry) {
  std::uint64_t waiting = entry.waiters.size();
  for (const Lease* lease : entry.detached) waiting += lease->waiters.size();
  return waiting;
}

protocol::ListRow row_of(const Entry& entry, const FunctionQueues& queues, Time now) {
  protocol::ListRow row;
  row.key = entry.key;
  row.state = entry.state();
  row.waiting = waiting_on(entry);
  if (entry.value) {
    row.version = entry.value->version;
    row.bytes = entry.value->bytes;
    row.blob_bytes = entry.value->blob_bytes;
    row.parts = entry.value->parts;
    row.hits = entry.value->uses;
    row.content_type = entry.value->content_type;
    row.cost_us = entry.value->cost_us;
    row.age_ms = milliseconds_between(entry.value->stored, now);
    const StoredValue& value = *entry.value;
    if (value.fresh_until_ms != protocol::never_expires) {
      const std::uint64_t now_ms = time_word(now);
      const std::uint64_t usable_until = std::max(usable_until_ms(value), now_ms);
      row.stale = now_ms >= value.fresh_until_ms;
      row.ttl_left_ms = row.stale ? 0 : value.fresh_until_ms - now_ms;
      row.grace_left_ms = usable_until - now_ms - row.ttl_left_ms;
    }
  }
  if (entry.lease != nullptr) {
    row.holder = entry.lease->holder_name;
    row.under_way_ms = milliseconds_between(entry.lease->granted, now);
    if (!entry.value) row.age_ms = row.under_way_ms;
  } else if (entry.queued) {
    row.queue_position = queues.standing(entry).position;
    row.under_way_ms = milliseconds_between(entry.queued->since, now);
    if (!entry.value) row.age_ms = row.under_way_ms;
  } else if (entry.failure && !entry.value) {
    row.age_ms = milliseconds_between(entry.failure->since, now);
  }
  return row;
}

}  // namespace onced::engine
