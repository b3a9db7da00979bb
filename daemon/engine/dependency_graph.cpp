#include "engine/dependency_graph.hpp"

#include <algorithm>

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
  derivation.stored = true;
  derivation.entry->derivations->latest = &derivation;
  if (derivation.upstreams.empty() || derivation.ordered) return;
  derivation.in_order = in_order_.insert(in_order_.end(), &derivation);
  derivation.ordered = true;
}

void DependencyGraph::value_gone(Entry& entry) {
  Derivation* const one = find(entry, entry.value->version);
  if (one == nullptr) return;
  one->stored = false;
  if (one->ordered) in_order_.erase(one->in_order);
  one->ordered = false;
  may_go(*one);
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
    ONCED_ASSERT(!one.stored || all.latest == &one);
    ONCED_ASSERT(one.ordered == (one.stored && !one.upstreams.empty()));
    ONCED_ASSERT(is_needed(one) || one.release_due);  // or nobody would ever take it apart
    ONCED_ASSERT(!one.stored || one.standing == Standing::current || entry.value->outdated || version <= all.condemned_up_to);
    for (const Derivation::Upstream& upstream : one.upstreams) {
      ONCED_ASSERT(upstream.derivation->version < version || upstream.derivation->upstreams.empty());  // no circles
      ONCED_ASSERT(*upstream.place == &one);
    }
  }
  ONCED_ASSERT(dependants == all.dependants);
}

}  // namespace onced::engine
