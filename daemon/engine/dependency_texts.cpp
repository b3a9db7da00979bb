#include "engine/dependency_texts.hpp"

#include <algorithm>

#include "engine/dependency_graph.hpp"
#include "engine/key_fields.hpp"
#include "engine/text.hpp"

namespace onced::engine {
namespace {

constexpr int steps_explained_max = 64;

std::string upstreams_text(const Derivation& derivation) {
  std::string text = "depends on " + count_text(derivation.upstreams.size(), "value");
  const std::size_t shown = std::min(derivation.upstreams.size(), upstreams_explained_max);
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? ": " : ", ") + display(derivation.upstreams[i].derivation->entry->key);
  if (const std::size_t more = derivation.upstreams.size() - shown; more > 0) text += " and " + count_text(more, "other");
  return text;
}

// The upstream that began it, and the one that it came over.
std::string why_outdated(const Derivation& derivation) {
  const Derivation* root = derivation.because;
  for (int steps = 0; root->because != nullptr && steps < steps_explained_max; ++steps) root = root->because;
  std::string text = "stale because " + display(root->entry->key) + " " + (root->why.empty() ? "changed" : root->why);
  if (root != derivation.because) text += ", from which its upstream " + display(derivation.because->entry->key) + " was computed";
  return text;
}

}  // namespace

std::vector<std::string> dependency_texts(const Entry& entry) {
  std::vector<std::string> lines;
  if (entry.derivations == nullptr) return lines;
  if (const Derivation* own = entry.value ? DependencyGraph::find(entry, entry.value->version) : nullptr) {
    if (!own->upstreams.empty()) lines.push_back(upstreams_text(*own));
    if (own->standing != Standing::current && own->because != nullptr) lines.push_back(why_outdated(*own));
  }
  if (const std::size_t dependants = entry.derivations->dependants; dependants > 0) lines.push_back(count_text(dependants, "value") + (dependants == 1 ? " was" : " were") + " computed from it");
  return lines;
}

}  // namespace onced::engine
