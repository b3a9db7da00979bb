// Who is told what changed: the namespace's sequence, its recent history, and the subscriptions.
//
// L9:  a subscriber gets the present state at a position, then every matching change; each signal names the position
//      before it. What cannot be told (slow reader, history gone, other epoch) is answered with the state, marked so.
// L10: per subscription at most signals_queued_per_subscription_max messages, and a bounded number of bytes, are handed
//      over and not yet reported as sent; above that it is told nothing until all of those have left, then gets the state.
// Cost: a change costs the matching subscriptions, not all of them; a few position markers besides.
//
// Ownership: owns subscriptions and history. The present state is asked of the StateSource, which outlives it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/connections.hpp"
#include "engine/context.hpp"
#include "engine/key_map.hpp"

namespace onced::engine {

class SignalHub {
 public:
  // Fills in the entries of a scope, and whether they were too many.
  using StateSource = std::function<void(const protocol::Scope&, protocol::State&)>;

  SignalHub(Context& context, StateSource state_source) : context_(context), describe_(std::move(state_source)), by_key_(0, context.hash), by_function_(0, context.hash) {}

  // A change of a key. It must be visible already: whoever is told may look at once (L6).
  void emit(protocol::SignalEvent event, std::string_view key, std::uint64_t version, double fraction = 0,
            std::string text = {}, std::uint64_t queue_position = 0);

  // The same for a session that is over: told to those who subscribed to it, or to everything.
  void session_ended(std::uint64_t session, std::string why);
  // Ends what was subscribed to in a session under an id that is dead by now, with a refusal that says why.
  void end_bound(std::uint64_t session, Connections& connections, const std::string& why);

  void subscribe(Connection& connection, protocol::RequestId id, protocol::Subscribe request);
  // False: there is no such subscription.
  bool unsubscribe(Connection& connection, protocol::RequestId id);
  void unsubscribe_all(Connection& connection);
  void sent(ConnectionId connection, protocol::RequestId id, std::uint32_t count);

  std::uint64_t sequence() const { return sequence_; }
  std::size_t subscriptions() const { return subscriptions_.size(); }
  void check_invariants() const;

  static constexpr std::size_t history_bytes_max = 16 * 1024 * 1024;
  static constexpr std::size_t position_markers_per_signal_max = 16;

 private:
  struct Subscription {
    ReplyAddress to;
    protocol::Scope scope;
    std::uint64_t position = 0;         // what it knows: everything that matches up to here
    std::deque<std::size_t> in_flight;  // bytes of messages handed over and not yet sent
    std::size_t in_flight_bytes = 0;
    bool slow = false;
    std::vector<Subscription*>* index = nullptr;
    std::uint64_t session = 0;  // that its scope is in; 0: in none
    std::list<Subscription*>::iterator by_position;
  };
  using Place = std::pair<ConnectionId, protocol::RequestId>;

  std::vector<Subscription*>& index_of(const protocol::Scope& scope);
  void remove(std::map<Place, Subscription>::iterator at);
  void tell(Subscription& subscription, const protocol::Signal& signal);
  void tell_state(Subscription& subscription, protocol::StateReason reason);
  void tell_positions();
  void hand_over(Subscription& subscription, protocol::Reply reply, std::size_t bytes);
  bool has_room(const Subscription& subscription) const;
  void replay(Subscription& subscription, std::uint64_t after);
  void remember(protocol::Signal signal);

  Context& context_;
  StateSource describe_;
  std::uint64_t sequence_ = 0;
  std::deque<protocol::Signal> history_;  // the last ones, without gaps, up to sequence_
  std::size_t history_bytes_ = 0;
  std::map<Place, Subscription> subscriptions_;
  KeyMap<std::vector<Subscription*>> by_key_;
  KeyMap<std::vector<Subscription*>> by_function_;
  std::unordered_map<std::uint64_t, std::vector<Subscription*>> by_session_;
  std::vector<Subscription*> to_everything_;
  std::unordered_map<std::uint64_t, std::vector<Subscription*>> bound_;  // to a session: to all of it, or to a key in it
  std::list<Subscription*> by_position_;  // the longest untold first
};

}  // namespace onced::engine
