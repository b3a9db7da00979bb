// Whose connections are read next: users take turns, however many connections each of them has.
//
//   a connection is readable -> its user has some of the round's share left, and nothing of it waits: it is served at once
//                            -> else it waits behind its user's others; a new round gives every user a share again
//
// So a connection waits for its own user's others, and for one share of each other user. While nobody has used up a share no
// round is needed, and nothing is asked of the loop that was not asked before.
//
// Pure: time comes in. Ownership: holds ids only; one that has gone in the meantime is the caller's to skip.
// Threads: the loop. Invariant: a user is in the ring exactly while something of it waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <unordered_map>

#include "engine/types.hpp"

namespace onced::net {

class TurnQueue {
 public:
  using User = std::uint32_t;
  using Id = engine::ConnectionId;

  // What a user's connections may take of a round, together; the one that is being served then is finished.
  explicit TurnQueue(engine::Duration share) : share_(share) {}

  // True: serve it now. False: it waits until next() names it.
  bool ask(User user, Id connection) {
    Turn& turn = turns_[user];
    if (turn.waiting.empty() && turn.used < share_) return true;
    if (turn.waiting.empty()) ring_.push_back(user);
    turn.waiting.push_back(connection);
    return false;
  }
  // What serving one of its connections has taken.
  void used(User user, engine::Duration duration) {
    if (duration > engine::Duration::zero()) turns_[user].used += duration;
  }

  bool somebody_waits() const { return !ring_.empty(); }
  void begin_round() {
    for (auto turn = turns_.begin(); turn != turns_.end();) {
      turn->second.used = {};
      turn = turn->second.waiting.empty() ? turns_.erase(turn) : std::next(turn);
    }
    left_in_round_ = ring_.size();
  }
  // The next one of this round; nothing: everybody who waits has used up a share, or nobody waits.
  std::optional<Id> next() {
    while (left_in_round_ > 0 && !ring_.empty()) {
      const User user = ring_.front();
      Turn& turn = turns_[user];
      if (turn.used >= share_) {
        ring_.splice(ring_.end(), ring_, ring_.begin());
        --left_in_round_;
        continue;
      }
      const Id connection = turn.waiting.front();
      turn.waiting.pop_front();
      if (turn.waiting.empty()) {
        ring_.pop_front();
        --left_in_round_;
      }
      return connection;
    }
    return std::nullopt;
  }

 private:
  struct Turn {
    engine::Duration used{};
    std::deque<Id> waiting;
  };
  engine::Duration share_;
  std::unordered_map<User, Turn> turns_;  // of users with something that waits, or that has been served in this round
  std::list<User> ring_;
  std::size_t left_in_round_ = 0;  // users in the ring whose turn in this round is still to come, from the front
};

}  // namespace onced::net
