#include "engine/catalog.hpp"

#include <algorithm>
#include <utility>

#include "engine/key_fields.hpp"
#include "engine/text.hpp"

namespace onced::engine {

using protocol::NotStored;
namespace {

// So many evicted keys are remembered: 16 bytes for each KiB of the arena.
std::size_t ghosts_of(std::uint64_t arena_bytes) {
  constexpr std::uint64_t fewest = 1024;
  constexpr std::uint64_t most = 1024 * 1024;
  return static_cast<std::size_t>(std::clamp(arena_bytes / 1024, fewest, most));
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
      gone_(context.hash), lifespans_(context, store), recency_frequency_(ghosts_of(store.usage().arena_bytes)) {}

bool Catalog::store(Entry& entry, const std::vector<protocol::Part>& parts, const protocol::Retention& retention, Origin origin) {
  RecordImage image{.key = entry.key, .parts = &parts, .version = origin.version, .cost_us = origin.cost_us,
                    .function_number = entry.function, .of_session = entry.session != nullptr};
  const Lifespan lifespan = lifespan_of(context_.settings.retention, function_of(entry.key), retention);
  if (lifespan.ttl_ms != 0) image.fresh_until_ms = time_word(context_.now + duration_of_ms(lifespan.ttl_ms));
  image.early_ms = early_ms_of(lifespan, origin.cost_us);
  image.grace_ms = lifespan.grace_ms;

  if (origin.past) {
    image.fresh_until_ms = origin.past->fresh_until_ms;
    image.early_ms = origin.past->early_ms;
    image.grace_ms = origin.past->grace_ms;
    lifespans_.move_time_word();  // it may be stale already
  }
  if (origin.outdated) {
    lifespans_.move_time_word();  // or readers would take it for fresh until the word has come to the present time
    image.fresh_until_ms = time_word(context_.now);
    image.early_ms = 0;
    if (image.grace_ms == 0) image.grace_ms = static_cast<std::uint32_t>(std::chrono::milliseconds(limits::soft_grace).count());
  }

  // A value that takes the place of another goes on from its uses: being replaced is none.
  const Crf crf = entry.value ? entry.value->crf : recency_frequency_.stored(context_.hash(entry.key), by_record_.size());
  const double worth = recency_frequency_.uses(crf) *
                       static_cast<double>(worth_us(entry.function, origin.was_put ? std::nullopt : std::optional(origin.cost_us)));
  RecordRef record{};
  std::string over_quota;
  const PartSums sums = sums_of(parts);
  std::size_t victims_left = victims_per_store_max;
  const std::optional<Attempt> too_large = over_quota_alone(entry, sums.bytes(), over_quota);
  Attempt attempt = too_large                                                 ? *too_large
                    : !make_room_in_session(entry, sums.bytes(), over_quota)  ? Attempt::over_session_quota
                    : !make_room_in_function(entry, sums.bytes(), over_quota) ? Attempt::over_function_quota
                                                                              : place(entry, image, sums, worth, victims_left, record);
  if (attempt != Attempt::placed && entry.value) {
    detach(entry, true);  // its place may be all that is missing, and it must not be found any longer anyway
    if (attempt == Attempt::blocked) attempt = place(entry, image, sums, worth, victims_left, record);
  }
  if (attempt == Attempt::placed) {
    attach(entry, record, image, sums, std::move(origin), crf);
    return true;
  }
  ++context_.counters.stored_inline;
  const std::string why = !over_quota.empty()                ? over_quota
                          : attempt == Attempt::never        ? "it is larger than the arena"
                          : attempt == Attempt::not_worth_it ? not_worth_it
                                                             : "the arena is full of values that are being read";
  const NotStored cause = attempt == Attempt::over_session_quota    ? NotStored::session_full
                          : attempt == Attempt::over_function_quota ? NotStored::function_full
                          : attempt == Attempt::never               ? NotStored::too_large
                          : attempt == Attempt::not_worth_it        ? NotStored::not_worth_it
                                                                    : NotStored::no_room;
  gone_.remember(entry.key, Gone{GoneReason::not_stored, context_.now, why, cause});
  return false;
}

std::string Catalog::why_not_stored(const Entry& entry) const {
  const Gone* gone = gone_.find(entry.key);
  return gone != nullptr ? gone->text : std::string("there is no room for it");
}

NotStored Catalog::cause_not_stored(const Entry& entry) const {
  const Gone* gone = gone_.find(entry.key);
  return gone != nullptr ? gone->cause : NotStored::no_room;
}

// Places the record, evicting in rounds, each four times as deep as the one before, in bytes and in values: memory that readers pin does not come
// back by eviction, so the first rounds must not clear the whole cache. And there must be few, for the store scans all pins in each of them: five
// (1, 4, 16, 64 values at least, and the rest) come to victims_per_store_max.
Catalog::Attempt Catalog::place(Entry& entry, const RecordImage& image, const PartSums& sums, double worth_us, std::size_t& victims_left, RecordRef& placed) {
  std::uint64_t wanted = record_bytes(entry.key.size(), sums.inline_bytes, image.parts->size());
  std::size_t victims_least = 1;
  bool weighed = false;
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
        if (!std::exchange(weighed, true) && wanted > store_.usage().arena_bytes / large_share && !worth_evicting_for(entry, wanted, worth_us)) {
          ++context_.counters.not_worth_storing;
          return Attempt::not_worth_it;
        }
        if (evict_least(entry, wanted, victims_least, victims_left) == 0) return Attempt::blocked;
        wanted *= deeper_by;
        victims_least *= deeper_by;
        break;
    }
  }
  return Attempt::blocked;
}

void Catalog::attach(Entry& entry, RecordRef record, const RecordImage& image, const PartSums& sums, Origin origin, Crf crf) {
  if (entry.value) take_out(entry, true);  // the store has retired the former record when it placed this one
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
  value.outdated = origin.outdated;
  if (origin.past) value.of_before = origin.past->of_before;
  value.stored = origin.past ? origin.past->stored : context_.now;
  value.used = context_.now;
  value.crf = crf;
  value.worth_us = worth_us(entry.function, value.was_put ? std::nullopt : std::optional(value.cost_us));
  value.log_merit_per_use = log_cost_per_byte(value.worth_us, record_bytes(entry));
  value.in_order = order_.insert(entry, crf + value.log_merit_per_use);
  if (!sums.blobs.empty()) {
    std::uint64_t weight = 0;  // a file takes a place like memory of its size, though none of the memory
    for (const BlobId blob : sums.blobs) {
      value.blob_memory += blobs_.charged(blob);
      weight += std::max(blobs_.charged(blob), blobs_.size(blob));
    }
    value.log_merit_per_use_in_blobs = log_cost_per_byte(value.worth_us, weight);
    value.in_blob_order = blob_order_.insert(entry, crf + value.log_merit_per_use_in_blobs);
    live_blob_memory_ += value.blob_memory;
    live_blobs_ += value.blobs;
    blobs_.placed(sums.blobs);
  }
  enter_session(entry);
  enter_function(entry);
  lifespans_.begin(entry);
  if (value.outdated || origin.past) lifespans_.advance(entry);
  by_record_.emplace(record, &entry);
}

void Catalog::detach(Entry& entry, bool may_be_named) {
  store_.unlink(entry.value->record);
  take_out(entry, may_be_named);
  directory_.may_be_unused(entry);
}

void Catalog::take_out(Entry& entry, bool may_be_named) {
  const StoredValue& value = *entry.value;
  by_record_.erase(value.record);
  order_.erase(value.in_order);
  if (value.in_blob_order) {
    blob_order_.erase(*value.in_blob_order);
    live_blob_memory_ -= value.blob_memory;
    live_blobs_ -= value.blobs;
    urgent_retired_ = true;
  }
  leave_session(entry);
  leave_function(entry);
  lifespans_.end(entry);
  directory_.dependencies().value_gone(entry, may_be_named);
  Function& function = functions_.at(entry.function);
  --function.entries;
  function.bytes -= value.bytes;
  entry.value.reset();
}

void Catalog::drop(Entry& entry, GoneReason reason, std::string text) {
  detach(entry, reason != GoneReason::invalidated && reason != GoneReason::evicted_dependencies_full);
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

// ---- blobs ----------------------------------------------------------------------------------------------------------

void Catalog::reclaim_urgent() {
  if (reclaim_at_ && store_.usage().retired_urgent() == 0) reclaim_at_.reset();
  if (!urgent_retired_ && !(reclaim_at_ && context_.now >= *reclaim_at_)) return;
  const bool fresh = std::exchange(urgent_retired_, false);
  const std::uint64_t before = store_.usage().retired_urgent();
  if (before > 0) store_.reclaim();
  const std::uint64_t left = store_.usage().retired_urgent();
  if (left == 0) return reclaim_at_.reset();
  const bool freed = left < before;
  reclaim_period_ = fresh || freed ? reclaim_period_min : std::min(reclaim_period_ * 2, reclaim_period_max);
  reclaim_at_ = context_.now + reclaim_period_;
}

void Catalog::put_off_reclaim() {
  if (!std::exchange(urgent_retired_, false) && !(reclaim_at_ && context_.now >= *reclaim_at_)) return reclaim_urgent();
  if (store_.usage().retired_urgent() == 0) return reclaim_at_.reset();
  reclaim_period_ = reclaim_period_min;
  reclaim_at_ = context_.now;
}

void Catalog::answer(const Entry& entry, ReplyAddress to, bool waited, SharedParts& parts) {
  protocol::Value answer;
  answer.version = entry.value->version;
  answer.cost_us = entry.value->cost_us;
  answer.waited = waited;
  answer.stale = entry.value->stretch == Stretch::stale;
  // Who keeps so much of what was dropped from reuse gets copies until he lets go of some. His own pins nobody can forbid.
  const bool may_pin = store_.pinned_bytes(to.connection) <= context_.settings.pinned_bytes_per_connection_max;
  if (!may_pin) ++context_.counters.refusals_by_limit[static_cast<std::size_t>(Limit::pinned_bytes_per_connection)];
  if (const auto pin = may_pin ? store_.grant_pin(to.connection, entry.value->record) : std::nullopt) {
    answer.record = static_cast<std::uint64_t>(entry.value->record);
    answer.pin = *pin;
    return context_.send(to, std::move(answer));
  }
  if (parts == nullptr) parts = std::make_shared<const std::vector<protocol::Part>>(store_.read(entry.value->record));
  answer_inline(to, std::move(answer), parts);
}

void Catalog::answer_inline(ReplyAddress to, protocol::Value value, const SharedParts& parts) {
  if (blobs_.lend(to.connection, *parts)) return context_.send(to, std::move(value), parts);
  context_.refuse_for(Limit::blobs_reserved_per_connection, to,
                      "the value's blobs cannot be lent: with them this connection would have too many that are reserved or lent; publish or release some");
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
    ONCED_ASSERT(*entry.value->in_order.at == &entry);
    with_blobs += entry.value->in_blob_order ? 1U : 0U;
    blobs += entry.value->blobs;
    blob_memory += entry.value->blob_memory;
    ONCED_ASSERT(entry.value->in_blob_order.has_value() == (entry.value->blobs > 0));
  });
  ONCED_ASSERT(values == by_record_.size() && values == order_.size() && changing == lifespans_.changing());
  ONCED_ASSERT(with_blobs == blob_order_.size() && blobs == live_blobs_ && blob_memory == live_blob_memory_);
  const BlobStore::Usage usage = blobs_.usage();
  ONCED_ASSERT(usage.count - usage.closing_count >= live_blobs_ + blobs_.reserved());
  ONCED_ASSERT(usage.charged_bytes - usage.closing_bytes >= live_blob_memory_);
  ONCED_ASSERT(!urgent_retired_ && (store_.usage().retired_urgent() == 0) == !reclaim_at_);  // or their memory never returns
  std::uint64_t counted = 0;
  for (const Function& function : functions_.all()) {
    counted += function.entries;
    ONCED_ASSERT(function.order.size() == (function.limited ? function.entries : 0U));
    ONCED_ASSERT(function.entries == 0 || function.limited == (bytes_max_of(function) != 0));
  }
  ONCED_ASSERT(counted == values);
  order_.check_invariants();
  blob_order_.check_invariants();
}

}  // namespace onced::engine
