#include "engine/wait_graph.hpp"

#include <algorithm>
#include <unordered_set>

#include "engine/key_fields.hpp"

namespace onced::engine {
namespace {

const Lease* awaited_by(const Waiter& waiter) { return waiter.detached != nullptr ? waiter.detached : waiter.entry->lease; }

bool holds(const std::vector<protocol::Token>& held, const Lease& lease) {
  return std::find(held.begin(), held.end(), lease.token) != held.end();
}

std::string computed_by(const Lease& lease) { return display(lease.entry->key, 80) + " (" + lease.holder_name + ")"; }

}  // namespace

void WaitGraph::add(const Waiter& waiter) {
  for (const protocol::Token& token : waiter.held) waits_of_[token.counter].emplace(waiter.number, &waiter);
}

void WaitGraph::remove(const Waiter& waiter) {
  for (const protocol::Token& token : waiter.held) {
    const auto found = waits_of_.find(token.counter);
    if (found == waits_of_.end()) continue;  // named twice in one request
    found->second.erase(waiter.number);
    if (found->second.empty()) waits_of_.erase(found);
  }
}

std::optional<Error> WaitGraph::check(const std::vector<protocol::Token>& held, const Lease& target, const IsEnding& is_ending) const {
  if (held.empty()) return std::nullopt;
  if (holds(held, target)) {
    return Error{ErrorCode::recursion, "the computation of " + display(target.entry->key) +
                                           " asked for its own key; compute it without that call, or under another key"};
  }
  // Depth first; `chain` is the way from the target to where the search is.
  static const Waits none;
  const auto waits_of = [&](const Lease& lease) -> const Waits& {
    const auto found = waits_of_.find(lease.token.counter);
    return found == waits_of_.end() ? none : found->second;
  };
  struct Step {
    const Lease* lease;
    Waits::const_iterator next_wait;
    Waits::const_iterator end;
  };
  const auto step_to = [&](const Lease& lease) {
    const Waits& waits = waits_of(lease);
    return Step{&lease, waits.begin(), waits.end()};
  };
  std::vector<Step> chain{step_to(target)};
  std::unordered_set<const Lease*> seen{&target};
  for (std::size_t steps = 0; !chain.empty(); ++steps) {
    if (steps > wait_steps_max) {
      return Error{ErrorCode::deadlock, "more than " + std::to_string(wait_steps_max) + " waits hang on " +
                                            computed_by(target) + "; too many to rule out a deadlock"};
    }
    if (chain.back().next_wait == chain.back().end) {
      chain.pop_back();
      continue;
    }
    const Lease* next = awaited_by(*chain.back().next_wait++->second);
    if (next == nullptr || is_ending(*next)) continue;  // waits for whoever begins next, or is about to be told that it waits no more
    if (holds(held, *next)) {
      std::string text = "waiting would be a deadlock: " + computed_by(target);
      for (std::size_t i = 1; i < chain.size(); ++i) text += " waits for " + computed_by(*chain[i].lease);
      text += " waits for " + display(next->entry->key, 80) + ", which the asking computation holds";
      return Error{ErrorCode::deadlock, std::move(text)};
    }
    if (seen.insert(next).second) chain.push_back(step_to(*next));
  }
  return std::nullopt;
}

}  // namespace onced::engine
