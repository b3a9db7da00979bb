#include "model.hpp"

#include <algorithm>
#include <utility>

#include <onced/protocol/key.hpp>
#include <onced/protocol/session.hpp>

#include "engine/context.hpp"

namespace onced::simulation {

using engine::time_word;
using protocol::LeaseCause;
using protocol::LeaseEnd;

namespace {

// Of two keys that differ in nothing but the function's version.
bool is_other_version(const std::string& a, const std::string& b) {
  const auto without_version = [](const std::string& key) {
    std::string name = name_of_key(key);
    if (const std::size_t version = name.find('@'); version != std::string::npos) name.erase(version, name.find('(') - version);
    return name;
  };
  return a != b && protocol::session_in(a) == protocol::session_in(b) && without_version(a) == without_version(b);
}

}  // namespace

const std::string* Model::content_of(const std::string& key, std::uint64_t version) const {
  const auto found = contents_.find({key, version});
  return found == contents_.end() ? nullptr : &found->second.text;
}

std::uint64_t Model::visible_version(const std::string& key) const {
  const auto found = keys_.find(key);
  return found != keys_.end() && found->second.value && !found->second.ended ? found->second.value->version : 0;
}

bool Model::in_scope(const protocol::Scope& scope, const std::string& key) {
  switch (scope.kind) {
    case protocol::ScopeKind::key: return key == scope.subject;
    case protocol::ScopeKind::function: return function_of_key(key) == scope.subject;
    case protocol::ScopeKind::everything: return true;
    case protocol::ScopeKind::session: return protocol::session_in(key) == std::stoull(scope.subject);
    case protocol::ScopeKind::tag: break;
  }
  return false;
}

bool Model::means(const Invalidation& one, const std::string& key) {
  return one.scope.kind == protocol::ScopeKind::tag ? one.tagged.contains(key) : in_scope(one.scope, key);
}

protocol::Freshness Model::visible_freshness(const std::string& name) const {
  const Value& value = *keys_.at(name).value;
  if (value.stale) return protocol::Freshness::stale;
  return time_word(schedule_.now) + value.early_ms >= value.fresh_until_ms && value.early_ms > 0 ? protocol::Freshness::early
                                                                                                 : protocol::Freshness::fresh;
}

std::optional<bool> Model::visible_refreshing(const std::string& name) const {
  const KeyModel& key = keys_.at(name);
  if (key.invalidated_by != 0 || key.softened_by != 0 || key.mark_unknown) return std::nullopt;
  return key.live != 0 || failed_recently(key);
}

engine::Duration Model::time_word_age_max() const {
  engine::Duration most = engine::Duration::max();
  for (const auto& [name, key] : keys_) {
    if (!key.value || key.value->stale || visible_freshness(name) != protocol::Freshness::early) continue;
    const engine::Duration step = std::chrono::milliseconds(key.value->early_ms / 64);
    most = std::min(most, std::max(step, schedule_.profile.settings.time_word_period));
  }
  return most;
}

bool Model::expired(const KeyModel& key) const {
  const Value& value = *key.value;
  return value.fresh_until_ms != protocol::never_expires && time_word(schedule_.now) >= value.fresh_until_ms + value.grace_ms;
}

bool Model::usable(const KeyModel& key) const { return key.value && key.value->dropped_by == 0 && !expired(key); }

bool Model::fresh(const KeyModel& key) const {
  return usable(key) && key.value->softened_by == 0 && time_word(schedule_.now) < key.value->fresh_until_ms;
}

bool Model::early(const KeyModel& key) const {
  return fresh(key) && key.value->early_ms > 0 && time_word(schedule_.now) + key.value->early_ms >= key.value->fresh_until_ms;
}

bool Model::may_have(const protocol::Acquire& request, const KeyModel& key) const {
  return !request.force && (fresh(key) || (request.accept_stale && usable(key)));
}

std::size_t Model::unanswered_sweeps() const {
  const auto awaited = [](const auto& one) { return one.to.has_value(); };
  return static_cast<std::size_t>(std::count_if(invalidations_.begin(), invalidations_.end(), awaited) +
                                  std::count_if(cancellations_.begin(), cancellations_.end(), awaited));
}

// ---- what the engine is told ----------------------------------------------------------------------------------------

void Model::before(const engine::Event& event) {
  step_ = Step{};
  step_.newest_lease = last_counter_;
  count_running_before();
  if (const auto* connected = std::get_if<engine::Connected>(&event)) {
    alive_.insert(connected->connection);
    processes_[connected->connection] =
        connected->process.pid != 0 ? connected->process.pid : unseen_pids + static_cast<std::uint64_t>(connected->connection);
  }
  if (const auto* gone = std::get_if<engine::Disconnected>(&event)) connection_ends(gone->connection);
  if (const auto* dead = std::get_if<engine::ProcessDied>(&event)) connection_ends(dead->connection);
  if (const auto* sent = std::get_if<engine::SignalsSent>(&event)) signals_.sent({sent->connection, sent->subscription}, sent->count);
  if (std::holds_alternative<engine::Draining>(event)) draining_ = true;
  if (disk_ != nullptr) before_disk(event);
  if (const auto* found = std::get_if<engine::SessionsFound>(&event)) on_sessions_found(*found);
  if (const auto* requested = std::get_if<engine::Requested>(&event); requested != nullptr && alive_.contains(requested->connection))
    before_request(*requested);
}

void Model::connection_ends(ConnectionId connection) {
  if (alive_.erase(connection) == 0) return;
  signals_.connection_ends(connection);
  blobs_.connection_ends(connection);
  std::erase_if(waits_, [&](const auto& one) { return one.first.first == connection; });
  for (const auto& [counter, lease] : dead_leases_)
    if (lease.holder == connection && lease.cancelled_by != 0) count_cancelled(lease.cancelled_by);
  std::erase_if(dead_leases_, [&](const auto& one) { return one.second.holder == connection; });
  std::erase_if(session_ends_, [&](const auto& one) { return one.first.first == connection; });
  std::erase_if(openings_, [&](const auto& one) { return one.first.first == connection; });
  opened_.erase(connection);
  for (Invalidation& one : invalidations_)
    if (one.to && one.to->first == connection) one.to.reset();
  for (Cancellation& one : cancellations_)
    if (one.to && one.to->first == connection) one.to.reset();
  std::erase_if(held_back_, [&](const auto& one) { return one.first.first == connection; });
  std::erase_if(disk_clears_, [&](const auto& one) { return one.first.first == connection; });
  std::vector<std::uint64_t> held;
  for (const auto& [counter, lease] : leases_)
    if (lease.holder == connection) held.push_back(counter);
  for (const std::uint64_t counter : held) {
    const Lease& lease = leases_.at(counter);
    KeyModel& key = keys_[lease.key];
    const std::string name = lease.key;
    const bool counts = !lease.detached && too_many_deaths(key, connection);
    end_without_result(counter, LeaseCause::holder_died);
    if (counts) {
      step_.dying.insert(name);
      step_.ended.erase(name);
    }
  }
}

bool Model::too_many_deaths(KeyModel& key, ConnectionId connection) {
  const engine::Settings& settings = schedule_.profile.settings;
  if (key.last_death + settings.holder_deaths_memory <= schedule_.now) key.deaths.clear();
  key.last_death = schedule_.now;
  if (key.deaths.size() < static_cast<std::size_t>(settings.holder_deaths_max)) key.deaths.insert(processes_.at(connection));
  return key.deaths.size() >= static_cast<std::size_t>(settings.holder_deaths_max);
}

void Model::end_without_result(std::uint64_t counter, LeaseCause cause) {
  const Lease lease = leases_.at(counter);
  (lease.detached ? step_.rejoining.insert(lease.key).second : false);
  if (lease.detached) {
    for (auto& [address, wait] : waits_) {
      if (wait.detached != counter) continue;
      wait.detached = 0;
      step_.rejoined.insert(address);
    }
    if (keys_[lease.key].live == 0) step_.ended[lease.key] = cause;
  } else {
    step_.ended[lease.key] = cause;
  }
  forget_lease(counter);
}

void Model::forget_lease(std::uint64_t counter) {
  const auto found = leases_.find(counter);
  require(found != leases_.end(), "the model has lost a lease");
  if (found->second.owes_lost) step_.lost_words[counter] = found->second.holder;
  if (KeyModel& key = keys_[found->second.key]; key.live == counter) key.live = 0;
  leases_.erase(found);
}

void Model::before_request(const engine::Requested& event) {
  using namespace protocol;
  const Address from = step_.from = {event.connection, event.id};
  const bool silent = std::holds_alternative<Withdraw>(event.request) || std::holds_alternative<TakeUp>(event.request) ||
                      std::holds_alternative<Progress>(event.request) || std::holds_alternative<Release>(event.request);
  if (const auto* publish = std::get_if<Publish>(&event.request)) blobs_.claim(event.connection, publish->parts);
  if (const auto* put = std::get_if<Put>(&event.request)) blobs_.claim(event.connection, put->parts);
  if (!silent && (waits_.contains(from) || session_ends_.contains(from))) {
    step_.close_due = true;
    return;
  }
  if (!silent) step_.answer_due = from;
  if (draining_ && !silent && !std::holds_alternative<GetStatus>(event.request) && !std::holds_alternative<GetStats>(event.request)) {
    step_.refusal_due = ErrorCode::unavailable;
    return;
  }
  if (!may_go_on(from, event.request) || !may_depend(from, event.request)) return;
  if (before_session_request(from, event.request)) return;
  const auto lease_with = [&](const Token& token) -> Lease* {
    const auto found = leases_.find(token.counter);
    const bool held = token.epoch == schedule_.profile.settings.epoch && found != leases_.end() && found->second.holder == event.connection;
    return held ? &found->second : nullptr;
  };
  if (const auto* disk = std::get_if<Disk>(&event.request)) return before_disk_request(from, *disk);
  if (const auto* acquire = std::get_if<Acquire>(&event.request)) return before_acquire(from, *acquire);
  if (const auto* withdraw = std::get_if<Withdraw>(&event.request)) before_withdraw(event.connection, withdraw->target);
  if (const auto* take_up = std::get_if<TakeUp>(&event.request))
    if (Lease* lease = lease_with(take_up->token)) lease->taken_up = true;
  if (const auto* progress = std::get_if<Progress>(&event.request))
    if (Lease* lease = lease_with(progress->token)) lease->taken_up = true;
  if (const auto* publish = std::get_if<Publish>(&event.request)) {
    const Lease* lease = lease_with(publish->token);
    if (lease == nullptr) {
      step_.refusal_due = ErrorCode::unknown_token;
      return;
    }
    if (!takes_blobs(publish->parts)) return;
    ++computations_;
    measured_functions_.insert(function_of_key(lease->key));
    step_.publishing = lease->key;
    step_.retention = publish->retention;
    step_.counter = publish->token.counter;
    if (!lease->detached) before_keep(lease->key, lease);
    step_.cost_us = engine::microseconds_between(lease->granted, schedule_.now);
    if (!lease->detached) fence_by_tags(publish->token.counter, publish->retention.tags);
    step_.detached_publish = lease->detached ? publish->token.counter : 0;
    if (!lease->detached) keys_[lease->key].deaths.clear();
    if (!lease->detached) forget_lease(publish->token.counter);
  }
  if (const auto* put = std::get_if<Put>(&event.request)) {
    if (!takes_blobs(put->parts)) return;
    step_.publishing = put->key;
    step_.put = true;
    step_.put_ends_load = is_loading(put->key);
    step_.retention = put->retention;
    before_keep(put->key, nullptr);
  }
  if (const auto* fail_request = std::get_if<Fail>(&event.request)) {
    const Lease* lease = lease_with(fail_request->token);
    if (lease == nullptr) {
      step_.refusal_due = ErrorCode::unknown_token;
      return;
    }
    step_.failing_key = lease->key;
    step_.failing_text = fail_request->text;
    step_.failing_detached = lease->detached ? fail_request->token.counter : 0;
    KeyModel& key = keys_[lease->key];
    if (!lease->detached) {
      key.deaths.clear();
      keep_failure(lease->key, fail_request->text,
                   engine::failure_ttl_of(schedule_.profile.settings.retention, function_of_key(lease->key), fail_request->failure_ttl_ms));
    }
    if (!lease->detached) forget_lease(fail_request->token.counter);
  }
  if (const auto* abandon = std::get_if<Abandon>(&event.request)) {
    if (lease_with(abandon->token) == nullptr) {
      step_.refusal_due = ErrorCode::unknown_token;
      return;
    }
    end_without_result(abandon->token.counter, LeaseCause::abandoned);
  }
  if (const auto* invalidate = std::get_if<Invalidate>(&event.request)) before_invalidate(from, *invalidate);
  if (const auto* release = std::get_if<Release>(&event.request)) blobs_.released(event.connection, release->blobs);
  const auto* reserve = std::get_if<Reserve>(&event.request);
  const auto* fetch = std::get_if<Fetch>(&event.request);
  if (reserve != nullptr || fetch != nullptr) {
    step_.close_due = !blobs_.is_receipt(event.connection, reserve != nullptr ? reserve->receipt : fetch->receipt);
    if (reserve != nullptr) step_.reserving = *reserve;
    else step_.fetching = *fetch;
  }
  if (const auto* cancel = std::get_if<Cancel>(&event.request)) before_cancel(from, *cancel);
  if (const auto* subscribe = std::get_if<Subscribe>(&event.request)) {
    step_.answer_due.reset();
    signals_.subscribed(from, *subscribe);
  }
  if (const auto* unsubscribe = std::get_if<Unsubscribe>(&event.request)) signals_.unsubscribed({event.connection, unsubscribe->target});
}

bool Model::takes_blobs(const Parts& parts) {
  step_.refusal_due = blobs_.refusal_of(parts);
  if (step_.refusal_due) return false;
  step_.content = {blob_contents_.text_of(parts), blobs_in(parts), bytes_in(parts)};
  return true;
}

// A lease that was granted meanwhile is not wanted either.
void Model::before_withdraw(ConnectionId from, RequestId target) {
  if (waits_.erase({from, target}) != 0) return;
  const auto granted = std::find_if(leases_.begin(), leases_.end(), [&](const auto& one) {
    return one.second.holder == from && one.second.acquire == target;
  });
  if (granted != leases_.end()) end_without_result(granted->first, LeaseCause::abandoned);
}

void Model::before_acquire(Address from, const protocol::Acquire& request) {
  step_.answer_due.reset();
  step_.request = from;
  Wait& wait = waits_[from];
  wait.key = request.key;
  wait.request = request;
  wait.deadline = schedule_.now + std::chrono::milliseconds(request.wait_ms);
  if (disk_ != nullptr && request.wait_ms == 0) wait.deadline += std::chrono::milliseconds(request.load_ms);  // for a load: check_owed()
  wait.arrival = ++arrivals_;
  wait.asked_after = last_invalidation_;
  std::erase_if(wait.request.held, [&](const protocol::Token& token) { return !may_hold(from.first, token); });
  const std::vector<protocol::Token>& held = wait.request.held;
  wait.nested = std::any_of(held.begin(), held.end(), [&](const protocol::Token& token) {
    // One under an id that is dead is still one until its holder is told so.
    const auto fenced = dead_leases_.find(token.counter);
    return leases_.contains(token.counter) || (fenced != dead_leases_.end() && fenced->second.key != request.key);
  });
  const KeyModel& key = keys_[request.key];
  const bool answered_at_once = may_have(request, key) || (failed_recently(key) && !request.force);
  if (answered_at_once || key.live == 0) return;
  for (const protocol::Token& token : held) step_.must_recurse |= token.counter == key.live;
  std::set<std::uint64_t> seen;
  step_.would_deadlock = !step_.must_recurse && !held.empty() && reaches(key.live, held, seen);
}

// Over whichever of its connections; where pids are not seen, all are of one process perhaps.
bool Model::may_hold(ConnectionId connection, const protocol::Token& token) const {
  if (token.epoch != schedule_.profile.settings.epoch) return false;
  const auto lease = leases_.find(token.counter);
  const auto fenced = dead_leases_.find(token.counter);
  if (lease == leases_.end() && fenced == dead_leases_.end()) return false;
  const std::uint64_t own = processes_.at(connection);
  const std::uint64_t holder = processes_.at(lease != leases_.end() ? lease->second.holder : fenced->second.holder);
  return own == holder || (own >= unseen_pids && holder >= unseen_pids);
}

// Whatever a request finds from here on is newer, though readers may find the old for a while.
void Model::before_invalidate(Address from, const protocol::Invalidate& request) {
  const protocol::Scope& scope = request.scope;
  if (scope.kind != protocol::ScopeKind::key && sweeps_awaited_by(from.first) >= limits::invalidations_per_connection_max) {
    step_.refusal_due = ErrorCode::limit_reached;
    return;
  }
  step_.answer_due.reset();
  const std::uint64_t number = ++last_invalidation_;
  Invalidation invalidation{.number = number, .scope = scope, .soft = request.soft, .tagged = {}, .last_version = last_version_, .means_versions = {}, .to = from};
  const bool of_tag = scope.kind == protocol::ScopeKind::tag;
  if (of_tag) {
    invalidated_tags_[scope.subject].insert(number);
    for (const auto& [name, key] : keys_)
      if (key.tags.contains(scope.subject)) invalidation.tagged.insert(name);
  }
  if (disk_ != nullptr) {
    invalidation.may_be_on_disk = scope.kind == protocol::ScopeKind::key && !usable(keys_[scope.subject]) && disk_->may_have(scope.subject);
    forget_on_disk(invalidation);
  }
  invalidation_arrives(invalidation);
  invalidations_.push_back(invalidation);
  for (auto& [name, key] : keys_) {
    if (!means(invalidation, name) || key.ended) continue;
    if (request.soft && fresh(key)) key.value->softened_by = number;
    if (!request.soft && key.value && key.value->dropped_by == 0) key.value->dropped_by = number;
    if (key.live != 0) {
      Lease& lease = leases_.at(key.live);
      lease.detached = lease.owes_lost = true;
      for (auto& [address, wait] : waits_)
        if (wait.key == name && wait.detached == 0) wait.detached = key.live;
      key.live = 0;
    }
    (request.soft ? key.softened_by : key.invalidated_by) = number;
    key.deaths.clear();
    key.failed.reset();
    if (!request.soft) key.tags.clear();
    else if (!usable(key) && !has_dependencies()) step_.softened_gone.insert(name);
  }
}

// Who asked after the first of the tags' invalidations must not get the value.
void Model::fence_by_tags(std::uint64_t counter, const std::vector<std::string>& tags) {
  Lease& lease = leases_.at(counter);
  std::optional<std::uint64_t> first;
  for (const std::string& tag : tags) {
    const std::set<std::uint64_t>& all = invalidated_tags_[tag];
    if (const auto next = all.upper_bound(lease.granted_after); next != all.end()) first = std::min(first.value_or(*next), *next);
  }
  if (!first) return;
  lease.detached = lease.owes_lost = true;
  for (auto& [address, wait] : waits_)
    if (wait.key == lease.key && wait.detached == 0 && wait.asked_after < *first) wait.detached = counter;
  keys_.at(lease.key).live = 0;
  step_.fenced_publish = true;
  step_.ended[lease.key] = LeaseCause::abandoned;
}

// Of keys that nothing else is known of, unless their last value is kept for what is being computed. What was computed from a value may keep the tags of its key for as long as it likes, and must
// while it is there itself: an invalidation of the tag means it, though the value is gone.
void Model::forget_tags() {
  for (auto& [name, key] : keys_) {
    if (key.tags.empty() || usable(key)) continue;
    const std::vector<std::string> kept = engine_.tags_of(name);
    const auto is_forgotten = [&](const auto& tag) { return std::find(kept.begin(), kept.end(), tag) == kept.end(); };
    if (step_.softened_gone.contains(name)) std::erase_if(key.tags, is_forgotten);
    if (has_dependencies()) {
      const std::size_t forgotten = std::erase_if(key.tags, is_forgotten);
      require(forgotten == 0 || !is_upstream(name), "the tags of a key are forgotten that something there was computed from (L6)");
      continue;
    }
    if (key.value || key.live != 0 || failed_recently(key)) continue;
    const auto of_key = [&name = name](const auto& one) { return one.second.key == name; };
    if (std::none_of(leases_.begin(), leases_.end(), of_key) && std::none_of(waits_.begin(), waits_.end(), of_key)) std::erase_if(key.tags, is_forgotten);
  }
}

// All values that there are by now are older.
void Model::supersede_others_than(const std::string& newer) {
  for (auto& [name, key] : keys_)
    if (is_other_version(name, newer)) {
      if (key.value) key.value->superseded = true;
      are_retired(name);
    }
  std::erase_if(on_disk_, [&](const auto& one) { return is_other_version(one.first, newer); });
}

void Model::keep_failure(const std::string& key, std::string text, engine::Duration ttl) {
  if (ttl > engine::Duration::zero()) keys_[key].failed = Failed{std::move(text), schedule_.now + ttl};
}

}  // namespace onced::simulation
