#include "engine/catalog.hpp"

#include <algorithm>
#include <utility>

namespace onced::engine {
namespace {

// What a record of this value takes in the arena, about: header, key, bytes, alignment.
std::uint64_t record_bytes(std::size_t key_bytes, std::uint64_t value_bytes) {
  return sizeof(protocol::RecordHeader) + key_bytes + value_bytes + protocol::value_alignment;
}

std::uint64_t bytes_of(const std::vector<protocol::Part>& parts) {
  std::uint64_t bytes = 0;
  for (const protocol::Part& part : parts) bytes += part.bytes.size();
  return bytes;
}

}  // namespace

Catalog::Catalog(Context& context, Directory& directory, FunctionTable& functions, RecordStore& store, SignalHub& signals)
    : context_(context), directory_(directory), functions_(functions), store_(store), signals_(signals), gone_(context.hash) {
  store_.set_time_ms(time_word(context_.now));
}

bool Catalog::store(Entry& entry, const std::vector<protocol::Part>& parts, std::uint64_t ttl_ms, Origin origin) {
  RecordImage image{.key = entry.key, .parts = &parts, .version = origin.version, .cost_us = origin.cost_us,
                    .function_number = entry.function};
  if (ttl_ms != 0) image.fresh_until_ms = time_word(context_.now + duration_of_ms(ttl_ms));

  RecordRef record{};
  Attempt attempt = place(entry, image, record);
  if (attempt != Attempt::placed && entry.value) {
    detach(entry);  // its place may be all that is missing, and it must not be found any longer anyway
    if (attempt == Attempt::blocked) attempt = place(entry, image, record);
  }
  if (attempt == Attempt::placed) {
    attach(entry, record, image, parts.front().content_type, bytes_of(parts), std::move(origin));
    return true;
  }
  ++context_.counters.stored_inline;
  gone_.remember(entry.key, Gone{GoneReason::not_stored, context_.now,
                                 attempt == Attempt::never ? "it is larger than the arena" : "the arena is full of values that are being read"});
  return false;
}

// Places the record, evicting in rounds, each twice as deep as the one before: memory that readers pin does not come
// back by eviction, so the first rounds must not clear the whole cache.
Catalog::Attempt Catalog::place(Entry& entry, const RecordImage& image, RecordRef& placed) {
  std::uint64_t wanted = record_bytes(entry.key.size(), bytes_of(*image.parts));
  std::size_t victims_left = victims_per_store_max;
  const std::optional<RecordRef> replaces = entry.value ? std::optional(entry.value->record) : std::nullopt;
  for (int tries = 0; tries < store_tries_max; ++tries) {
    const RecordStore::Placement placement = store_.place(image, replaces);
    switch (placement.outcome) {
      case RecordStore::Outcome::placed: placed = placement.record; return Attempt::placed;
      case RecordStore::Outcome::never: return Attempt::never;
      case RecordStore::Outcome::bucket_full:
        if (!evict_candidate(entry, placement.candidates)) return Attempt::blocked;
        break;
      case RecordStore::Outcome::arena_full:
        if (evict_least_recent(entry, wanted, victims_left) == 0) return Attempt::blocked;
        wanted *= 2;
        break;
    }
  }
  return Attempt::blocked;
}

void Catalog::attach(Entry& entry, RecordRef record, const RecordImage& image, std::string content_type, std::uint64_t bytes,
                     Origin origin) {
  // The store has retired the former record when it placed this one.
  if (entry.value) {
    by_record_.erase(entry.value->record);
    recency_.erase(entry.value->recency);
    if (entry.value->expiry) expiries_.erase(*entry.value->expiry);
  }
  Function& function = functions_.at(entry.function);
  function.entries += entry.value ? 0U : 1U;
  function.bytes += bytes - (entry.value ? entry.value->bytes : 0);
  StoredValue& value = entry.value.emplace();
  value.record = record;
  value.version = image.version;
  value.bytes = bytes;
  value.cost_us = image.cost_us;
  value.fresh_until_ms = image.fresh_until_ms;
  value.content_type = std::move(content_type);
  value.origin = std::move(origin.by);
  value.was_put = origin.was_put;
  value.stored = context_.now;
  value.touched = ++touches_;
  value.recency = recency_.insert(recency_.end(), &entry);
  if (image.fresh_until_ms != protocol::never_expires)
    value.expiry = expiries_.emplace(moment_of(image.fresh_until_ms), &entry);
  by_record_.emplace(record, &entry);
}

void Catalog::detach(Entry& entry) {
  store_.unlink(entry.value->record);
  by_record_.erase(entry.value->record);
  recency_.erase(entry.value->recency);
  if (entry.value->expiry) expiries_.erase(*entry.value->expiry);
  Function& function = functions_.at(entry.function);
  function.entries -= 1;
  function.bytes -= entry.value->bytes;
  entry.value.reset();
  directory_.may_be_unused(entry);
}

void Catalog::drop(Entry& entry, GoneReason reason, std::string text) {
  detach(entry);
  gone_.remember(entry.key, Gone{reason, context_.now, std::move(text)});
}

bool Catalog::expired(const Entry& entry) const {
  return entry.value && time_word(context_.now) >= entry.value->fresh_until_ms;
}

void Catalog::expire_if_due(Entry& entry) {
  if (!expired(entry)) return;
  store_.set_time_ms(time_word(context_.now));
  expire(entry);
}

void Catalog::expire_due() {
  if (expiries_.empty() || expiries_.begin()->first > context_.now) return;
  // The time word first: with one store no reader finds any of them, however many there are.
  store_.set_time_ms(time_word(context_.now));
  for (std::size_t done = 0; done < expired_per_step_max; ++done) {
    if (expiries_.empty() || expiries_.begin()->first > context_.now) return;
    expire(*expiries_.begin()->second);
  }
}

std::optional<Time> Catalog::next_expiry() const {
  if (expiries_.empty()) return std::nullopt;
  const Duration period = context_.settings.time_word_period;
  const Time at = expiries_.begin()->first;
  return (at + period - Duration(1)) / period * period;
}

void Catalog::expire(Entry& entry) {
  const std::uint64_t version = entry.value->version;
  drop(entry, GoneReason::expired);
  ++context_.counters.expirations;
  signals_.emit(protocol::SignalEvent::expired, entry.key, version);
}

void Catalog::evict(Entry& victim, GoneReason reason) {
  const std::uint64_t version = victim.value->version;
  drop(victim, reason);
  ++context_.counters.evictions;
  signals_.emit(protocol::SignalEvent::evicted, victim.key, version);
}

// Evicts values of about so many bytes, never the one that is being replaced; returns how many values went.
std::uint64_t Catalog::evict_least_recent(const Entry& keep, std::uint64_t bytes, std::size_t& victims_left) {
  harvest();
  std::uint64_t freed = 0;
  std::uint64_t victims = 0;
  for (auto at = recency_.begin(); at != recency_.end() && freed < bytes && victims_left > 0;) {
    Entry& victim = **at++;  // evict() erases its place
    if (&victim == &keep) continue;
    freed += record_bytes(victim.key.size(), victim.value->bytes);
    evict(victim, GoneReason::evicted_arena_full);
    --victims_left;
    ++victims;
  }
  return victims;
}

bool Catalog::evict_candidate(const Entry& keep, const std::vector<RecordRef>& candidates) {
  harvest();
  Entry* victim = nullptr;
  for (const RecordRef record : candidates) {
    const auto found = by_record_.find(record);
    if (found == by_record_.end() || found->second == &keep) continue;
    if (victim == nullptr || found->second->value->touched < victim->value->touched) victim = found->second;
  }
  if (victim == nullptr) return false;
  evict(*victim, GoneReason::evicted_index_full);
  return true;
}

void Catalog::harvest() {
  if (harvested_ && context_.now - *harvested_ < harvest_period) return;
  harvested_ = context_.now;
  store_.harvest_hits([this](RecordRef record) {
    if (const auto found = by_record_.find(record); found != by_record_.end()) touch(*found->second);
  });
}

void Catalog::touch(Entry& entry) {
  entry.value->touched = ++touches_;
  recency_.splice(recency_.end(), recency_, entry.value->recency);
}

void Catalog::answer(const Entry& entry, ReplyAddress to, bool waited, SharedParts& parts) {
  protocol::Value answer;
  answer.version = entry.value->version;
  answer.cost_us = entry.value->cost_us;
  answer.waited = waited;
  if (const auto pin = store_.grant_pin(to.connection, entry.value->record)) {
    answer.record = static_cast<std::uint64_t>(entry.value->record);
    answer.pin = *pin;
    return context_.send(to, std::move(answer));
  }
  if (parts == nullptr) parts = std::make_shared<const std::vector<protocol::Part>>(store_.read(entry.value->record));
  context_.send(to, std::move(answer), parts);
}

void Catalog::check_invariants() const {
  std::size_t values = 0;
  std::size_t expiring = 0;
  directory_.walk_all([&](const Entry& entry) {
    if (!entry.value) return;
    ++values;
    expiring += entry.value->expiry ? 1U : 0U;
    const auto found = by_record_.find(entry.value->record);
    ONCED_ASSERT(found != by_record_.end() && found->second == &entry);
    ONCED_ASSERT(*entry.value->recency == &entry);
    ONCED_ASSERT(entry.value->expiry.has_value() == (entry.value->fresh_until_ms != protocol::never_expires));
  });
  ONCED_ASSERT(values == by_record_.size() && values == recency_.size() && expiring == expiries_.size());
  std::uint64_t counted = 0;
  for (const Function& function : functions_.all()) counted += function.entries;
  ONCED_ASSERT(counted == values);
  std::uint64_t touched = 0;
  for (const Entry* entry : recency_) {  // the list is in order of use
    ONCED_ASSERT(entry->value->touched > touched);
    touched = entry->value->touched;
  }
}

}  // namespace onced::engine
