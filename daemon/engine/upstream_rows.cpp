#include "engine/upstream_rows.hpp"

#include <cstddef>
#include <utility>

#include <onced/protocol/limits.hpp>

#include "engine/dependency_graph.hpp"

namespace onced::engine {
namespace {

constexpr int steps_max = 64;                       // up to where it began
constexpr std::size_t row_bytes_max = 64 * 1024;    // of all rows' keys and texts: lines and parts want room in the frame, too

const Derivation* derivation_of_value(const Entry& entry) {
  if (entry.derivations == nullptr || !entry.value) return nullptr;
  return DependencyGraph::find(entry, entry.value->version);
}

protocol::UpstreamState state_of(Standing standing) {
  switch (standing) {
    case Standing::current: return protocol::UpstreamState::current;
    case Standing::outdated: return protocol::UpstreamState::outdated;
    case Standing::condemned: return protocol::UpstreamState::invalidated;
  }
  return protocol::UpstreamState::current;
}

protocol::UpstreamRow row_of(const Derivation& upstream) {
  protocol::UpstreamRow row;
  row.key = upstream.entry->key;
  row.version = upstream.version;
  row.state = state_of(upstream.standing);
  row.present = upstream.entry->value && upstream.entry->value->version == upstream.version;
  if (upstream.standing == Standing::current) return row;
  const Derivation* root = &upstream;
  for (int steps = 0; root->because != nullptr && steps < steps_max; ++steps) root = root->because;
  row.text = root->why.empty() ? "changed" : root->why;
  if (root != &upstream) row.origin = root->entry->key;
  return row;
}

}  // namespace

protocol::StaleCause stale_cause_of(const Entry& entry) {
  if (entry.value->softened != nullptr && entry.value->softened->made_stale) return protocol::StaleCause::invalidated;
  const Derivation* const own = derivation_of_value(entry);
  return own != nullptr && own->standing != Standing::current && own->because != nullptr ? protocol::StaleCause::upstream : protocol::StaleCause::time;
}

void describe_upstreams(const Entry& entry, protocol::Explanation& explanation) {
  if (entry.derivations == nullptr) return;
  explanation.dependants = entry.derivations->dependants;
  const Derivation* const own = derivation_of_value(entry);
  if (own == nullptr) return;
  explanation.upstreams_all = own->upstreams.size();
  std::size_t bytes = 0;
  for (const Derivation::Upstream& upstream : own->upstreams) {
    protocol::UpstreamRow row = row_of(*upstream.derivation);
    bytes += row.key.size() + row.text.size() + row.origin.size();
    if (explanation.upstreams.size() == limits::upstream_rows_max || (!explanation.upstreams.empty() && bytes > row_bytes_max)) return;
    explanation.upstreams.push_back(std::move(row));
  }
}

}  // namespace onced::engine
