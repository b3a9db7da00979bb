#include "engine/dependency_graph.hpp"

#include <algorithm>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/result.hpp>

namespace onced::engine {

void DerivationsDeleter::operator()(Derivations* derivations) const { delete derivations; }

Derivation* DependencyGraph::find(const Entry& entry, std::uint64_t version) {
  if (entry.derivations == nullptr) return nullptr;
  const auto found = entry.derivations->by_version.find(version);
  return found == entry.derivations->by_version.end() || found->second.forgotten ? nullptr : &found->second;
}

Derivation& DependencyGraph::obtain(Entry& entry, std::uint64_t version) {
  if (entry.derivations == nullptr) entry.derivations.reset(new Derivations);
  const auto [at, is_new] = entry.derivations->by_version.try_emplace(version);
  if (!is_new) return at->second;
  at->second.entry = &entry;
  at->second.version = version;
  ++derivations_;
  return at->second;
}

void DependencyGraph::link(Derivation& dependant, Derivation& upstream) {
  dependant.upstreams.push_back({&upstream, upstream.dependants.insert(upstream.dependants.end(), &dependant)});
  ++edges_;
  key_bytes_ += upstream.entry->key.size();
  ++upstream.entry->derivations->dependants;
}

void DependencyGraph::stored(Derivation& derivation) {
  Derivations& all = *derivation.entry->derivations;
  derivation.stored = true;
  derivation.stands_for_copy = false;
  derivation.of_before = derivation.entry->value->of_before;
  if (derivation.of_before.is_said()) all.of_before = &derivation;
  all.latest = &derivation;
  if (derivation.upstreams.empty() || derivation.ordered) return;
  derivation.in_order = in_order_.insert(in_order_.end(), &derivation);
  derivation.ordered = true;
}

void DependencyGraph::is_back(Entry& entry, std::uint64_t version) {
  Derivation* const one = find(entry, version);
  if (one == nullptr) return;
  one->standing = Standing::current;
  one->because = nullptr;
  one->why.clear();
  stored(*one);
}

// Of what an earlier daemon wrote only one version can be left: whatever takes its place is numbered here.
Derivation* DependencyGraph::find_copy(const Entry& entry, const DiskIdentity& copy, std::uint64_t epoch) {
  if (entry.derivations == nullptr) return nullptr;
  if (copy.epoch == epoch) return find(entry, copy.version);
  Derivation* const known = entry.derivations->of_before;
  return known == nullptr || known->forgotten || known->of_before != copy ? nullptr : known;
}

// When in doubt it may not: it is computed again.
bool DependencyGraph::may_be_latest(const Entry& entry, const DiskIdentity& copy, std::uint64_t epoch) {
  if (entry.derivations == nullptr) return true;
  const Derivations& all = *entry.derivations;
  if (const Derivation* const known = find_copy(entry, copy, epoch)) return known->standing == Standing::current && known->version > all.condemned_up_to;
  const bool is_own = copy.epoch == epoch;
  if (is_own && (copy.version <= all.condemned_up_to || all.by_version.contains(copy.version))) return false;  // the latter is being taken apart
  return all.latest == nullptr && (is_own || all.of_before == nullptr);
}

Derivation& DependencyGraph::stand_for_copy(Entry& entry, std::uint64_t version, const DiskIdentity& of_before) {
  Derivation& one = obtain(entry, version);
  one.stands_for_copy = true;
  one.of_before = of_before;
  if (of_before.is_said()) entry.derivations->of_before = &one;
  entry.derivations->latest = &one;
  return one;
}

void DependencyGraph::value_gone(Entry& entry, bool may_be_named) {
  // The key's own computation does not depend on what it replaces.
  const bool is_kept = may_be_named && leases_ > (entry.lease != nullptr ? 1U : 0U);
  Derivation* one = find(entry, entry.value->version);
  if (one == nullptr) {
    if (!is_kept) return;
    one = &obtain(entry, entry.value->version);
    stored(*one);
    note_standing(*one);
  }
  one->stored = false;
  if (one->ordered) in_order_.erase(one->in_order);
  one->ordered = false;
  is_kept ? keep(*one) : may_go(*one);
}

void DependencyGraph::note_standing(Derivation& derivation) {
  if (!derivation.entry->value->outdated) return;
  derivation.standing = Standing::outdated;
  derivation.why = "was invalidated softly";
}

void DependencyGraph::keep(Derivation& derivation) {
  const std::size_t key_bytes = derivation.entry->key.size();
  while (!kept_.empty() && (kept_.size() >= limits::gone_values_kept_max || kept_key_bytes_ + key_bytes > limits::gone_values_key_bytes_max)) forget_longest_kept();
  ++derivation.kept;
  kept_.push_back({newest_lease_, &derivation});
  kept_key_bytes_ += key_bytes;
}

void DependencyGraph::forget_longest_kept() {
  Derivation& longest = *kept_.front().derivation;
  kept_.pop_front();
  kept_key_bytes_ -= longest.entry->key.size();
  --longest.kept;
  may_go(longest);
}

void DependencyGraph::under_way(std::size_t leases, std::uint64_t oldest, std::uint64_t newest) {
  leases_ = leases;
  newest_lease_ = std::max(newest_lease_, newest);
  while (!kept_.empty() && (leases == 0 || kept_.front().newest < oldest)) forget_longest_kept();
}

void DependencyGraph::forget_kept() {
  while (!kept_.empty()) forget_longest_kept();
}

void DependencyGraph::may_go(Derivation& derivation) {
  if (derivation.release_due || is_needed(derivation)) return;
  derivation.release_due = true;
  to_release_.push_back(&derivation);
}

void DependencyGraph::unpin(Derivation& derivation) {
  --derivation.waves;
  may_go(derivation);
}

bool DependencyGraph::unpin_all(Entry& entry) {
  --entry.derivations->waves;
  return drop_if_empty(entry);
}

void DependencyGraph::forget(Derivation& derivation) {
  if (derivation.forgotten || derivation.upstreams.empty()) return;
  derivation.forgotten = true;
  forgotten_up_to_ = std::max(forgotten_up_to_, derivation.version);
}

bool DependencyGraph::drop_if_empty(Entry& entry) {
  if (entry.derivations->waves > 0 || !entry.derivations->by_version.empty()) return false;
  entry.derivations.reset();
  return true;
}

Derivation* DependencyGraph::oldest_without_dependants(std::size_t looks) {
  for (std::size_t left = std::min(looks, in_order_.size()); left > 0; --left) {
    Derivation* const oldest = in_order_.front();
    if (oldest->dependants.empty() && oldest->waves == 0) return oldest;
    in_order_.splice(in_order_.end(), in_order_, oldest->in_order);
  }
  return nullptr;
}

void DependencyGraph::check(const Entry& entry, std::size_t& edges, std::size_t& derivations) {
  if (entry.derivations == nullptr) return;
  const Derivations& all = *entry.derivations;
  ONCED_ASSERT(all.waves > 0 || !all.by_version.empty());
  std::size_t dependants = 0;
  for (const auto& [version, one] : all.by_version) {
    ++derivations;
    dependants += one.dependants.size();
    edges += one.upstreams.size();
    ONCED_ASSERT(one.entry == &entry && one.version == version);
    ONCED_ASSERT(one.stored == (entry.value && entry.value->version == version));
    ONCED_ASSERT(!one.stored || (all.latest == &one && !one.stands_for_copy));
    ONCED_ASSERT(!one.stored || one.of_before == entry.value->of_before);
    ONCED_ASSERT(one.ordered == (one.stored && !one.upstreams.empty()));
    ONCED_ASSERT(is_needed(one) || one.release_due);  // or nobody would ever take it apart
    ONCED_ASSERT(!one.stored || one.standing == Standing::current || entry.value->outdated || version <= all.condemned_up_to);
    for (const Derivation::Upstream& upstream : one.upstreams) {
      ONCED_ASSERT(upstream.derivation->version < version || upstream.derivation->upstreams.empty() || one.was_read);  // no circles
      ONCED_ASSERT(*upstream.place == &one);
    }
  }
  ONCED_ASSERT(dependants == all.dependants);
}

}  // namespace onced::engine
