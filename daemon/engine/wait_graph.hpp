// Deadlock, found before somebody waits (L7).
//
// The graph: a lease is held by a thread; that thread may itself wait, in a request that names the leases it holds; the
// wait is for another lease. A request that would close a circle through a lease which the asking thread holds is
// refused. What clients say they hold is believed within their namespace; a lie harms waits in that namespace only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <onced/protocol/result.hpp>

#include "engine/entry.hpp"

namespace onced::engine {

class WaitGraph {
 public:
  // Remembers and forgets which waits a thread with these leases is in.
  void add(const Waiter& waiter);
  void remove(const Waiter& waiter);

  // Why a thread that holds `held` must not wait for `target`: recursion or deadlock, with the circle in words.
  // Follows at most wait_steps_max waits; a longer chain is refused as well. `is_ending`: of a lease that is to be ended before anything else
  // comes of it, so that who waits for it waits no more.
  using IsEnding = std::function<bool(const Lease&)>;
  std::optional<Error> check(const std::vector<protocol::Token>& held, const Lease& target, const IsEnding& is_ending) const;

  std::size_t size() const { return waits_of_.size(); }

  static constexpr std::size_t wait_steps_max = 4096;

 private:
  using Waits = std::map<std::uint64_t, const Waiter*>;  // by number: in order of arrival

  // By token counter: the waits of threads that say that they hold this lease. A tree: clients choose the counters.
  std::map<std::uint64_t, Waits> waits_of_;
};

}  // namespace onced::engine
