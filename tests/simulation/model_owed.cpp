// Model: what must be there after a step, and what must not be left.
#include <algorithm>

#include "engine/context.hpp"
#include "model.hpp"

namespace onced::simulation {

using engine::time_word;

void Model::check_owed() const {
  require(step_.dying.empty(), "holders die in a row and nobody says so (L2)");
  for (const auto& [address, wait] : waits_) {
    const KeyModel& key = keys_.at(wait.key);
    require(schedule_.now < wait.deadline, "a waiter was not told that its deadline has passed (L3)");
    require(!draining_, "a waiter was left without an answer while the daemon drains (L3)");
    if (wait.fenced || wait.cancelled_by != 0) continue;  // it is told in one of the next steps
    require(!step_.must_recurse || step_.request != address, "a recursion was not refused (L7)");
    require(!step_.would_deadlock || step_.request != address, "a deadlock was not refused (L7)");
    const bool too_old = step_.fate.may_be_outdated && !takes_too_old(wait);
    if (step_.publishing == wait.key && step_.detached_publish == 0 && !step_.void_put)
      require(wait.detached != 0 || step_.rejoined.contains(address) || too_old, "a waiter was not told the value that was published (L3)");
    if (step_.cancelling) require(!in_scope(*step_.cancelling, wait.key) || (lease_of(wait) == nullptr && !key.queued), "a waiter outlived a cancellation");
    if (wait.detached != 0) {
      require(leases_.contains(wait.detached), "a waiter waits for a lease that ended (L3)");
      continue;
    }
    require(disk_ == nullptr || wait.request.wait_ms != 0 || is_loading(wait.key), "who would not wait was left waiting, and not for the disk");
    require(key.live != 0 || !wait.request.may_compute || is_loading(wait.key) || (is_full(function_of_key(wait.key)) && !holder_waits_for(wait.key)),
            "a waiter that can compute was left without a holder (L2, L3)");
    require(!may_have(wait.request, key), "a waiter was left waiting though there is a value (L3)");
  }
  for (const auto& [counter, lease] : leases_) {
    require(schedule_.now < lease.limit_at, "a lease outlived its limit (L2)");
    require(lease.taken_up || schedule_.now < lease.take_up_by, "a lease that was not taken up was not passed on (L2)");
    if (step_.cancelling) require(!in_scope(*step_.cancelling, lease.key), "a lease outlived a cancellation");
  }
  for (const auto& [name, key] : keys_) {
    const SignalModel::Replica told = signals_.replica(name);
    const bool to_be_told = (key.invalidated_by != 0 || key.softened_by != 0 || key.fenced || key.cancelled_by != 0) && told.computing;  // a lease is over, or detached
    require(to_be_told || told.computing == (key.live != 0), [&] { return "the signals say otherwise about who computes " + name_of_key(name) + " (L9)"; });
    require(told.queued == key.queued.has_value(), [&] { return "the signals say otherwise about whether " + name_of_key(name) + " is queued (L9)"; });
    require(told.version == (key.value ? key.value->version : 0), [&] { return "the signals say otherwise about the value of " + name_of_key(name) + " (L9)"; });
    if (!key.value) continue;
    require(!expired(key), "a value outlived its time");
    require(key.value->stale == (time_word(schedule_.now) >= key.value->fresh_until_ms), "a value is stale and nobody was told");
  }
}

// Of those that were answered in this step nothing is left (L5, L6).
void Model::check_invalidated() {
  for (const auto& [answered, count] : step_.invalidated) {
    const auto own = std::find_if(invalidations_.begin(), invalidations_.end(), [number = answered.number](const auto& one) { return one.number == number; });
    require(!count || *count == own->values || (has_dependencies() && *count >= own->values) || (own->may_be_on_disk && own->values == 0 && *count == 1),
            "an invalidation counted wrongly");
    invalidation_is_over(*own);
    invalidations_.erase(own);
    for (auto& [name, key] : keys_) {
      if (!means(answered, name)) continue;
      require(!key.value || key.value->dropped_by == 0 || key.value->dropped_by > answered.number, "a value outlived its invalidation (L6)");
      require(!key.value || key.value->softened_by == 0 || key.value->softened_by > answered.number,
              "a value stayed fresh after its invalidation (L6)");
      if (key.invalidated_by <= answered.number) key.invalidated_by = 0;
      if (key.softened_by <= answered.number) key.softened_by = 0;
      for (const auto& [counter, lease] : leases_)
        require(lease.key != name || !lease.owes_lost || key.invalidated_by != 0 || key.softened_by != 0,
                "a lease was not detached by an invalidation (L5)");
      for (const auto& [counter, lease] : dead_leases_)
        require(lease.key != name || !lease.owes_lost || key.invalidated_by != 0 || key.softened_by != 0, "a lease that is cancelled as well was not detached by an invalidation (L5)");
    }
  }
  for (const Invalidation& one : invalidations_)
    require(one.scope.kind != protocol::ScopeKind::key || !one.to || has_dependencies() || disk_ != nullptr, "an invalidation of one key was not answered at once");
  for (auto& [name, key] : keys_) {
    if (key.live == 0) continue;
    require(!key.value || (key.value->dropped_by == 0 && key.value->softened_by == 0),
            "a lease was granted beside a value that is to be dropped (L6)");
    key.invalidated_by = key.softened_by = 0;
  }
}

void Model::check_all_dropped() const {
  for (const auto& [name, key] : keys_) {
    require(!key.value || (key.value->dropped_by == 0 && key.value->softened_by == 0), "an invalidation never ended (L6)");
    require(!key.value || !key.value->superseded, "a value stayed though one of a newer version took its place");
  }
  for (const auto& [counter, lease] : leases_) require(!lease.owes_lost, "a holder was never told that its lease was detached");
}

void Model::check_blobs() {
  std::set<std::uint64_t> live;
  for (const auto& [name, key] : keys_)
    if (key.value) live.insert(contents_.at({name, key.value->version}).blobs.begin(), contents_.at({name, key.value->version}).blobs.end());
  blobs_.check(live);
}

const Model::Lease* Model::lease_of(const Wait& wait) const {
  const auto key = keys_.find(wait.key);
  const auto found = leases_.find(wait.detached != 0 ? wait.detached : key->second.live);
  return found == leases_.end() ? nullptr : &found->second;
}

// Whether waiting for lease `from` leads, over the waits of threads that hold it, to a lease in `held`.
bool Model::reaches(std::uint64_t from, const std::vector<protocol::Token>& held, std::set<std::uint64_t>& seen) const {
  if (!seen.insert(from).second) return false;
  for (const auto& [address, wait] : waits_) {
    if (step_.request == address || wait.fenced) continue;  // the one that is being asked about
    const bool holds = std::any_of(wait.request.held.begin(), wait.request.held.end(), [&](const auto& t) { return t.counter == from; });
    if (!holds || lease_of(wait) == nullptr) continue;
    const std::uint64_t next = wait.detached != 0 ? wait.detached : keys_.at(wait.key).live;
    for (const protocol::Token& token : held)
      if (token.counter == next) return true;
    if (reaches(next, held, seen)) return true;
  }
  return false;
}

// No thread waits for itself, however long the way.
void Model::check_no_circle() const {
  for (const auto& [address, wait] : waits_) {
    if (wait.request.held.empty() || wait.fenced || lease_of(wait) == nullptr) continue;
    const std::uint64_t awaited = wait.detached != 0 ? wait.detached : keys_.at(wait.key).live;
    std::set<std::uint64_t> seen;
    for (const protocol::Token& token : wait.request.held) require(token.counter != awaited, "a computation waits for itself (L7)");
    // `reaches` skips the request of the step, which is what closes a circle last.
    std::vector<std::uint64_t> front{awaited};
    while (!front.empty()) {
      const std::uint64_t at = front.back();
      front.pop_back();
      if (!seen.insert(at).second) continue;
      for (const auto& [other_address, other] : waits_) {
        const auto holds = [&](std::uint64_t counter) {
          return std::any_of(other.request.held.begin(), other.request.held.end(), [&](const auto& t) { return t.counter == counter; });
        };
        if (!holds(at) || lease_of(other) == nullptr) continue;
        const std::uint64_t next = other.detached != 0 ? other.detached : keys_.at(other.key).live;
        for (const protocol::Token& token : wait.request.held) require(token.counter != next, "holders wait for each other (L7)");
        front.push_back(next);
      }
    }
  }
}

}  // namespace onced::simulation
