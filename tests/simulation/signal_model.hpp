// L9 and L10, written a second time: who must be told what, exactly.
//
// One connection, the monitor, subscribes to everything and is never slow: it gives the true sequence of changes. From
// it follows, message by message, what every other subscription must get.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "engine/engine.hpp"
#include "schedule.hpp"

namespace onced::simulation {

using Address = std::pair<engine::ConnectionId, protocol::RequestId>;

class SignalModel {
 public:
  explicit SignalModel(Schedule& schedule) : schedule_(schedule) {}

  static constexpr engine::ConnectionId monitor{1};

  // What a subscriber can tell of a key from states and signals alone.
  struct Replica {
    std::uint64_t version = 0;
    bool computing = false;
    bool queued = false;
    friend bool operator==(const Replica&, const Replica&) = default;
  };
  // The truth by the monitor's signals.
  Replica replica(const std::string& key) const;
  std::uint64_t sequence() const { return sequence_; }

  void subscribed(Address from, const protocol::Subscribe& request);
  void unsubscribed(Address from);
  // It is in a session under an id that is dead by now.
  bool has(Address subscription) const { return subscriptions_.contains(subscription); }
  bool any_in_session(std::uint64_t number) const;
  void connection_ends(engine::ConnectionId connection);
  void sent(Address subscription, std::uint32_t count);

  // The signals, states and positions of one step, in order. Returns the changes (the monitor's signals).
  std::vector<protocol::Signal> check(const engine::Effects& effects);

 private:
  struct Subscription {
    protocol::Scope scope;
    std::uint64_t position = 0;
    std::size_t in_flight = 0;
    bool slow = false;
    bool owes_first = true;
    protocol::Subscribe request;
    std::uint64_t born = 0;  // sequence when it subscribed
    bool knows_all = false;  // began with a state, not by resuming
    std::map<std::string, Replica> replicas;
  };

  void on_state(Address to, Subscription& subscription, const protocol::State& state);
  void begin_resumed(Subscription& subscription);
  void on_signal(Address to, Subscription& subscription, const protocol::Signal& signal);
  void check_replicas(const Subscription& subscription) const;
  bool can_resume(const Subscription& subscription) const;
  std::uint64_t next_match(const Subscription& subscription, std::uint64_t after) const;
  static void apply(Replica& replica, const protocol::Signal& signal);
  static bool matches(const protocol::Scope& scope, const protocol::Signal& signal);
  static bool matches_key(const protocol::Scope& scope, const std::string& key);
  void require(bool condition, const char* text) const {
    if (!condition) throw Violation(text);
  }

  Schedule& schedule_;
  std::uint64_t sequence_ = 0;
  std::uint64_t step_began_at_ = 0;
  std::vector<protocol::Signal> all_;  // every change: all_[n] has sequence n + 1
  std::map<std::string, Replica> truth_;
  std::map<Address, Subscription> subscriptions_;
};

}  // namespace onced::simulation
