// What is due when: waits, lease limits, take-ups, the end of failed answers.
//
// Ownership: holds pointers to what a deadline belongs to; the owner clears its Timer before it goes.
// Order:     by time, then by arrival, so that the same events give the same effects.
#pragma once

#include <map>
#include <optional>
#include <variant>

#include "engine/types.hpp"

namespace onced::engine {

struct Entry;
struct Lease;
struct Waiter;

struct WaitDeadline { Waiter* waiter; };
struct LeaseLimit { Lease* lease; };
struct TakeUpDeadline { Lease* lease; };
struct FailureEnd { Entry* entry; };
using Deadline = std::variant<WaitDeadline, LeaseLimit, TakeUpDeadline, FailureEnd>;

class TimerQueue {
  using Queue = std::multimap<Time, Deadline>;

 public:
  // One deadline's place in the queue, kept by what it belongs to.
  class Timer {
   public:
    bool is_set() const { return place_.has_value(); }
    Time when() const { return (*place_)->first; }

   private:
    friend class TimerQueue;
    std::optional<Queue::iterator> place_;
  };

  void set(Timer& timer, Time when, Deadline what) {
    clear(timer);
    timer.place_ = queue_.emplace(when, what);
  }
  void clear(Timer& timer) {
    if (timer.place_) queue_.erase(*timer.place_);
    timer.place_.reset();
  }

  std::optional<Time> earliest() const {
    if (queue_.empty()) return std::nullopt;
    return queue_.begin()->first;
  }
  // The first deadline at or before `now`; it stays until its timer is cleared.
  std::optional<Deadline> due(Time now) const {
    if (queue_.empty() || queue_.begin()->first > now) return std::nullopt;
    return queue_.begin()->second;
  }
  std::size_t size() const { return queue_.size(); }

 private:
  Queue queue_;
};

}  // namespace onced::engine
