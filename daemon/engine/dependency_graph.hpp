// Which value was computed from which, value by value: a version of a key is derived from versions of other keys.
//
// A graph of versions, not of keys. What a value was computed from is known when it is stored and never changes; whatever it
// names is older than itself, so there are no circles, also where keys depend on each other in turn. A key whose value is refreshed
// has a new Derivation, and what was computed from the old one still hangs on that: it can be found for as long as
// anything is left that was derived from it, however often the keys in between have been replaced, evicted or have expired.
//
// Standing:  what became of a version. It only gets worse, so that a wave (dependency_waves.hpp) meets each value at most twice.
//            Eviction and expiry are no change of content: they change nothing here.
// Life:      a Derivation is there while its value is stored and was derived from something, or while another hangs on it. Entries with
//            derivations are not swept: their tags and their function still mean what was derived from them.
// On disk:   a value that is read from disk hangs on all that it was computed from, over all steps. Those that memory does not have get a Derivation
//            that stands for them, so that what means them finds what was derived from them. It knows none of their own upstreams; nobody who
//            names such a version has read it here.
// Named:     a computation under way may have read any value that went since it began, and will name it when it is published. So what goes
//            meanwhile, derived or not, is kept as a Derivation until all have ended that were under way then: whether it was replaced,
//            made stale or only evicted or has expired is found out as of any other, by waves and settling. What was invalidated is not kept:
//            it counts as that because something was. Neither is what has gone before, nor what is above the bounds
//            (limits::gone_values_kept_max): of that nothing is known, and who names it must be prepared for the worst.
//
// Ownership: owns derivations; points to entries, which the directory keeps for so long.
// Bounds:    the caller asks fits() before link(). What is not needed any more is taken apart some at a time, in release().
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/entry.hpp"

namespace onced::engine {

enum class Standing : std::uint8_t {
  current,    // what is computed from it now is fresh
  outdated,   // replaced, made stale by somebody, or derived from such
  condemned,  // invalidated, or derived from what was: nothing that was derived from it may be found
};

// A version of a key that was derived from something, or that something was derived from.
struct Derivation {
  struct Upstream {
    Derivation* derivation = nullptr;
    std::list<Derivation*>::iterator place;  // among its dependants
  };

  Entry* entry = nullptr;
  std::uint64_t version = 0;
  Standing standing = Standing::current;
  bool stored = false;                // it is the value of its entry
  bool release_due = false;
  bool forgotten = false;             // is being taken apart: not to be found any more
  bool stands_for_copy = false;       // of a value that has not been in memory since: it is on disk
  bool was_read = false;              // its upstreams are those that the disk named, and need not be older by their numbers
  DiskIdentity of_before{};           // under which an earlier daemon wrote its value to disk; otherwise not said
  std::size_t kept = 0;               // for computations that may have read it: so often it has gone, if a value can come back
  std::size_t waves = 0;              // that are still to go on from it
  std::uint64_t passed_by = 0;        // the latest wave that went on from it though it stood as badly already
  std::vector<Upstream> upstreams;
  std::list<Derivation*> dependants;
  const Derivation* because = nullptr;  // not current because of this upstream; null: because of what `why` says
  std::string why;                      // "was replaced by pid 4711 (gunicorn)"
  std::list<Derivation*>::iterator in_order;  // of stored ones that have upstreams, the oldest first
  bool ordered = false;
};

// Those of one key.
struct Derivations {
  std::map<std::uint64_t, Derivation> by_version;
  Derivation* latest = nullptr;        // of the value that was stored last, evicted or not; null: nothing hangs on that
  Derivation* of_before = nullptr;     // of the one value that an earlier daemon may have left on disk
  std::uint64_t condemned_up_to = 0;   // those of these versions are, though a wave may yet have to say so
  std::size_t waves = 0;               // that begin with all of them
  std::size_t dependants = 0;          // of all of them
};

class DependencyGraph {
 public:
  // Of this version; null: nothing is known of it.
  static Derivation* find(const Entry& entry, std::uint64_t version);
  // Made when there is none: current, not stored, without upstreams.
  Derivation& obtain(Entry& entry, std::uint64_t version);
  // This one was derived from that one.
  void link(Derivation& dependant, Derivation& upstream);
  // Its value was stored as that of its entry.
  void stored(Derivation& derivation);
  // It is that again: it was read from disk, where it was what it always had been. Dependants that were made stale while it was away stay so.
  void is_back(Entry& entry, std::uint64_t version);
  // Of a copy on disk, if this is the epoch of who numbers here; null: nothing is known of it.
  static Derivation* find_copy(const Entry& entry, const DiskIdentity& copy, std::uint64_t epoch);
  // Whether what is on disk may be taken for what the key has, by all that is known here of it.
  static bool may_be_latest(const Entry& entry, const DiskIdentity& copy, std::uint64_t epoch);
  // Made for a copy on disk that has none, and is the latest: under this version. `of_before`: it was written under that.
  Derivation& stand_for_copy(Entry& entry, std::uint64_t version, const DiskIdentity& of_before);
  // Of a plain one that the graph learns of late: what became of the value that its entry has.
  static void note_standing(Derivation& derivation);
  // The value that the entry has goes. Unless it was invalidated it may be named by computations that are under way.
  void value_gone(Entry& entry, bool may_be_named);
  // So many leases there are, of which the oldest has this number; no lease had a higher one than `newest`.
  void under_way(std::size_t leases, std::uint64_t oldest, std::uint64_t newest);
  // Gives up what is kept for computations that are under way: the room is wanted for values that are there.
  void forget_kept();
  std::size_t kept() const { return kept_.size(); }
  // Takes it apart, some time soon, when it is not needed any more.
  void may_go(Derivation& derivation);

