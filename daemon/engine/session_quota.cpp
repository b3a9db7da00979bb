// Catalog: what one session may keep. Above it values of this session go, and no others.
#include "engine/catalog.hpp"

#include "engine/session_table.hpp"
#include "engine/text.hpp"

namespace onced::engine {

// Before `bytes` are stored for the entry, in place of what it has. False, with the reason: they are more than a session may keep.
bool Catalog::make_room_in_session(Entry& entry, std::uint64_t bytes, std::string& why_not) {
  if (entry.session == nullptr) return true;
  const Session& session = *entry.session;
  const SessionSettings& settings = context_.settings.sessions;
  if (bytes > settings.bytes_max || settings.entries_max == 0) {
    why_not = "it has " + bytes_text(bytes) + ", and a session may keep " + bytes_text(settings.bytes_max) + " (sessions.bytes_max)";
    return false;
  }
  const std::uint64_t own_bytes = entry.value ? entry.value->bytes : 0;
  const std::uint64_t own_values = entry.value ? 1 : 0;
  const auto too_much = [&] {
    return session.bytes - own_bytes + bytes > settings.bytes_max || session.values - own_values + 1 > settings.entries_max;
  };
  if (!too_much()) return true;
  harvest();
  Entry* following = session.order.least();
  for (std::size_t victims = 0; too_much() && victims < victims_per_store_max; ++victims) {
    ONCED_ASSERT(following != nullptr);  // without the others there is room
    Entry& victim = *following;
    following = session.order.after(*victim.value->in_session_order);
    ++context_.counters.eviction_looks;
    if (&victim == &entry) continue;
    ++context_.counters.session_evictions;
    evict(victim, GoneReason::evicted_session_full);
  }
  if (!too_much()) return true;
  why_not = "its session has far more than it may keep (sessions.bytes_max, sessions.entries_max), and not all of that can go at once";
  return false;
}

void Catalog::enter_session(Entry& entry) {
  if (entry.session == nullptr) return;
  StoredValue& value = *entry.value;
  ++entry.session->values;
  entry.session->bytes += value.bytes;
  value.in_session_order = entry.session->order.insert(entry, value.crf + value.log_merit_per_use);
}

void Catalog::leave_session(Entry& entry) {
  if (entry.session == nullptr) return;
  --entry.session->values;
  entry.session->bytes -= entry.value->bytes;
  entry.session->order.erase(*entry.value->in_session_order);
  urgent_retired_ = true;
}

}  // namespace onced::engine
