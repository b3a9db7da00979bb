// Signals as they come: what happened to a key, a function's keys, or a whole namespace.
//
// A subscription begins with the present state and then delivers every change, in order, with no gap between (L9).
// When something had to be dropped (this reader was too slow or away too long, or the daemon restarted) a `resync`
// event says so and carries the state at that moment. It reconnects by itself and resumes where it was.
//
// Ownership: has a connection of its own; independent of the Client that made it, except for its options.
// Threads:   one at a time. No thread of its own: next() and poll() do the reading.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <onced/options.hpp>
#include <onced/protocol/key.hpp>
#include <onced/protocol/messages.hpp>
#include <onced/protocol/result.hpp>

namespace onced {

struct Event {
  enum class Kind : std::uint8_t { state, resync, signal };
  Kind kind = Kind::signal;
  protocol::Signal signal;  // kind signal
  protocol::State state;    // kind state (the first event, once) and resync (state.reason says why)
};

class Subscription {
 public:
  Subscription(Subscription&&) noexcept;
  Subscription& operator=(Subscription&&) noexcept;
  ~Subscription();

  // The next event; nothing when `timeout` passed. Errors: the daemon refuses the subscription (limit_reached) or this
  // client (not_permitted, not_found: no such namespace, version_mismatch), for good: it does not try again, and every
  // later call says the same. When strict: it could not be reached in that time.
  Result<std::optional<Event>> next(Milliseconds timeout);
  // Readable when poll() has something to do, also when that is to connect again. The same one for as long as the
  // subscription lives (in a forked child: from its first call there). For reading readiness only.
  int descriptor() const;
  // Delivers what is there without blocking; returns the number of events. Errors as for next().
  Result<std::size_t> poll(const std::function<void(const Event&)>& callback);

  // for (const onced::Event& event : subscription) ...: blocks for each; ends when the daemon refuses, or when it is away
  // and strict is set.
  class Iterator {
   public:
    using value_type = Event;
    using difference_type = std::ptrdiff_t;
    const Event& operator*() const { return *event_; }
    Iterator& operator++();
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !event_.has_value(); }

   private:
    friend class Subscription;
    Subscription* subscription_ = nullptr;
    std::optional<Event> event_;
  };
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

  struct State;
  explicit Subscription(std::unique_ptr<State> state);

 private:
  std::unique_ptr<State> state_;
};

}  // namespace onced