  // A wave goes on from this derivation, or begins with all of the entry; and it has ended.
  void pin(Derivation& derivation) { ++derivation.waves; }
  void unpin(Derivation& derivation);
  void pin_all(Entry& entry) { ++entry.derivations->waves; }
  // True: the entry is left without derivations.
  bool unpin_all(Entry& entry);

  // Room for so many more upstreams with so many bytes of keys.
  bool fits(std::size_t edges, std::size_t key_bytes, std::size_t edges_max, std::size_t key_bytes_max) const {
    return edges_ + edges <= edges_max && key_bytes_ + key_bytes <= key_bytes_max;
  }
  // Among those stored longest ago, one whose edges come back when its value goes; looks at `looks` at most. Null: none.
  Derivation* oldest_without_dependants(std::size_t looks);

  // Takes apart what is not needed any more, up to so many edges and derivations; calls left(Entry&) for each entry that has no
  // derivations any more.
  template <typename Left>
  void release(std::size_t most, Left left);
  // Versions up to this one may have been derived from something that is forgotten; newer ones that are not known were not.
  std::uint64_t forgotten_up_to() const { return forgotten_up_to_; }
  bool has_releases_left() const { return !to_release_.empty(); }

  std::size_t edges() const { return edges_; }
  std::size_t size() const { return derivations_; }
  // Of one entry; sums into `edges` and `derivations`.
  static void check(const Entry& entry, std::size_t& edges, std::size_t& derivations);

 private:
  // A value that is not there any more.
  struct Kept {
    std::uint64_t newest = 0;  // the newest lease when it went
    Derivation* derivation = nullptr;
  };
  static bool is_needed(const Derivation& one) { return one.stored || one.kept > 0 || one.waves > 0 || !one.dependants.empty(); }
  bool drop_if_empty(Entry& entry);
  void keep(Derivation& derivation);
  void forget_longest_kept();
  void forget(Derivation& derivation);

  std::size_t edges_ = 0;
  std::size_t key_bytes_ = 0;  // of the upstreams, once for each edge
  std::size_t derivations_ = 0;
  std::uint64_t forgotten_up_to_ = 0;
  std::list<Derivation*> in_order_;
  std::deque<Derivation*> to_release_;
  std::deque<Kept> kept_;  // in order of their going
  std::size_t kept_key_bytes_ = 0;
  std::size_t leases_ = 0;
  std::uint64_t newest_lease_ = 0;
};

template <typename Left>
void DependencyGraph::release(std::size_t most, Left left) {
  while (most > 0 && !to_release_.empty()) {
    Derivation& one = *to_release_.front();
    if (!is_needed(one)) {
      forget(one);
      while (most > 0 && !one.upstreams.empty()) {
        Derivation& upstream = *one.upstreams.back().derivation;
        upstream.dependants.erase(one.upstreams.back().place);
        one.upstreams.pop_back();
        --edges_;
        key_bytes_ -= upstream.entry->key.size();
        --upstream.entry->derivations->dependants;
        may_go(upstream);
        --most;
      }
      if (!one.upstreams.empty()) return;
    }
    to_release_.pop_front();
    one.release_due = false;
    if (is_needed(one)) continue;
    Entry& entry = *one.entry;
    Derivations& all = *entry.derivations;
    if (all.latest == &one) all.latest = nullptr;
    if (all.of_before == &one) all.of_before = nullptr;
    all.by_version.erase(one.version);
    --derivations_;
    if (most > 0) --most;
    if (drop_if_empty(entry)) left(entry);
  }
}

}  // namespace onced::engine
