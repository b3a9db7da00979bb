// Computations: what was computed from what. It is judged when a value is published, recorded with it, and acted on when one of
// its upstreams is replaced or invalidated (dependency_graph.hpp, dependency_waves.hpp).
#include <algorithm>
#include <utility>

#include "engine/computations.hpp"
#include "engine/key_fields.hpp"

namespace onced::engine {

using protocol::SignalEvent;

// ---- when a value is published --------------------------------------------------------------------------------------

Standing Computations::standing_of(const Entry& own, const std::vector<protocol::Dependency>& upstreams, const Lease* lease) {
  Standing worst = Standing::current;
  for (const protocol::Dependency& upstream : upstreams) {
    if (upstream.key != own.key) worst = std::max(worst, standing_of(upstream, lease));
    if (worst == Standing::condemned) break;
  }
  return worst;
}

// What went while the computation was under way is still known (dependency_graph.hpp, "Named"). A version that is not is one that was
// invalidated, was gone before, or is above the bounds of what is kept, and nobody knows which. It counts as invalidated when anything was,
// since the computation began, and when it may have been derived from something itself, for a later invalidation of that would not find
// the value: too few are kept rather than one too many.
Standing Computations::standing_of(const protocol::Dependency& upstream, const Lease* lease) {
  Entry* const entry = directory_.find(upstream.key);
  if (entry != nullptr) settle(*entry);
  if (entry != nullptr && upstream.version != 0) {
    if (entry->value && entry->value->version == upstream.version)
      return entry->value->outdated ? Standing::outdated : Standing::current;
    // One that only stands for a copy on disk was not read here; and nobody knows what that was computed from.
    if (const Derivation* known = DependencyGraph::find(*entry, upstream.version); known != nullptr && !known->stands_for_copy)
      return known->version <= entry->derivations->condemned_up_to ? Standing::condemned : known->standing;
  }
  if (upstream.version != 0 && upstream.version <= directory_.dependencies().forgotten_up_to()) return Standing::condemned;
  const bool may_be_condemned = lease != nullptr ? invalidated_at_ > lease->stamp : upstream.version != 0 && upstream.version <= invalidated_up_to_;
  return may_be_condemned ? Standing::condemned : Standing::outdated;
}

// What is not known is recorded all the same, as a version that was not current: an invalidation of its key means this value.
Derivation* Computations::record_upstreams(Entry& entry, std::uint64_t version, const std::vector<protocol::Dependency>& upstreams) {
  DependencyGraph& graph = directory_.dependencies();
  Derivation* made = nullptr;
  for (const protocol::Dependency& dependency : upstreams) {
    if (dependency.key == entry.key) continue;
    if (made == nullptr) {
      made = &graph.obtain(entry, version);
      made->upstreams.reserve(upstreams.size());
    }
    Entry& of_upstream = directory_.obtain(dependency.key);
    directory_.may_be_unused(of_upstream);
    const bool is_present = of_upstream.value && of_upstream.value->version == dependency.version;
    const bool is_known = DependencyGraph::find(of_upstream, dependency.version) != nullptr;
    // Versions are not used twice: what nobody knows has the number of the value that claims it.
    const bool is_number = dependency.version != 0 && dependency.version < version;
    Derivation& upstream = graph.obtain(of_upstream, is_number ? dependency.version : version);
    if (is_present && !is_known) {
      graph.stored(upstream);
      DependencyGraph::note_standing(upstream);
    } else if (!is_known) {
      upstream.standing = Standing::outdated;
      upstream.why = "had no such value any more";
    }
    graph.link(*made, upstream);
    if (upstream.standing == Standing::current || made->standing != Standing::current) continue;
    made->standing = Standing::outdated;
    made->because = &upstream;
  }
  return made;
}

bool Computations::has_room_for_edges(std::size_t edges, std::size_t key_bytes) const {
  return directory_.dependencies().fits(edges, key_bytes, context_.settings.dependency_edges_max, context_.settings.dependency_key_bytes_max);
}

// Values go whose own upstreams are recorded, those first that were stored longest ago: without what is recorded they must not stay.
bool Computations::make_room_for_edges(std::size_t edges, std::size_t key_bytes) {
  DependencyGraph& graph = directory_.dependencies();
  const auto fits = [&] { return has_room_for_edges(edges, key_bytes); };
  if (fits()) return true;
  graph.forget_kept();
  directory_.release_dependencies(Directory::released_per_step_max);
  if (fits()) return true;
  note_dependencies_full();
  for (std::size_t victims = 0; victims < dependants_evicted_max && !fits(); ++victims) {
    directory_.release_dependencies(Directory::released_per_step_max);
    if (fits()) break;
    Derivation* const oldest = graph.oldest_without_dependants(dependants_evicted_max);
    if (oldest == nullptr) break;
    Entry& victim = *oldest->entry;
    const std::uint64_t version = oldest->version;
    catalog_.drop(victim, GoneReason::evicted_dependencies_full);
    ++context_.counters.evictions;
    ++context_.counters.dependency_evictions;
    signals_.emit(SignalEvent::evicted, victim.key, version);
  }
  directory_.release_dependencies(Directory::released_per_step_max);
  return fits();
}

void Computations::note_dependencies_full() {
  ++context_.counters.limits_reached;
  if (!context_.is_time_to_note(dependencies_noted_)) return;
  context_.note(Note::Level::warning, "no more can be recorded of what values depend on (" +
                                          std::to_string(context_.settings.dependency_edges_max) + " upstreams, or " +
                                          std::to_string(context_.settings.dependency_key_bytes_max) +
                                          " bytes of their keys); values that were stored long ago go for it; raise limits.dependency_edges_max or limits.dependency_key_bytes_max for more");
}

Computations::Kept Computations::keep(Entry& entry, const std::vector<protocol::Part>& parts, const protocol::Retention& retention,
                                      Catalog::Origin origin, Standing of_upstreams, bool has_room) {
  DependencyGraph& graph = directory_.dependencies();
  const std::string by = origin.by;
  const std::uint64_t version = origin.version;
  Kept kept{.outdated = of_upstreams != Standing::current};
  if (has_room) {
    Derivation* const made = record_upstreams(entry, version, retention.depends_on);
    kept.outdated |= made != nullptr && made->standing != Standing::current;
    origin.outdated = kept.outdated;
    kept.stored = catalog_.store(entry, parts, retention, std::move(origin));
    kept.wave = supersede(entry, "was replaced by " + by);
    if (made != nullptr) kept.stored ? graph.stored(*made) : graph.may_go(*made);
  } else {
    const char* const why = "what it depends on cannot be recorded: the limit dependency_edges_max or dependency_key_bytes_max is reached";
    if (entry.value) catalog_.drop(entry, GoneReason::not_stored, why);
    else catalog_.gone().remember(entry.key, Gone{GoneReason::not_stored, context_.now, why});
    ++context_.counters.stored_inline;
    kept.wave = supersede(entry, "was replaced by " + by);
  }
  context_.counters.stored_outdated += kept.stored && kept.outdated ? 1U : 0U;
  return kept;
}

// ---- when an upstream changes ---------------------------------------------------------------------------------------

std::uint64_t Computations::supersede(Entry& entry, std::string why) {
  if (entry.derivations == nullptr) return 0;
  Derivation* const former = std::exchange(entry.derivations->latest, nullptr);
  return former == nullptr ? await_waves(entry) : outdate(*former, std::move(why));
}

std::uint64_t Computations::outdate(Derivation& derivation, std::string why) {
  if (derivation.standing != Standing::current) return await_waves(*derivation.entry);
  derivation.standing = Standing::outdated;
  derivation.why = std::move(why);
  return derivation.dependants.empty() ? await_waves(*derivation.entry) : waves_.begin(derivation, {}).number;
}

// What was derived from the key is reached by what began before, if it is not yet: that is waited for, as if it had begun now.
std::uint64_t Computations::await_waves(const Entry& entry) {
  return waves_.empty() || entry.derivations->dependants == 0 ? 0 : waves_.begin_with_none().number;
}

// Of whatever version: who invalidates a key means all that is known of it.
std::uint64_t Computations::condemn(Entry& entry, const std::string& by) {
  if (entry.derivations == nullptr) return 0;
  entry.derivations->condemned_up_to = last_version_;
  entry.derivations->latest = nullptr;
  if (entry.derivations->dependants == 0) return 0;
  return waves_.begin_with_all(entry, by).number;
}

void Computations::go_on_with_waves(std::size_t most) {
  while (most > 0 && !waves_.empty()) {
    Wave& wave = waves_.front();
    const DependencyWaves::Visit visit = waves_.visit(wave);
    if (visit.over) {
      end_wave(wave);
      waves_.pop_front();
      continue;
    }
    --most;
    if (visit.left != nullptr) directory_.may_be_unused(*visit.left);
    if (visit.reached != nullptr) reach(wave, *visit.reached);
  }
}

// What is being computed for the dependant goes on: it may have read the new value, and if not, that shows when it is published.
void Computations::reach(Wave& wave, Derivation& reached) {
  Entry& entry = *reached.entry;
  settle(entry);
  if (!reached.stored) return;
  if (wave.to == Standing::outdated) {
    entry.value->outdated = true;
    const bool changed = catalog_.make_stale(entry);
    wave.values += changed ? 1U : 0U;
    context_.counters.dependants_made_stale += changed ? 1U : 0U;
    return;
  }
  const std::uint64_t version = reached.version;
  catalog_.drop(entry, GoneReason::invalidated, wave.by + " through its dependency on " + display(reached.because->entry->key));
  ++wave.values;
  ++context_.counters.dependants_dropped;
  signals_.emit(SignalEvent::invalidated, entry.key, version);
  if (entry.lease != nullptr) signals_.emit(SignalEvent::started, entry.key, 0);  // for subscribers the other has ended that
}

void Computations::end_wave(Wave& wave) {
  if (wave.to == Standing::condemned) invalidated_at_ = directory_.next_stamp();  // until now it could be read
  for (Invalidation& one : invalidations_.all())
    if (one.stamp == wave.invalidation) one.values += wave.values;
  if (!wave.reply_to) return disk_.forget(wave.written);
  if (auto* done = std::get_if<protocol::Done>(&wave.reply)) done->count += wave.values;
  connections_.at(wave.reply_to->connection).held_back.erase(wave.reply_to->id);
  disk_.answer(wave.written, *wave.reply_to, std::move(wave.reply));
}

// A published value is there; what depends on the former one goes with the daemon.
void Computations::give_held_back(Wave& wave) {
  if (!wave.reply_to) return;
  connections_.at(wave.reply_to->connection).held_back.erase(wave.reply_to->id);
  if (std::holds_alternative<protocol::Published>(wave.reply)) context_.send(*wave.reply_to, std::move(wave.reply));
  else context_.refuse(*wave.reply_to, ErrorCode::unavailable, context_.draining_why + "; what has not been dropped yet goes with it");
  wave.reply_to.reset();
}

// Who finds nothing left to do may owe that to a wave of somebody else that is still under way: what it comes to is meant as well.
std::uint64_t Computations::behind_all_waves() { return waves_.empty() ? 0 : waves_.begin_with_none().number; }

void Computations::answer_after(std::uint64_t wave_number, ReplyAddress to, protocol::Reply reply, DiskTicket written) {
  if (wave_number == 0 || waves_.is_over(wave_number)) return disk_.answer(written, to, std::move(reply));
  Wave& wave = waves_.at(wave_number);
  wave.written = written;
  wave.reply_to = to;
  wave.reply = std::move(reply);
  connections_.at(to.connection).held_back.insert(to.id);
}

}  // namespace onced::engine
