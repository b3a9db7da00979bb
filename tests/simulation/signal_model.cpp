#include "signal_model.hpp"

#include <optional>

#include <onced/protocol/session.hpp>

namespace onced::simulation {

using protocol::SignalEvent;

namespace {

// Of a scope; nothing: in none.
std::optional<std::uint64_t> session_of(const protocol::Scope& scope) {
  if (scope.kind == protocol::ScopeKind::session) return std::stoull(scope.subject);
  if (scope.kind == protocol::ScopeKind::key) return protocol::session_in(scope.subject);
  return std::nullopt;
}

}  // namespace

bool SignalModel::matches(const protocol::Scope& scope, const protocol::Signal& signal) {
  if (signal.event != SignalEvent::session_ended) return matches_key(scope, signal.key);
  if (scope.kind == protocol::ScopeKind::session) return session_of(scope) == signal.version;
  return scope.kind == protocol::ScopeKind::everything;
}

bool SignalModel::any_in_session(std::uint64_t number) const {
  for (const auto& [address, subscription] : subscriptions_)
    if (session_of(subscription.scope) == number) return true;
  return false;
}

bool SignalModel::matches_key(const protocol::Scope& scope, const std::string& key) {
  switch (scope.kind) {
    case protocol::ScopeKind::key: return scope.subject == key;
    case protocol::ScopeKind::function: return function_of_key(key) == scope.subject;
    case protocol::ScopeKind::everything: return true;
    case protocol::ScopeKind::session: return protocol::session_in(key) == session_of(scope);
    case protocol::ScopeKind::tag: break;
  }
  return false;
}

void SignalModel::apply(Replica& replica, const protocol::Signal& signal) {
  switch (signal.event) {
    case SignalEvent::started: replica = {replica.version, true, false}; break;
    case SignalEvent::queued: replica.queued = true; break;
    case SignalEvent::progress: break;
    case SignalEvent::done: replica = {signal.version, false, false}; break;
    case SignalEvent::failed:
    case SignalEvent::cancelled:
    case SignalEvent::abandoned: replica.computing = replica.queued = false; break;
    case SignalEvent::invalidated: replica = {0, false, replica.queued}; break;
    case SignalEvent::evicted:
    case SignalEvent::expired: replica.version = 0; break;
    case SignalEvent::stale: break;
    case SignalEvent::loaded: replica.version = signal.version; break;
    case SignalEvent::session_ended: break;  // of no key
  }
}

SignalModel::Replica SignalModel::replica(const std::string& key) const {
  const auto found = truth_.find(key);
  return found == truth_.end() ? Replica{} : found->second;
}

void SignalModel::subscribed(Address from, const protocol::Subscribe& request) {
  Subscription& made = subscriptions_[from];
  made.scope = request.scope;
  made.request = request;
  made.born = sequence_;
}

void SignalModel::unsubscribed(Address from) { subscriptions_.erase(from); }

void SignalModel::connection_ends(engine::ConnectionId connection) {
  std::erase_if(subscriptions_, [&](const auto& one) { return one.first.first == connection; });
}

void SignalModel::sent(Address subscription, std::uint32_t count) {
  const auto found = subscriptions_.find(subscription);
  if (found == subscriptions_.end()) return;
  found->second.in_flight -= std::min<std::size_t>(found->second.in_flight, count);
}

bool SignalModel::can_resume(const Subscription& subscription) const {
  const std::uint64_t kept = std::min<std::uint64_t>(schedule_.profile.settings.signal_history, subscription.born);
  return subscription.request.resume_epoch == schedule_.profile.settings.epoch &&
         subscription.request.resume_sequence <= subscription.born &&
         subscription.request.resume_sequence >= subscription.born - kept;
}

std::uint64_t SignalModel::next_match(const Subscription& subscription, std::uint64_t after) const {
  for (std::uint64_t sequence = after; sequence < all_.size(); ++sequence)
    if (matches(subscription.scope, all_[sequence])) return sequence + 1;
  return 0;
}

std::vector<protocol::Signal> SignalModel::check(const engine::Effects& effects) {
  std::vector<protocol::Signal> changes;
  step_began_at_ = sequence_;
  // First the changes themselves: the monitor misses none and sees no gap.
  for (const engine::Effect& effect : effects) {
    const auto* send = std::get_if<engine::Send>(&effect);
    const auto* signal = send != nullptr && send->connection == monitor ? std::get_if<protocol::Signal>(&send->reply) : nullptr;
    if (signal == nullptr) continue;
    require(signal->epoch == schedule_.profile.settings.epoch, "a signal has a wrong epoch");
    require(signal->sequence == sequence_ + 1, "the sequence has a gap without a marker (L9)");
    require(signal->previous == sequence_, "a signal's `previous` is not where its subscriber was (L9)");
    ++sequence_;
    all_.push_back(*signal);
    if (signal->event != SignalEvent::session_ended) apply(truth_[signal->key], *signal);
    changes.push_back(*signal);
  }
  // Then who was told.
  for (const engine::Effect& effect : effects) {
    const auto* send = std::get_if<engine::Send>(&effect);
    if (send == nullptr || send->connection == monitor) continue;
    const Address to{send->connection, send->id};
    const auto* signal = std::get_if<protocol::Signal>(&send->reply);
    const auto* state = std::get_if<protocol::State>(&send->reply);
    const auto* position = std::get_if<protocol::Position>(&send->reply);
    if (std::holds_alternative<protocol::Refused>(send->reply) && subscriptions_.contains(to)) {
      require(session_of(subscriptions_.at(to).scope).has_value(), "a subscription ended though it is in no session");
      subscriptions_.erase(to);
      continue;
    }
    if (signal == nullptr && state == nullptr && position == nullptr) continue;
    const auto found = subscriptions_.find(to);
    require(found != subscriptions_.end(), "a message for a subscription that is no more");
    Subscription& subscription = found->second;
    ++subscription.in_flight;
    if (signal != nullptr) on_signal(to, subscription, *signal);
    if (state != nullptr) on_state(to, subscription, *state);
    if (position != nullptr) {
      begin_resumed(subscription);
      require(!subscription.slow, "a position for a subscriber that misses something (L9)");
      require(position->sequence <= sequence_ && position->sequence >= subscription.position, "a position out of order (L9)");
      const std::uint64_t missed = next_match(subscription, subscription.position);
      require(missed == 0 || missed > position->sequence, "a position that skips a change of the scope (L9)");
      subscription.position = position->sequence;
    }
  }
  // Then who was not.
  const std::size_t queued_max = schedule_.profile.settings.signals_queued_per_subscription_max;
  for (auto& [address, subscription] : subscriptions_) {
    if (address.first == monitor) continue;
    require(!subscription.owes_first, "a subscription got no first answer (L9)");
    const bool behind = next_match(subscription, subscription.position) != 0;
    if (behind && !subscription.slow) {
      require(subscription.in_flight >= queued_max, "a change was not told to a subscriber that had room for it (L9)");
      subscription.slow = true;
    }
    require(!subscription.slow || subscription.in_flight > 0, "a slow subscriber caught up and was not told so (L9)");
    require(subscription.in_flight <= queued_max + 1, "more is queued for a subscriber than its limit (L10)");
    if (!subscription.slow && subscription.knows_all) check_replicas(subscription);
  }
  return changes;
}

// The first answer is not a state: the subscription goes on where it says it was.
void SignalModel::begin_resumed(Subscription& subscription) {
  if (!subscription.owes_first) return;
  require(can_resume(subscription), "a subscription began without the state (L9)");
  subscription.position = subscription.request.resume_sequence;
  subscription.owes_first = false;
}

void SignalModel::on_signal(Address, Subscription& subscription, const protocol::Signal& signal) {
  require(!subscription.slow, "a signal for a subscriber that missed one before it (L9)");
  begin_resumed(subscription);
  require(signal.sequence <= sequence_ && signal.sequence > subscription.position, "a signal out of order (L9)");
  require(signal.previous == subscription.position, "a signal's `previous` is not where its subscriber was (L9)");
  require(matches(subscription.scope, signal), "a signal outside of its subscriber's scope");
  require(next_match(subscription, subscription.position) == signal.sequence, "a change of the scope was left out (L9)");
  subscription.position = signal.sequence;
  if (signal.event != SignalEvent::session_ended) apply(subscription.replicas[signal.key], signal);
}

void SignalModel::on_state(Address, Subscription& subscription, const protocol::State& state) {
  protocol::StateReason expected = protocol::StateReason::slow;
  if (subscription.owes_first) {
    expected = protocol::StateReason::initial;
    if (subscription.request.resume_epoch != 0) {
      require(!can_resume(subscription), "a subscription that could resume got a state instead (L9)");
      expected = subscription.request.resume_epoch == schedule_.profile.settings.epoch ? protocol::StateReason::history_gone
                                                                                       : protocol::StateReason::other_epoch;
    }
  } else {
    require(subscription.slow, "a resync for a subscriber that missed nothing (L9)");
    require(subscription.in_flight == 1, "a resync before everything queued had left (L9)");
  }
  require(state.reason == expected, "a state with the wrong reason (L9)");
  require(state.sequence >= step_began_at_ && state.sequence <= sequence_, "a state of another position (L9)");
  subscription.owes_first = false;
  subscription.slow = false;
  subscription.position = state.sequence;
  subscription.knows_all = true;
  subscription.replicas.clear();
  for (const protocol::KeyStateEntry& entry : state.entries) {
    require(matches_key(subscription.scope, entry.key), "a state entry outside of its scope");
    subscription.replicas[entry.key] = {entry.version, entry.state == protocol::KeyState::computing, entry.state == protocol::KeyState::queued};
  }
}

// What a subscriber knows is what is: a state that left something out would show here.
void SignalModel::check_replicas(const Subscription& subscription) const {
  for (const auto& [key, replica] : truth_) {
    if (!matches_key(subscription.scope, key)) continue;
    const auto found = subscription.replicas.find(key);
    const Replica known = found == subscription.replicas.end() ? Replica{} : found->second;
    // Everything: the state lists what is computed or queued only, so values from before it are not known.
    if (subscription.scope.kind == protocol::ScopeKind::everything)
      require(known.computing == replica.computing && known.queued == replica.queued, "a subscriber believes something false (L9)");
    else
      require(known == replica, "a subscriber believes something false (L9)");
  }
}

}  // namespace onced::simulation
