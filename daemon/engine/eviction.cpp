// Catalog: what a value is worth, and which ones go when room is short.
#include <algorithm>
#include <limits>
#include <utility>

#include "engine/catalog.hpp"
#include "engine/session_table.hpp"
#include "engine/text.hpp"

namespace onced::engine {

// ---- uses and worth -------------------------------------------------------------------------------------------------

void Catalog::harvest() {
  if (harvested_ && context_.now - *harvested_ < harvest_period) return;
  harvested_ = context_.now;
  store_.harvest_hits([this](RecordRef record) {
    if (const auto found = by_record_.find(record); found != by_record_.end()) touch(*found->second);
  });
}

void Catalog::harvest_now_and_then() {
  if (harvest_anyway_at_ && context_.now < *harvest_anyway_at_) return;
  if (std::exchange(harvest_anyway_at_, context_.now + harvest_anyway_period)) harvest();
}

void Catalog::touch(Entry& entry) {
  StoredValue& value = *entry.value;
  ++value.uses;
  value.used = context_.now;
  value.crf = recency_frequency_.used(value.crf, by_record_.size());
  order_.move(value.in_order, value.crf + value.log_merit_per_use);
  if (value.in_blob_order) blob_order_.move(*value.in_blob_order, value.crf + value.log_merit_per_use_in_blobs);
  if (value.in_function_order) functions_.at(entry.function).order.move(*value.in_function_order, value.crf + value.log_merit_per_use);
  if (value.in_session_order) entry.session->order.move(*value.in_session_order, value.crf + value.log_merit_per_use);
}

std::uint64_t Catalog::worth_us(FunctionNumber number, std::optional<std::uint64_t> measured_us) const {
  const Function& function = functions_.at(number);
  const std::uint64_t average_us = function.computations == 0 ? worth_us_default : function.computed_us / function.computations;
  const std::uint64_t most = std::min(worth_us_max, std::max(average_us, worth_us_default) * worth_of_averages_max);
  return std::min(measured_us.value_or(average_us), most);
}

template <typename BytesOf, typename PlaceOf>
double Catalog::worth_of_least(const EvictionOrder& order, const Entry* keep, std::uint64_t bytes, BytesOf bytes_of, PlaceOf place_of) const {
  double worth_us = 0;
  std::uint64_t freed = 0;
  std::size_t looks = 0;
  for (const Entry* one = order.least(); one != nullptr && freed < bytes && looks < victims_per_store_max; one = order.after(place_of(*one)), ++looks) {
    if (one == keep) continue;
    freed += bytes_of(*one);
    worth_us += recency_frequency_.uses(one->value->crf) * static_cast<double>(one->value->worth_us);
  }
  context_.counters.eviction_looks += looks;
  return worth_us;
}

bool Catalog::worth_evicting_for(const Entry& newcomer, std::uint64_t bytes, double worth_us) {
  harvest();
  const double lost_us = worth_of_least(order_, &newcomer, bytes, [](const Entry& one) { return record_bytes(one); },
                                        [](const Entry& one) -> const auto& { return one.value->in_order; });
  return lost_us <= far_more * worth_us;
}

// ---- the arena ------------------------------------------------------------------------------------------------------

// What a record of such a value takes in the arena, about: header, key, and for each part its place in the table and
// alignment. Names are left out.
std::uint64_t Catalog::record_bytes(std::size_t key_bytes, std::uint64_t inline_bytes, std::size_t parts) {
  return sizeof(protocol::RecordHeader) + key_bytes + inline_bytes + parts * (sizeof(protocol::PartEntry) + protocol::value_alignment);
}

std::uint64_t Catalog::record_bytes(const Entry& entry) {
  return record_bytes(entry.key.size(), entry.value->bytes - entry.value->blob_bytes, entry.value->parts);
}

void Catalog::evict(Entry& victim, GoneReason reason) {
  const StoredValue& value = *victim.value;
  const std::uint64_t version = value.version;
  recency_frequency_.evicted(context_.hash(victim.key), value.crf);
  context_.counters.evicted_us += value.worth_us;
  if (context_.disk != nullptr && context_.disk->takes(victim.key)) context_.disk->set_merit(victim.key, static_cast<float>(value.crf + value.log_merit_per_use));
  const std::string cost = value.was_put ? "it was put" : "it cost " + duration_text(std::chrono::microseconds(value.cost_us));
  drop(victim, reason, cost + ", last known use " + duration_text(context_.now - value.used) + " before");
  ++context_.counters.evictions;
  signals_.emit(protocol::SignalEvent::evicted, victim.key, version);
}

// Evicts values of about so many bytes, and at least so many values, never the one that is being replaced; returns how many went.
std::uint64_t Catalog::evict_least(const Entry& keep, std::uint64_t bytes, std::size_t victims_least, std::size_t& victims_left) {
  harvest();
  std::uint64_t freed = 0;
  std::uint64_t victims = 0;
  Entry* following = order_.least();
  while (following != nullptr && (freed < bytes || victims < victims_least) && victims_left > 0) {
    Entry& victim = *following;
    following = order_.after(victim.value->in_order);
    ++context_.counters.eviction_looks;
    if (&victim == &keep) continue;
    freed += record_bytes(victim);
    evict(victim, GoneReason::evicted_arena_full);
    --victims_left;
    ++victims;
  }
  return victims;
}

bool Catalog::evict_candidate(const Entry& keep, const std::vector<RecordRef>& candidates) {
  harvest();
  const auto log_merit = [](const Entry& one) { return one.value->crf + one.value->log_merit_per_use; };
  Entry* victim = nullptr;
  for (const RecordRef record : candidates) {
    const auto found = by_record_.find(record);
    if (found == by_record_.end() || found->second == &keep) continue;
    ++context_.counters.eviction_looks;
    if (victim == nullptr || log_merit(*found->second) < log_merit(*victim)) victim = found->second;
  }
  if (victim == nullptr) return false;
  evict(*victim, GoneReason::evicted_index_full);
  return true;
}

// ---- blobs ----------------------------------------------------------------------------------------------------------

// Nothing when values must go first.
std::optional<Room> Catalog::room_for_blobs(const BlobRoom& wanted) const {
  const BlobStore::Usage usage = blobs_.usage();
  const std::uint64_t bytes_max = context_.settings.blob_bytes_max;
  if (usage.charged_bytes + wanted.bytes <= bytes_max && usage.count + wanted.places <= usage.count_max) return Room::is_there;
  if (usage.charged_bytes - usage.closing_bytes + wanted.bytes <= bytes_max && usage.count - usage.closing_count + wanted.places <= usage.count_max)
    return Room::being_given_back;
  return std::nullopt;
}

// Whether it helps to evict: what is reserved, lent or pinned does not come back.
Result<void> Catalog::room_without_all_values(const BlobRoom& wanted) const {
  const BlobStore::Usage usage = blobs_.usage();
  if (usage.count - usage.closing_count - live_blobs_ + wanted.places > usage.count_max) return too_many_blobs();
  if (usage.charged_bytes - usage.closing_bytes - live_blob_memory_ + wanted.bytes > context_.settings.blob_bytes_max)
    return no_blob_memory(wanted.bytes);
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

Error Catalog::not_worth_a_blob(std::uint64_t bytes, double lost_us, const Newcomer& newcomer) {
  ++context_.counters.not_worth_storing;
  const auto text = [](double microseconds) { return duration_text(std::chrono::microseconds(static_cast<std::int64_t>(microseconds))); };
  return {ErrorCode::out_of_memory, "no room for a blob of " + bytes_text(bytes) + ", a large share of " + bytes_text(context_.settings.blob_bytes_max) +
                                        " (the setting blobs): values that save " + text(lost_us) +
                                        " would be evicted for one " +
                                        (newcomer.was_measured ? "that is likely to save " + text(newcomer.worth_us)
                                                               : "that is put, of which nobody knows what it cost; invalidate what is not needed, or raise the setting")};
}

void Catalog::memory_refused(std::string_view key, const std::string& who, const std::string& why) {
  gone_.remember(key, Gone{GoneReason::memory_refused, context_.now, "memory for it was refused to " + who + ": " + why, protocol::NotStored::no_room});
}

Result<Room> Catalog::make_room_for_blob(std::uint64_t bytes, const std::optional<Newcomer>& newcomer) {
  return make_room_for_blobs({bytes, 1}, newcomer);
}

Result<Room> Catalog::make_places_for_blobs(std::size_t places) { return make_room_for_blobs({0, places}, std::nullopt); }

// In rounds, each with two scans of the pins: one to choose whom to evict, one to free. So there are few: the first looks at as many values as
// would do, the next at all that may be looked at, and one more is for what has been pinned between choosing and freeing.
Result<Room> Catalog::make_room_for_blobs(const BlobRoom& wanted, const std::optional<Newcomer>& newcomer) {
  const std::uint64_t bytes = wanted.bytes;
  const std::uint64_t bytes_max = context_.settings.blob_bytes_max;
  std::size_t victims_left = std::min(victims_per_store_max, blob_order_.size());  // each is looked at once
  for (int round = 0;; ++round) {
    if (const auto room = room_for_blobs(wanted)) return *room;
    if (store_.usage().retired_with_blobs > 0) {
      store_.reclaim();
      if (const auto room = room_for_blobs(wanted)) return *room;
    }
    if (auto in_vain = room_without_all_values(wanted); !in_vain) return in_vain.error();
    const BlobStore::Usage usage = blobs_.usage();
    const std::uint64_t needed = usage.charged_bytes - usage.closing_bytes + bytes;
    const std::uint64_t places = usage.count - usage.closing_count + wanted.places;
    const std::uint64_t missing = needed > bytes_max ? needed - bytes_max : std::max<std::uint64_t>(1, places - std::min(places, usage.count_max));
    if (round == 0 && newcomer && needed > bytes_max) {
      harvest();
      const double lost = worth_of_least(blob_order_, nullptr, missing, [](const Entry& one) { return one.value->blob_memory; },
                                         [](const Entry& one) -> const auto& { return *one.value->in_blob_order; });
      if (lost > far_more * newcomer->worth_us) return not_worth_a_blob(bytes, lost, *newcomer);
    }
    const Missing what = needed > bytes_max ? Missing::memory : Missing::places;
    const std::uint64_t among = round == 0 ? missing : std::numeric_limits<std::uint64_t>::max();
    if (round == blob_rounds_max || evict_least_blobs(what, missing, among, victims_left) == 0)
      return needed > bytes_max ? no_blob_memory(bytes) : too_many_blobs();
  }
}

// By the eviction of a value that nobody pins.
Catalog::ComingBack Catalog::coming_back(const Entry& entry) const {
  ComingBack back;
  for (const BlobId blob : store_.blobs_in(entry.value->record)) {
    if (blobs_.is_lent(blob)) continue;
    back.bytes += blobs_.charged(blob);
    ++back.blobs;
  }
  return back;
}

// Evicts values until so many bytes, or places, come back, of those with the first `among` of them; returns how many it has looked at.
// One that readers pin is in use, and its memory would not come back, nor that of one that is lent, and one in files has none: it moves to the end
// of the order until its next use.
std::size_t Catalog::evict_least_blobs(Missing what, std::uint64_t missing, std::uint64_t among, std::size_t& victims_left) {
  harvest();
  std::vector<RecordRef> candidates;
  std::uint64_t among_these = 0;
  for (const Entry* entry = blob_order_.least(); entry != nullptr; entry = blob_order_.after(*entry->value->in_blob_order)) {
    if (among_these >= among || candidates.size() == victims_left) break;
    candidates.push_back(entry->value->record);
    among_these += std::max<std::uint64_t>(1, what == Missing::memory ? entry->value->blob_memory : entry->value->blobs);
  }
  context_.counters.eviction_looks += candidates.size();
  if (candidates.empty()) return 0;
  const std::vector<std::uint32_t> pins = store_.pins(candidates);
  std::uint64_t freed = 0;
  std::size_t looked_at = 0;
  for (std::size_t i = 0; i < candidates.size() && freed < missing; ++i, ++looked_at) {
    Entry& entry = *by_record_.at(candidates[i]);
    const ComingBack back = pins[i] > 0 ? ComingBack{} : coming_back(entry);
    if (what == Missing::memory ? back.bytes == 0 : back.blobs == 0) {
      blob_order_.move_to_end(*entry.value->in_blob_order);
      continue;
    }
    ++context_.counters.blob_evictions;
    freed += what == Missing::memory ? back.bytes : back.blobs;
    evict(entry, GoneReason::evicted_blobs_full);
  }
  victims_left -= looked_at;
  return looked_at;
}

}  // namespace onced::engine
