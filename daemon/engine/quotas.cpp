// Catalog: what one session, and one function, may keep. Above it values of this session or function go, and no others.
#include <utility>

#include "engine/catalog.hpp"

#include "engine/session_table.hpp"
#include "engine/text.hpp"

namespace onced::engine {
namespace {

std::string limit_text(const Function& function, std::uint64_t bytes_max) {
  return bytes_text(bytes_max) + " (functions." + function.name + ".bytes_max)";
}

}  // namespace

// Evicts values of one order, a bounded number, as long as there is too much. Without `keep` and the others there is room.
template <typename TooMuch>
std::uint64_t Catalog::evict_within(const EvictionOrder& order, std::optional<EvictionOrder::Place> StoredValue::*place, const Entry& keep, GoneReason reason,
                                    TooMuch too_much) {
  harvest();
  std::uint64_t evicted = 0;
  Entry* following = order.least();
  for (std::size_t looks = 0; too_much() && looks < victims_per_store_max; ++looks) {
    ONCED_ASSERT(following != nullptr);
    Entry& victim = *following;
    following = order.after(*((*victim.value).*place));
    ++context_.counters.eviction_looks;
    if (&victim == &keep) continue;
    ++evicted;
    evict(victim, reason);
  }
  return evicted;
}

// Whether it may be kept when all others of its session and of its function have gone: asked before any of these go. Nothing: it may.
std::optional<Catalog::Attempt> Catalog::over_quota_alone(const Entry& entry, std::uint64_t bytes, std::string& why_not) {
  const SessionSettings& settings = context_.settings.sessions;
  if (entry.session != nullptr && (bytes > settings.bytes_max || settings.entries_max == 0)) {
    why_not = "it has " + bytes_text(bytes) + ", and a session may keep " + bytes_text(settings.bytes_max) + " (sessions.bytes_max)";
    return Attempt::over_session_quota;
  }
  Function& function = functions_.at(entry.function);
  if (function.entries == 0) function.limited = bytes_max_of(function) != 0;  // it may be new
  if (!function.limited) return std::nullopt;
  if (const std::uint64_t bytes_max = bytes_max_of(function); bytes > bytes_max) {
    why_not = "it has " + bytes_text(bytes) + ", and the values of " + function.name + " together may have " + limit_text(function, bytes_max);
    return Attempt::over_function_quota;
  }
  return std::nullopt;
}

// Before `bytes` are stored for the entry, in place of what it has. False, with the reason: not enough of its session's values could go.
bool Catalog::make_room_in_session(Entry& entry, std::uint64_t bytes, std::string& why_not) {
  if (entry.session == nullptr) return true;
  const Session& session = *entry.session;
  const SessionSettings& settings = context_.settings.sessions;
  const std::uint64_t own_bytes = entry.value ? entry.value->bytes : 0;
  const std::uint64_t own_values = entry.value ? 1 : 0;
  const auto too_much = [&] {
    return session.bytes - own_bytes + bytes > settings.bytes_max || session.values - own_values + 1 > settings.entries_max;
  };
  if (!too_much()) return true;
  context_.counters.session_evictions += evict_within(session.order, &StoredValue::in_session_order, entry, GoneReason::evicted_session_full, too_much);
  if (!too_much()) return true;
  why_not = "its session has far more than it may keep (sessions.bytes_max, sessions.entries_max), and not all of that can go at once";
  return false;
}

// As make_room_in_session() for the entry's function, behind over_quota_alone().
bool Catalog::make_room_in_function(Entry& entry, std::uint64_t bytes, std::string& why_not) {
  Function& function = functions_.at(entry.function);
  if (!function.limited) return true;
  const std::uint64_t bytes_max = bytes_max_of(function);
  const std::uint64_t own_bytes = entry.value ? entry.value->bytes : 0;
  const auto too_much = [&] { return function.bytes - own_bytes + bytes > bytes_max; };
  if (!too_much()) return true;
  context_.counters.function_evictions += evict_within(function.order, &StoredValue::in_function_order, entry, GoneReason::evicted_function_full, too_much);
  if (!too_much()) return true;
  why_not = "the values of " + function.name + " have far more than " + limit_text(function, bytes_max) + ", and not all of that can go at once";
  return false;
}

std::uint64_t Catalog::bytes_max_of(const Function& function) const {
  const auto& limits = context_.settings.function_bytes_max;
  const auto found = limits.find(function.name);
  return found == limits.end() ? 0 : found->second;
}

// A function that gets a limit, or loses it: only those that have one pay for an order of their own.
void Catalog::limits_changed() {
  for (Function& function : functions_.all()) {
    const bool limited = bytes_max_of(function) != 0;
    if (limited == function.limited || function.entries == 0) continue;
    function.limited = limited;
    for (Entry* entry : function.by_stamp) {
      if (!entry->value) continue;
      if (limited) enter_function(*entry);
      else function.order.erase(*std::exchange(entry->value->in_function_order, std::nullopt));
    }
  }
}

void Catalog::enter_function(Entry& entry) {
  Function& function = functions_.at(entry.function);
  StoredValue& value = *entry.value;
  if (function.limited) value.in_function_order = function.order.insert(entry, value.crf + value.log_merit_per_use);
}

void Catalog::leave_function(Entry& entry) {
  if (entry.value->in_function_order) functions_.at(entry.function).order.erase(*entry.value->in_function_order);
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
