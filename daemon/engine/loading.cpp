// Computations: values that are on disk and not in memory (disk_values.hpp). However many ask for one, it is read once; then they are told
// as if it had been there, or one of them computes it as if it had been nowhere.
#include <algorithm>
#include <utility>

#include "engine/computations.hpp"
#include "engine/key_fields.hpp"

namespace onced::engine {

using protocol::LeaseCause;
using protocol::SignalEvent;

bool Computations::is_to_load(Entry& entry, const protocol::Acquire& request) {
  if (entry.loading) return true;
  if (entry.value || entry.lease != nullptr || entry.queued || request.force || failure_of(entry) != nullptr) return false;
  return disk_.begin_load(entry, directory_.stamp());
}

// Who is not to wait for a holder waits for the disk all the same.
void Computations::wait_for_load(Entry& entry, Connection& from, protocol::RequestId id, protocol::Acquire request) {
  keep_own(request.held, from);
  const bool for_load = request.wait_ms == 0;
  if (for_load) request.wait_ms = request.load_ms;
  queue(entry, from, id, std::move(request));
  if (const auto waiting = from.waits.find(id); waiting != from.waits.end()) waiting->second->for_load = for_load;
}

void Computations::written(const DiskWritten& event) {
  std::vector<Entry*> without;
  disk_.written(event, without);
  for (Entry* const entry : without) {
    settle(*entry);
    disk_.end_load(*entry);
    directory_.may_be_unused(*entry);
    begin_without(*entry);
  }
}

void Computations::loaded(DiskLoaded event) {
  Entry* const found = disk_.take(event.ticket);
  if (found == nullptr) return;
  Entry& entry = *found;
  settle(entry);  // before what is under way is asked whether it is void
  const Loading loading = *entry.loading;
  const bool is_void = loading.is_void || (event.value && fences_.of(event.value->tags, loading.stamp));
  const auto may_be_given = [&] { return !is_void && event.value && is_usable(*event.value) && has_current_upstreams(entry, *event.value, loading); };
  bool is_given = may_be_given();
  bool has_room = is_given && has_room_for(event.value->upstreams);
  if (is_given && !has_room) {
    has_room = make_room_for(event.value->upstreams);
    is_given = may_be_given();  // again: what hangs nowhere may have gone for it
  }
  disk_.end_load(entry);
  forget_fences();
  directory_.may_be_unused(entry);
  if (!event.problem.empty()) note_disk_problem(entry, event.problem);
  SharedParts parts;
  if (!is_given) {
    ++context_.counters.disk_misses;
    return begin_without(entry);
  }
  ++context_.counters.disk_loads;
  const bool stored = store_loaded(entry, *event.value, has_room, parts);
  if (stored) {
    signals_.emit(SignalEvent::loaded, entry.key, entry.value->version);
    if (entry.value->stretch == Stretch::stale) signals_.emit(SignalEvent::stale, entry.key, entry.value->version);
  }
  serve_loaded(entry, *event.value, stored, parts);
}

// By the clock of the daemon that wrote it if that is this one: it is never fresh after its time, whatever the disk's clock was cut to.
std::uint64_t Computations::fresh_until_ms(const DiskValue& value) const {
  if (value.life.fresh_ms == protocol::as_configured) return protocol::never_expires;
  const std::uint64_t by_disk = time_word(context_.now) + value.life.fresh_ms;
  return value.epoch == context_.settings.epoch ? std::min(by_disk, value.fresh_until_ms) : by_disk;
}

bool Computations::is_usable(const DiskValue& value) const {
  return fresh_until_ms(value) > time_word(context_.now) || value.life.grace_ms > 0;
}

// Under the version that it had, if this daemon gave it that: whoever has computed something from it says so by that number. Tells
// whether it is in memory now. Without room for what it was computed from (`has_room`) it cannot be.
bool Computations::store_loaded(Entry& entry, DiskValue& value, bool has_room, SharedParts& parts) {
  const DiskIdentity copy{value.epoch, value.version};
  Catalog::Origin origin{.version = version_of_copy(entry, copy), .cost_us = value.cost_us, .by = value.origin, .was_put = value.was_put};
  const std::uint64_t present = time_word(context_.now);
  origin.past = Catalog::Origin::Past{.fresh_until_ms = std::max(fresh_until_ms(value), present), .early_ms = value.life.early_ms,
                                      .grace_ms = value.life.grace_ms, .stored = context_.now - duration_of_ms(value.age_ms)};
  if (value.epoch != context_.settings.epoch) origin.past->of_before = copy;
  value.version = origin.version;
  parts = std::make_shared<const std::vector<protocol::Part>>(std::move(value.parts));
  if (!has_room || (!sums_of(*parts).blobs.empty() && !catalog_.make_places_for_blobs(0))) return false;
  DependencyGraph& graph = directory_.dependencies();
  Derivation* const made = hang_on_copies(entry, value.version, value.upstreams);
  directory_.set_tags(entry, value.tags);
  if (catalog_.store(entry, *parts, {}, std::move(origin))) {
    graph.is_back(entry, value.version);
    return true;
  }
  if (made != nullptr) graph.may_go(*made);
  if (entry.derivations == nullptr) directory_.clear_tags(entry);  // or what hangs on them would not be found by one
  return false;
}

void Computations::serve_loaded(Entry& entry, const DiskValue& value, bool stored, const SharedParts& parts) {
  const bool stale = fresh_until_ms(value) <= time_word(context_.now);
  WaiterList takers;
  for (auto at = entry.waiters.begin(); at != entry.waiters.end();) {
    const auto waiter = at++;
    if (!waiter->forced && (!stale || waiter->accept_stale)) takers.splice(takers.end(), entry.waiters, waiter);
  }
  const std::uint64_t hits = takers.size();
  Function& function = functions_.at(entry.function);
  function.hits += hits;
  function.saved_us += hits * value.cost_us;
  context_.counters.hits += hits;
  context_.counters.disk_hits += hits;
  context_.counters.saved_us += hits * value.cost_us;
  context_.counters.stale_answers += stale ? hits : 0;
  if (hits > 0) context_.recent.add(entry.function, {.avoided = hits, .saved_us = hits * value.cost_us}, context_.now);
  SharedParts whole = parts;
  answer_all(takers, [&](Waiter& waiter) {
    if (stored) return catalog_.answer(entry, waiter.from, false, whole);
    catalog_.answer_inline(waiter.from, protocol::Value{.version = value.version, .parts = {}, .cost_us = value.cost_us, .stale = stale}, parts);
  });
  if (!entry.waiters.empty()) begin_for_others(entry, stale ? LeaseCause::stale : LeaseCause::forced);
}

void Computations::begin_without(Entry& entry) {
  functions_.at(entry.function).misses += entry.waiters.size();
  context_.counters.misses += entry.waiters.size();
  begin_for_others(entry, LeaseCause::absent);
}

// One of those who still wait begins, or they wait for their turn. Who was not to wait for that is told so.
void Computations::begin_for_others(Entry& entry, LeaseCause cause) {
  if (!may_begin(entry, false)) {  // before they are put into a queue that they would leave at once
    for (auto at = entry.waiters.begin(); at != entry.waiters.end();) {
      Waiter& waiter = *at++;
      if (waiter.for_load && waiter.may_compute) refuse_waiter(waiter, Error{ErrorCode::timed_out, holder_text(entry) + "; the request was not to wait for it"});
    }
  }
  begin_or_line_up(entry, cause);
  for (auto at = entry.waiters.begin(); at != entry.waiters.end();) {
    Waiter& waiter = *at++;
    if (waiter.for_load) {
      const bool is_under_way = entry.lease != nullptr || waiter.may_compute || entry.queued;
      refuse_waiter(waiter, is_under_way ? Error{ErrorCode::timed_out, holder_text(entry) + "; the request was not to wait for it"}
                                         : Error{ErrorCode::not_found, "nobody has computed " + display(entry.key) + " and nobody is computing it"});
    } else if (entry.lease != nullptr) {
      if (auto problem = circle_of(waiter.held, *entry.lease)) refuse_waiter(waiter, std::move(*problem));
    }
  }
}

// ---- what is published ----------------------------------------------------------------------------------------------

DiskTicket Computations::keep_on_disk(Entry& entry, const Kept& kept, const SharedParts& parts, const protocol::Retention& retention) {
  if (!disk_.takes(entry.key)) return {};
  if (retention.retire_older && kept.stored) {
    disk_.drop_label(DiskTier::Label::family, entry.key, false);
    for (Entry* const other : disk_.entries_loading())
      if (other->family == entry.family) other->loading->is_void = true;
  }
  if (kept.stored && !kept.outdated) {
    if (const auto upstreams = upstreams_on_disk(entry)) return disk_.put(entry, parts, retention.tags, *upstreams, retention.durable);
  }
  return disk_.drop(entry.key, retention.durable);  // what is there is of before
}

void Computations::disk(Connection& from, protocol::RequestId id, const protocol::Disk& request) {
  const ReplyAddress to{from.id, id};
  if (!disk_.is_on()) return context_.refuse(to, ErrorCode::not_found, "the values of this namespace are not kept on disk: the setting disk.path says where they would be");
  if (request.action != protocol::DiskAction::clear) return context_.send(to, context_.disk->report(request.action));
  const std::uint64_t values = context_.disk->usage().values;
  for (Entry* const entry : disk_.entries_loading()) entry->loading->is_void = true;
  disk_.answer(disk_.drop_label(DiskTier::Label::everything, {}, true), to, protocol::Done{values});
}

void Computations::note_disk_problem(const Entry& entry, const std::string& problem) {
  if (!context_.is_time_to_note(disk_noted_)) return;
  context_.note(Note::Level::warning, "the value of " + display(entry.key) + " could not be read from disk: " + problem);
}

}  // namespace onced::engine
