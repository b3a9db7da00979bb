#include "simulated_sessions.hpp"

#include <algorithm>

#include "engine/context.hpp"

namespace onced::simulation {

using engine::duration_of_ms;
using engine::milliseconds_between;

// ---- writing --------------------------------------------------------------------------------------------------------

void SimulatedSessions::keep(std::uint64_t order, const engine::DiskSession& session, Time now) {
  Facts facts{.number = session.number, .generation = session.generation, .digest = session.digest, .made = now - duration_of_ms(session.age_ms),
              .used = now - duration_of_ms(session.idle_for_ms), .idle_ttl = duration_of_ms(session.idle_ttl_ms), .end = std::nullopt};
  if (session.left_ms != protocol::as_configured) facts.end = now + duration_of_ms(session.left_ms);
  kept_.push_back(facts);
  sessions_[session.number].changes.push_back({.order = order, .facts = std::move(facts)});
}

void SimulatedSessions::use(std::uint64_t order, std::uint64_t number, Time now) {
  const Facts* const before = live(number);
  if (before == nullptr) throw Violation("the disk is told of a use of a session that it does not have");
  Facts facts = *before;
  facts.used = now;
  sessions_[number].changes.push_back({.order = order, .facts = std::move(facts)});
}

void SimulatedSessions::end(std::uint64_t order, std::uint64_t number) {
  if (live(number) == nullptr) throw Violation("the disk is told of the end of a session that it does not have");
  sessions_[number].changes.push_back({.order = order, .facts = {.number = number, .digest = {}}});
}

const SimulatedSessions::Facts* SimulatedSessions::live(std::uint64_t number) const {
  const auto found = sessions_.find(number);
  if (found == sessions_.end()) return nullptr;
  const Facts& facts = found->second.changes.back().facts;
  return facts.generation == 0 ? nullptr : &facts;
}

void SimulatedSessions::settle(std::uint64_t number, Session& session, std::size_t up_to) {
  session.changes.erase(session.changes.begin(), session.changes.begin() + static_cast<std::ptrdiff_t>(up_to));
  session.changes.front().failed = false;
  session.has_stable = true;
  numbers_below_ = std::max(numbers_below_, number + 1);
}

void SimulatedSessions::is_written(std::uint64_t number, std::uint64_t order) {
  const auto found = sessions_.find(number);
  if (found == sessions_.end()) return;
  std::vector<Change>& changes = found->second.changes;
  std::size_t latest = changes.size();
  for (std::size_t i = 0; i < changes.size() && changes[i].order <= order; ++i) latest = i;
  if (latest == changes.size()) return;
  settle(number, found->second, latest);
  if (changes.front().facts.generation == 0) sessions_.erase(found);
}

void SimulatedSessions::has_failed(std::uint64_t number, std::uint64_t order) {
  const auto found = sessions_.find(number);
  if (found == sessions_.end()) return;  // something behind it was written, and took it along
  for (Change& change : found->second.changes)
    if (change.order == order && (!found->second.has_stable || &change != &found->second.changes.front())) change.failed = true;
}

void SimulatedSessions::works() {
  for (auto at = sessions_.begin(); at != sessions_.end();) {
    const auto one = at++;
    const std::vector<Change>& changes = one->second.changes;
    const auto latest = std::find_if(changes.rbegin(), changes.rend(), [](const Change& change) { return change.failed; });
    if (latest != changes.rend()) is_written(one->first, latest->order);
  }
}

// ---- what is left ---------------------------------------------------------------------------------------------------

void SimulatedSessions::crash(Random& random) {
  cuts_.clear();
  kept_.clear();
  failures_.clear();
  for (auto at = sessions_.begin(); at != sessions_.end();) {
    const auto one = at++;
    Session& session = one->second;
    std::size_t left = session.has_stable ? 1 : 0;  // so many changes
    while (left < session.changes.size() && random.percent(50)) ++left;
    if (left < session.changes.size()) cuts_[one->first] = session.changes[left].order;
    if (left == 0) {
      sessions_.erase(one);
      continue;
    }
    session.changes.resize(left);
    is_written(one->first, last_order);
  }
}

std::uint64_t SimulatedSessions::cut_of(std::uint64_t number) const {
  const auto found = cuts_.find(number);
  return found == cuts_.end() ? last_order : found->second;
}

engine::SessionsFound SimulatedSessions::found(Time now) {
  engine::SessionsFound found{.sessions = {}, .numbers_from = numbers_below_};
  for (auto at = sessions_.begin(); at != sessions_.end();) {
    const auto one = at++;
    const Facts& facts = one->second.changes.back().facts;
    engine::DiskSession session;
    session.number = facts.number;
    session.generation = facts.generation;
    session.digest = facts.digest;
    session.age_ms = milliseconds_between(facts.made, now);
    session.idle_for_ms = milliseconds_between(Time::zero(), std::max(Duration::zero(), now - facts.used - facts.idle_ttl / 2));
    session.idle_ttl_ms = milliseconds_between(Time::zero(), facts.idle_ttl);
    if (facts.end) session.left_ms = milliseconds_between(now, std::max(now, *facts.end));
    const bool is_over = session.left_ms == 0 || (session.idle_ttl_ms != 0 && session.idle_for_ms >= session.idle_ttl_ms);
    if (is_over) sessions_.erase(one);
    else found.sessions.push_back(std::move(session));
  }
  return found;
}

// ---- for the model --------------------------------------------------------------------------------------------------

std::vector<SimulatedSessions::Facts> SimulatedSessions::alive() const {
  std::vector<Facts> all;
  for (const auto& [number, session] : sessions_)
    if (const Facts* const facts = live(number)) all.push_back(*facts);
  return all;
}

bool SimulatedSessions::may_go_back(std::uint64_t number, std::uint64_t generation) const {
  const auto found = sessions_.find(number);
  if (found == sessions_.end()) return false;
  if (generation != 0 && !found->second.has_stable) return true;
  return std::any_of(found->second.changes.begin(), found->second.changes.end(), [&](const Change& change) {
    return change.facts.generation != 0 && (generation == 0 || change.facts.generation < generation);
  });
}

bool SimulatedSessions::may_bring(std::uint64_t number, std::uint64_t order) const {
  const auto found = sessions_.find(number);
  if (found == sessions_.end()) return false;
  const std::vector<Change>& changes = found->second.changes;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const std::uint64_t next = i + 1 < changes.size() ? changes[i + 1].order : last_order;
    if (changes[i].facts.generation != 0 && next > order) return true;
  }
  return false;
}

}  // namespace onced::simulation
