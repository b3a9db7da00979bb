// Computations: what values on disk were computed from. A copy names its upstreams over all steps, each as it is on disk; the tier brings it only
// while all of them are there unchanged (disk_tier.hpp). What is left to decide here: what has become of them since the load began, and how an
// invalidation finds a value whose upstreams memory does not have.
#include <algorithm>
#include <utility>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/session.hpp>

#include "engine/computations.hpp"

namespace onced::engine {
namespace {

// The session's values are encrypted on disk, and what another record says of their keys would outlive them.
bool may_be_named_by(std::string_view key, std::string_view upstream) {
  return !protocol::names_session(upstream) || (protocol::names_session(key) && protocol::session_in(key) == protocol::session_in(upstream));
}

DiskIdentity identity_of(const DiskIdentity& of_before, std::uint64_t version, std::uint64_t epoch) {
  return of_before.is_said() ? of_before : DiskIdentity{epoch, version};
}

}  // namespace

// ---- what is written ------------------------------------------------------------------------------------------------

// An upstream that is not there would make the copy a miss for ever, so that is not written either.
std::optional<std::vector<DiskUpstream>> Computations::upstreams_on_disk(const Entry& entry) const {
  std::vector<DiskUpstream> upstreams;
  const Derivation* const own = DependencyGraph::find(entry, entry.value->version);
  if (own == nullptr || own->upstreams.empty()) return upstreams;
  if (own->standing != Standing::current) return std::nullopt;
  std::vector<const Derivation*> found{own};
  std::size_t looks = 0;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    for (const Derivation::Upstream& edge : found[i]->upstreams) {
      if (++looks > limits::disk_upstream_looks_max) return std::nullopt;
      const Derivation& one = *edge.derivation;
      if (std::find(found.begin(), found.end(), &one) != found.end()) continue;
      const Entry& of = *one.entry;
      const bool is_current = one.standing == Standing::current && one.version > of.derivations->condemned_up_to;
      if (upstreams.size() == limits::disk_upstreams_max || !is_current || of.key == entry.key || !may_be_named_by(entry.key, of.key) ||
          !disk_.may_have(of.key))
        return std::nullopt;
      DiskUpstream& upstream = upstreams.emplace_back(DiskUpstream{std::string(of.key), identity_of(one.of_before, one.version, context_.settings.epoch)});
      bytes += of.key.size();
      for (const TagPlace& place : of.tags) bytes += upstream.tags.emplace_back(place.tag->name).size();
      if (bytes > limits::disk_upstream_bytes_max) return std::nullopt;
      found.push_back(&one);
    }
  }
  return upstreams;
}

// ---- what is read ---------------------------------------------------------------------------------------------------

bool Computations::has_current_upstreams(const Entry& entry, const DiskValue& value, const Loading& loading) {
  if (value.upstreams.empty()) return true;
  for (const DiskUpstream& upstream : value.upstreams)
    if (upstream.key == entry.key || !may_be_named_by(entry.key, upstream.key) || !is_current(upstream, loading)) return false;
  return DependencyGraph::may_be_latest(entry, {value.epoch, value.version}, context_.settings.epoch);
}

// By the tier it was, when the load began.
bool Computations::is_current(const DiskUpstream& upstream, const Loading& loading) {
  if (disk_.has_changed(upstream.key, loading.changes)) return false;
  Entry* const entry = directory_.find(upstream.key);
  if (entry == nullptr) return true;
  settle(*entry);
  if (entry->value) {
    const StoredValue& present = *entry->value;
    if (present.outdated || identity_of(present.of_before, present.version, context_.settings.epoch) != upstream.identity) return false;
  }
  return DependencyGraph::may_be_latest(*entry, upstream.identity, context_.settings.epoch);
}

// One that this daemon gave it, or gave it before, or a new one.
std::uint64_t Computations::version_of_copy(const Entry& entry, const DiskIdentity& copy) {
  if (copy.epoch == context_.settings.epoch && copy.version <= last_version_) return copy.version;
  const Derivation* const known = DependencyGraph::find_copy(entry, copy, context_.settings.epoch);
  return known != nullptr ? known->version : ++last_version_;
}

Derivation* Computations::hang_on_copies(Entry& entry, std::uint64_t version, const std::vector<DiskUpstream>& upstreams) {
  if (upstreams.empty()) return nullptr;
  DependencyGraph& graph = directory_.dependencies();
  Derivation& made = graph.obtain(entry, version);
  if (!made.upstreams.empty()) return &made;  // it has been here before, and something still hangs on it
  made.was_read = true;
  made.upstreams.reserve(upstreams.size());
  for (const DiskUpstream& upstream : upstreams) graph.link(made, obtain_copy(upstream));
  return &made;
}

Derivation& Computations::obtain_copy(const DiskUpstream& upstream) {
  DependencyGraph& graph = directory_.dependencies();
  Entry& entry = directory_.obtain(upstream.key);
  directory_.may_be_unused(entry);
  if (entry.value) {
    if (Derivation* const known = DependencyGraph::find(entry, entry.value->version)) return *known;
    Derivation& present = graph.obtain(entry, entry.value->version);
    graph.stored(present);
    return present;
  }
  if (Derivation* const known = DependencyGraph::find_copy(entry, upstream.identity, context_.settings.epoch)) return *known;
  directory_.set_tags(entry, upstream.tags);  // it is settled: is_current()
  const bool is_own = upstream.identity.epoch == context_.settings.epoch;
  return graph.stand_for_copy(entry, version_of_copy(entry, upstream.identity), is_own ? DiskIdentity{} : upstream.identity);
}

}  // namespace onced::engine
