#include "engine/signal_hub.hpp"

#include <algorithm>
#include <utility>

#include <onced/protocol/session.hpp>

#include "engine/key_fields.hpp"

namespace onced::engine {
namespace {

std::size_t bytes_of(const protocol::Signal& signal) { return sizeof(protocol::Signal) + signal.key.size() + signal.text.size(); }

std::size_t bytes_of(const protocol::State& state) {
  std::size_t bytes = sizeof state;
  for (const protocol::KeyStateEntry& entry : state.entries) bytes += sizeof entry + entry.key.size() + entry.text.size();
  return bytes;
}

bool matches(const protocol::Scope& scope, const protocol::Signal& signal) {
  const std::string_view key = signal.key;
  switch (scope.kind) {
    case protocol::ScopeKind::key: return scope.subject == key;
    case protocol::ScopeKind::function: return scope.subject == function_of(key);
    case protocol::ScopeKind::everything: return true;
    case protocol::ScopeKind::session: return protocol::session_in(key) == protocol::session_number_in(scope.subject);  // it has not ended
    case protocol::ScopeKind::tag: break;  // of Invalidate alone
  }
  return false;
}

}  // namespace

void SignalHub::emit(protocol::SignalEvent event, std::string_view key, std::uint64_t version, double fraction,
                     std::string text, std::uint64_t queue_position) {
  ++sequence_;
  ++context_.counters.signals;
  protocol::Signal signal{.event = event, .key = std::string(key), .epoch = context_.settings.epoch, .sequence = sequence_,
                          .previous = 0, .version = version, .fraction = fraction, .text = std::move(text), .queue_position = queue_position};
  const auto tell_all = [&](const std::vector<Subscription*>& subscriptions) {
    for (Subscription* subscription : subscriptions) tell(*subscription, signal);
  };
  if (const auto found = by_key_.find(key); found != by_key_.end()) tell_all(found->second);
  if (!by_function_.empty()) {
    if (const auto found = by_function_.find(function_of(key)); found != by_function_.end()) tell_all(found->second);
  }
  if (!by_session_.empty()) {
    const auto session = protocol::session_in(key);
    if (const auto found = session ? by_session_.find(*session) : by_session_.end(); found != by_session_.end()) tell_all(found->second);
  }
  tell_all(to_everything_);
  remember(std::move(signal));
  tell_positions();
}

void SignalHub::session_ended(std::uint64_t session, std::string why) {
  ++sequence_;
  ++context_.counters.signals;
  protocol::Signal signal{.event = protocol::SignalEvent::session_ended, .key = {}, .epoch = context_.settings.epoch, .sequence = sequence_,
                          .previous = 0, .version = session, .fraction = 0, .text = std::move(why)};
  if (const auto found = by_session_.find(session); found != by_session_.end())
    for (Subscription* subscription : found->second) tell(*subscription, signal);
  for (Subscription* subscription : to_everything_) tell(*subscription, signal);
  remember(std::move(signal));
  tell_positions();
}

void SignalHub::end_bound(std::uint64_t session, Connections& connections, const std::string& why) {
  while (true) {
    const auto found = bound_.find(session);
    if (found == bound_.end()) return;
    const ReplyAddress to = found->second.back()->to;
    unsubscribe(connections.at(to.connection), to.id);
    context_.refuse(to, ErrorCode::session_ended, why);
  }
}

void SignalHub::subscribe(Connection& connection, protocol::RequestId id, protocol::Subscribe request) {
  const ReplyAddress to{connection.id, id};
  const Settings& settings = context_.settings;
  if (connection.subscriptions.size() >= settings.subscriptions_per_connection_max) {
    return context_.refuse_for(Limit::subscriptions_per_connection, to,
                               "this connection has " + std::to_string(connection.subscriptions.size()) + " subscriptions already");
  }
  if (subscriptions_.size() >= settings.subscriptions_max)
    return context_.refuse_for(Limit::subscriptions, to, "there are " + std::to_string(subscriptions_.size()) + " subscriptions already");

  Subscription& made = subscriptions_.try_emplace(Place{connection.id, id}).first->second;
  made.to = to;
  made.scope = std::move(request.scope);
  made.index = &index_of(made.scope);
  made.index->push_back(&made);
  if (made.scope.kind == protocol::ScopeKind::session) made.session = *protocol::session_number_in(made.scope.subject);
  else if (made.scope.kind == protocol::ScopeKind::key) made.session = protocol::session_in(made.scope.subject).value_or(0);
  if (made.session != 0) bound_[made.session].push_back(&made);
  made.by_position = by_position_.insert(by_position_.end(), &made);
  connection.subscriptions.insert(id);

  if (request.resume_epoch == 0) return tell_state(made, protocol::StateReason::initial);
  if (request.resume_epoch != settings.epoch) return tell_state(made, protocol::StateReason::other_epoch);
  const std::uint64_t oldest = sequence_ - history_.size();  // the position before the first kept signal
  if (request.resume_sequence < oldest || request.resume_sequence > sequence_)
    return tell_state(made, protocol::StateReason::history_gone);
  replay(made, request.resume_sequence);
}

// What matched since `after`, then the position: it tells the client that it is up to date also when nothing matched.
void SignalHub::replay(Subscription& subscription, std::uint64_t after) {
  subscription.position = after;
  for (auto at = history_.end() - static_cast<std::ptrdiff_t>(sequence_ - after); at != history_.end(); ++at)
    if (matches(subscription.scope, *at)) tell(subscription, *at);
  if (subscription.slow) return;
  subscription.position = sequence_;
  hand_over(subscription, protocol::Position{context_.settings.epoch, sequence_}, sizeof(protocol::Position));
}

bool SignalHub::unsubscribe(Connection& connection, protocol::RequestId id) {
  const auto found = subscriptions_.find({connection.id, id});
  if (found == subscriptions_.end()) return false;
  connection.subscriptions.erase(id);
  remove(found);
  return true;
}

void SignalHub::unsubscribe_all(Connection& connection) {
  for (const protocol::RequestId id : connection.subscriptions) remove(subscriptions_.find({connection.id, id}));
  connection.subscriptions.clear();
}

void SignalHub::sent(ConnectionId connection, protocol::RequestId id, std::uint32_t count) {
  const auto found = subscriptions_.find({connection, id});
  if (found == subscriptions_.end()) return;
  Subscription& subscription = found->second;
  for (; count > 0 && !subscription.in_flight.empty(); --count) {
    subscription.in_flight_bytes -= subscription.in_flight.front();
    subscription.in_flight.pop_front();
  }
  if (subscription.slow && subscription.in_flight.empty()) {
    subscription.slow = false;
    tell_state(subscription, protocol::StateReason::slow);
  }
}

std::vector<SignalHub::Subscription*>& SignalHub::index_of(const protocol::Scope& scope) {
  switch (scope.kind) {
    case protocol::ScopeKind::key: return by_key_[scope.subject];
    case protocol::ScopeKind::function: return by_function_[scope.subject];
    case protocol::ScopeKind::session: return by_session_[*protocol::session_number_in(scope.subject)];
    case protocol::ScopeKind::everything:
    case protocol::ScopeKind::tag: break;  // the latter of Invalidate alone
  }
  return to_everything_;
}

void SignalHub::remove(std::map<Place, Subscription>::iterator at) {
  Subscription& subscription = at->second;
  std::erase(*subscription.index, &subscription);
  if (subscription.index->empty() && subscription.scope.kind == protocol::ScopeKind::key)
    by_key_.erase(subscription.scope.subject);
  else if (subscription.index->empty() && subscription.scope.kind == protocol::ScopeKind::function)
    by_function_.erase(subscription.scope.subject);
  else if (subscription.index->empty() && subscription.scope.kind == protocol::ScopeKind::session)
    by_session_.erase(subscription.session);
  if (subscription.session != 0) {
    std::vector<Subscription*>& bound = bound_.at(subscription.session);
    std::erase(bound, &subscription);
    if (bound.empty()) bound_.erase(subscription.session);
  }
  by_position_.erase(subscription.by_position);
  subscriptions_.erase(at);
}

void SignalHub::tell(Subscription& subscription, const protocol::Signal& signal) {
  if (subscription.slow) return;
  if (!has_room(subscription)) {
    subscription.slow = true;
    return;
  }
  protocol::Signal copy = signal;
  copy.previous = std::exchange(subscription.position, signal.sequence);
  const std::size_t bytes = bytes_of(copy);
  ++context_.counters.signals_delivered;
  hand_over(subscription, std::move(copy), bytes);
}

void SignalHub::tell_state(Subscription& subscription, protocol::StateReason reason) {
  protocol::State state;
  state.reason = reason;
  state.epoch = context_.settings.epoch;
  state.sequence = sequence_;
  describe_(subscription.scope, state);
  if (reason != protocol::StateReason::initial) ++context_.counters.resyncs;
  subscription.position = sequence_;
  const std::size_t bytes = bytes_of(state);
  hand_over(subscription, std::move(state), bytes);
}

// A subscription to which nothing was said for half the history learns its position, so that it could resume. Bounded
// per signal; the other half of the history is time enough for the rest.
void SignalHub::tell_positions() {
  const std::uint64_t far = context_.settings.signal_history / 2;
  for (std::size_t told = 0; told < position_markers_per_signal_max && !by_position_.empty(); ++told) {
    Subscription& subscription = *by_position_.front();
    if (sequence_ - subscription.position <= far && !subscription.slow) return;
    by_position_.splice(by_position_.end(), by_position_, by_position_.begin());
    if (subscription.slow || !has_room(subscription)) continue;  // it hears of its position when it reads again
    subscription.position = sequence_;
    hand_over(subscription, protocol::Position{context_.settings.epoch, sequence_}, sizeof(protocol::Position));
  }
}

void SignalHub::hand_over(Subscription& subscription, protocol::Reply reply, std::size_t bytes) {
  subscription.in_flight.push_back(bytes);
  subscription.in_flight_bytes += bytes;
  by_position_.splice(by_position_.end(), by_position_, subscription.by_position);
  context_.send(subscription.to, std::move(reply));
}

bool SignalHub::has_room(const Subscription& subscription) const {
  return subscription.in_flight.size() < context_.settings.signals_queued_per_subscription_max &&
         subscription.in_flight_bytes < limits::send_queue_bytes_max;
}

void SignalHub::remember(protocol::Signal signal) {
  history_bytes_ += bytes_of(signal);
  history_.push_back(std::move(signal));
  while (history_.size() > context_.settings.signal_history || history_bytes_ > history_bytes_max) {
    history_bytes_ -= bytes_of(history_.front());
    history_.pop_front();
  }
}

void SignalHub::check_invariants() const {
  ONCED_ASSERT(by_position_.size() == subscriptions_.size());
  ONCED_ASSERT(history_.size() <= sequence_);
  std::size_t indexed = to_everything_.size();
  for (const auto& [key, list] : by_key_) indexed += list.size();
  for (const auto& [function, list] : by_function_) indexed += list.size();
  for (const auto& [session, list] : by_session_) indexed += list.size();
  ONCED_ASSERT(indexed == subscriptions_.size());  // each is found by its scope
  for (const auto& [place, subscription] : subscriptions_) {
    ONCED_ASSERT(subscription.position <= sequence_);
    ONCED_ASSERT(!subscription.slow || !subscription.in_flight.empty());  // or nothing would ever wake it
    std::size_t bytes = 0;
    for (const std::size_t one : subscription.in_flight) bytes += one;
    ONCED_ASSERT(bytes == subscription.in_flight_bytes);
  }
}

}  // namespace onced::engine
