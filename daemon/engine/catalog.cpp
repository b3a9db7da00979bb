#include "engine/catalog.hpp"

#include <algorithm>
#include <utility>

#include "engine/key_fields.hpp"
#include "engine/text.hpp"

namespace onced::engine {
namespace {

// What a record of such a value takes in the arena, about: header, key, and for each part its place in the table and
// alignment. Names are left out.
std::uint64_t record_bytes(std::size_t key_bytes, std::uint64_t inline_bytes, std::size_t parts) {
  return sizeof(protocol::RecordHeader) + key_bytes + inline_bytes + parts * (sizeof(protocol::PartEntry) + protocol::value_alignment);
}

// What all parts are, or nothing when they differ.
std::string content_type_of(const std::vector<protocol::Part>& parts) {
  const std::string& first = parts.front().content_type;
  return std::all_of(parts.begin(), parts.end(), [&](const auto& part) { return part.content_type == first; }) ? first : std::string();
}

}  // namespace

Catalog::Catalog(Context& context, Directory& directory, FunctionTable& functions, RecordStore& store, SignalHub& signals,
                 Blobs& blobs)
    : context_(context), directory_(directory), functions_(functions), store_(store), signals_(signals), blobs_(blobs),
      gone_(context.hash), lifespans_(context, store) {}

bool Catalog::store(Entry& entry, const std::vector<protocol::Part>& parts, const protocol::Retention& retention, Origin origin) {
  RecordImage image{.key = entry.key, .parts = &parts, .version = origin.version, .cost_us = origin.cost_us,
                    .function_number = entry.function};
  const Lifespan lifespan = lifespan_of(context_.settings.retention, function_of(entry.key), retention);
  if (lifespan.ttl_ms != 0) image.fresh_until_ms = time_word(context_.now + duration_of_ms(lifespan.ttl_ms));
  image.early_ms = early_ms_of(lifespan, origin.cost_us);
  image.grace_ms = lifespan.grace_ms;

  RecordRef record{};
  Attempt attempt = place(entry, image, record);
  if (attempt != Attempt::placed && entry.value) {
    detach(entry);  // its place may be all that is missing, and it must not be found any longer anyway
    if (attempt == Attempt::blocked) attempt = place(entry, image, record);
  }
  if (attempt == Attempt::placed) {
    attach(entry, record, image, sums_of(parts), std::move(origin));
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
  std::uint64_t wanted = record_bytes(entry.key.size(), sums_of(*image.parts).inline_bytes, image.parts->size());
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

void Catalog::attach(Entry& entry, RecordRef record, const RecordImage& image, const PartSums& sums, Origin origin) {
  if (entry.value) take_out(entry);  // the store has retired the former record when it placed this one
  Function& function = functions_.at(entry.function);
  ++function.entries;
  function.bytes += sums.bytes();
  StoredValue& value = entry.value.emplace();
  value.record = record;
  value.version = image.version;
  value.bytes = sums.bytes();
  value.blob_bytes = sums.blob_bytes;
  value.blobs = sums.blobs.size();
  value.parts = image.parts->size();
  value.cost_us = image.cost_us;
  value.fresh_until_ms = image.fresh_until_ms;
  value.early_ms = image.early_ms;
  value.grace_ms = image.grace_ms;
  value.content_type = content_type_of(*image.parts);
  value.origin = std::move(origin.by);
  value.was_put = origin.was_put;
  value.stored = context_.now;
  value.touched = ++touches_;
  value.recency = recency_.insert(recency_.end(), &entry);
  if (!sums.blobs.empty()) {
    for (const BlobId blob : sums.blobs) value.blob_memory += blobs_.charged(blob);
    value.blob_recency = blob_recency_.insert(blob_recency_.end(), &entry);
    live_blob_memory_ += value.blob_memory;
    live_blobs_ += value.blobs;
    blobs_.placed(sums.blobs);
  }
  lifespans_.begin(entry);
  by_record_.emplace(record, &entry);
}

void Catalog::detach(Entry& entry) {
  store_.unlink(entry.value->record);
  take_out(entry);
  directory_.may_be_unused(entry);
}

void Catalog::take_out(Entry& entry) {
  const StoredValue& value = *entry.value;
  by_record_.erase(value.record);
  recency_.erase(value.recency);
  if (value.blob_recency) {
    blob_recency_.erase(*value.blob_recency);
    live_blob_memory_ -= value.blob_memory;
    live_blobs_ -= value.blobs;
    blobs_retired_ = true;
  }
  lifespans_.end(entry);
  Function& function = functions_.at(entry.function);
  --function.entries;
  function.bytes -= value.bytes;
  entry.value.reset();
}

void Catalog::drop(Entry& entry, GoneReason reason, std::string text) {
  detach(entry);
  gone_.remember(entry.key, Gone{reason, context_.now, std::move(text)});
}

// ---- time -----------------------------------------------------------------------------------------------------------

void Catalog::catch_up(Entry& entry) {
  if (!lifespans_.has_changed(entry)) return;
  lifespans_.move_time_word();
  advance(entry);
}

// The time word first: with one store no reader takes any of them for fresh, however many there are.
void Catalog::let_time_pass() {
  if (!lifespans_.turn()) return;
  for (std::size_t done = 0; done < changed_per_step_max; ++done) {
    Entry* entry = lifespans_.due();
    if (entry == nullptr) return;
    advance(*entry);
  }
}

void Catalog::advance(Entry& entry) {
  const std::uint64_t version = entry.value->version;
  switch (lifespans_.advance(entry)) {
    case Stretch::fresh:
    case Stretch::early: return;
    case Stretch::stale: return signals_.emit(protocol::SignalEvent::stale, entry.key, version);
    case Stretch::over: break;
  }
  drop(entry, GoneReason::expired);
  ++context_.counters.expirations;
  signals_.emit(protocol::SignalEvent::expired, entry.key, version);
}

bool Catalog::make_stale(Entry& entry) {
  catch_up(entry);
  if (!entry.value || entry.value->stretch == Stretch::stale) return false;
  lifespans_.make_stale(entry);
  signals_.emit(protocol::SignalEvent::stale, entry.key, entry.value->version);
  return true;
}

void Catalog::set_refreshing(Entry& entry, bool refreshing) {
  if (!entry.value || entry.value->refreshing == refreshing) return;
  entry.value->refreshing = refreshing;
  store_.set_refreshing(entry.value->record, refreshing);
}

// ---- eviction -------------------------------------------------------------------------------------------------------

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
    freed += record_bytes(victim.key.size(), victim.value->bytes - victim.value->blob_bytes, victim.value->parts);
    evict(victim, GoneReason::evicted_arena_full);
    --victims_left;
    ++victims;
  }
  return victims;
}

// ---- blobs ----------------------------------------------------------------------------------------------------------

// Nothing when values must go first.
std::optional<Room> Catalog::room_for_blob(std::uint64_t bytes) const {
  const BlobStore::Usage usage = blobs_.usage();
  const std::uint64_t bytes_max = context_.settings.blob_bytes_max;
  if (usage.charged_bytes + bytes <= bytes_max && usage.count < usage.count_max) return Room::is_there;
  if (usage.charged_bytes - usage.closing_bytes + bytes <= bytes_max && usage.count - usage.closing_count < usage.count_max)
    return Room::being_given_back;
  return std::nullopt;
}

// Whether it helps to evict: what is reserved, lent or pinned does not come back.
Result<void> Catalog::room_without_all_values(std::uint64_t bytes) const {
  const BlobStore::Usage usage = blobs_.usage();
  if (usage.count - usage.closing_count - live_blobs_ >= usage.count_max) return too_many_blobs();
  if (usage.charged_bytes - usage.closing_bytes - live_blob_memory_ + bytes > context_.settings.blob_bytes_max)
    return no_blob_memory(bytes);
  return {};
}

Error Catalog::too_many_blobs() const {
  return {ErrorCode::limit_reached, "all " + std::to_string(blobs_.usage().count_max) +
                                        " blobs are reserved or being read; there are as many as the limit of open files "
                                        "(LimitNOFILE, ulimit -n) and the segment's size allow"};
}

Error Catalog::no_blob_memory(std::uint64_t bytes) const {
  return {ErrorCode::out_of_memory, "no room for a blob of " + bytes_text(bytes) + ": " + bytes_text(blobs_.usage().charged_bytes) +
                                        " of blobs are reserved, kept or being read; the limit is " +
                                        bytes_text(context_.settings.blob_bytes_max) + " (the setting blobs)"};
}

// In rounds, each twice as deep as the one before, for the same reason as place().
Result<Room> Catalog::make_room_for_blob(std::uint64_t bytes) {
  const std::uint64_t bytes_max = context_.settings.blob_bytes_max;
  std::size_t victims_left = std::min(victims_per_store_max, blob_recency_.size());  // each is looked at once
  for (int tries = 0;; ++tries) {
    if (const auto room = room_for_blob(bytes)) return *room;
    if (store_.usage().retired_with_blobs > 0) {
      store_.reclaim();
      if (const auto room = room_for_blob(bytes)) return *room;
    }
    if (auto in_vain = room_without_all_values(bytes); !in_vain) return in_vain.error();
    const BlobStore::Usage usage = blobs_.usage();
    const std::uint64_t needed = usage.charged_bytes - usage.closing_bytes + bytes;
    const std::uint64_t missing = needed - std::min(needed - 1, bytes_max);  // at least one value goes
    if (tries == store_tries_max || evict_least_recent_blobs(missing, missing << tries, victims_left) == 0)
      return needed > bytes_max ? no_blob_memory(bytes) : too_many_blobs();
  }
}

// Evicts values whose blobs have so many bytes, of those with the first `among` bytes; returns how many it has looked at.
// One that readers pin is in use, and its memory would not come back: it moves to the end of the order.
std::size_t Catalog::evict_least_recent_blobs(std::uint64_t bytes, std::uint64_t among, std::size_t& victims_left) {
  harvest();
  std::vector<RecordRef> candidates;
  std::uint64_t looked_at_bytes = 0;
  for (const Entry* entry : blob_recency_) {
    if (looked_at_bytes >= among || candidates.size() == victims_left) break;
    candidates.push_back(entry->value->record);
    looked_at_bytes += entry->value->blob_memory;
  }
  if (candidates.empty()) return 0;
  const std::vector<std::uint32_t> pins = store_.pins(candidates);
  std::uint64_t freed = 0;
  std::size_t looked_at = 0;
  for (std::size_t i = 0; i < candidates.size() && freed < bytes; ++i, ++looked_at) {
    Entry& entry = *by_record_.at(candidates[i]);
    if (pins[i] > 0) {
      touch(entry);
      continue;
    }
    ++context_.counters.blob_evictions;
    freed += entry.value->blob_memory;
    evict(entry, GoneReason::evicted_blobs_full);
  }
  victims_left -= looked_at;
  return looked_at;
}

void Catalog::reclaim_blobs() {
  if (reclaim_at_ && store_.usage().retired_with_blobs == 0) reclaim_at_.reset();
  if (!blobs_retired_ && !(reclaim_at_ && context_.now >= *reclaim_at_)) return;
  const bool fresh = std::exchange(blobs_retired_, false);
  const std::uint64_t before = store_.usage().retired_with_blobs;
  if (before > 0) store_.reclaim();
  const std::uint64_t left = store_.usage().retired_with_blobs;
  if (left == 0) return reclaim_at_.reset();
  const bool freed = left < before;
  reclaim_period_ = fresh || freed ? reclaim_period_min : std::min(reclaim_period_ * 2, reclaim_period_max);
  reclaim_at_ = context_.now + reclaim_period_;
}

void Catalog::put_off_reclaim() {
  if (!std::exchange(blobs_retired_, false) && !(reclaim_at_ && context_.now >= *reclaim_at_)) return reclaim_blobs();
  if (store_.usage().retired_with_blobs == 0) return reclaim_at_.reset();
  reclaim_period_ = reclaim_period_min;
  reclaim_at_ = context_.now;
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
  if (entry.value->blob_recency) blob_recency_.splice(blob_recency_.end(), blob_recency_, *entry.value->blob_recency);
}

void Catalog::answer(const Entry& entry, ReplyAddress to, bool waited, SharedParts& parts) {
  protocol::Value answer;
  answer.version = entry.value->version;
  answer.cost_us = entry.value->cost_us;
  answer.waited = waited;
  answer.stale = entry.value->stretch == Stretch::stale;
  if (const auto pin = store_.grant_pin(to.connection, entry.value->record)) {
    answer.record = static_cast<std::uint64_t>(entry.value->record);
    answer.pin = *pin;
    return context_.send(to, std::move(answer));
  }
  if (parts == nullptr) parts = std::make_shared<const std::vector<protocol::Part>>(store_.read(entry.value->record));
  answer_inline(to, std::move(answer), parts);
}

void Catalog::answer_inline(ReplyAddress to, protocol::Value value, const SharedParts& parts) {
  if (blobs_.lend(to.connection, *parts)) return context_.send(to, std::move(value), parts);
  ++context_.counters.limits_reached;
  context_.refuse(to, ErrorCode::limit_reached,
                  "the value's blobs cannot be lent: this connection has " + std::to_string(limits::blobs_reserved_per_connection_max) +
                      " reserved or lent blobs with them (blobs_reserved_per_connection_max, no setting); publish or release some");
}

void Catalog::check_invariants() const {
  std::size_t values = 0;
  std::size_t changing = 0;
  std::size_t with_blobs = 0;
  std::uint64_t blobs = 0;
  std::uint64_t blob_memory = 0;
  directory_.walk_all([&](const Entry& entry) {
    if (!entry.value) return;
    ++values;
    changing += entry.value->next_change ? 1U : 0U;
    ONCED_ASSERT(lifespans_.knows(entry));
    const auto found = by_record_.find(entry.value->record);
    ONCED_ASSERT(found != by_record_.end() && found->second == &entry);
    ONCED_ASSERT(*entry.value->recency == &entry);
    with_blobs += entry.value->blob_recency ? 1U : 0U;
    blobs += entry.value->blobs;
    blob_memory += entry.value->blob_memory;
    ONCED_ASSERT(entry.value->blob_recency.has_value() == (entry.value->blobs > 0));
  });
  ONCED_ASSERT(values == by_record_.size() && values == recency_.size() && changing == lifespans_.changing());
  ONCED_ASSERT(with_blobs == blob_recency_.size() && blobs == live_blobs_ && blob_memory == live_blob_memory_);
  const BlobStore::Usage usage = blobs_.usage();
  ONCED_ASSERT(usage.count - usage.closing_count >= live_blobs_ + blobs_.reserved());
  ONCED_ASSERT(usage.charged_bytes - usage.closing_bytes >= live_blob_memory_);
  ONCED_ASSERT(!blobs_retired_ && (store_.usage().retired_with_blobs == 0) == !reclaim_at_);  // or their memory never returns
  std::uint64_t counted = 0;
  for (const Function& function : functions_.all()) counted += function.entries;
  ONCED_ASSERT(counted == values);
  const auto in_order_of_use = [](const std::list<Entry*>& list) {
    return std::is_sorted(list.begin(), list.end(), [](const Entry* a, const Entry* b) { return a->value->touched < b->value->touched; });
  };
  ONCED_ASSERT(in_order_of_use(recency_) && in_order_of_use(blob_recency_));
}

}  // namespace onced::engine
