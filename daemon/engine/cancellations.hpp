// Cancellations of a function, a session or everything that are under way: accepted at once, carried out in bounded steps, as invalidations are
// (invalidations.hpp).
//
// Each is two numbers: it means what was computed, detached or not, and what was queued when it arrived, the leases and the places in queues up to
// these. From its arrival on a key in its scope that has such is unsettled: whatever comes to it finds nothing of that left, for
// Computations::settle() ends it first. So nobody who asks later waits for what is ended. Keys that nobody comes to are ended by the way, in order of
// their leases' grants, then in that of their places, some in every tick; when none is left the cancellation is answered.
//
// Stamps (directory.hpp) would not do to find them: they order all keys, and far more have a value than are computed.
//
// Ownership: holds names and addresses only.
// Order:     answered in order of arrival. What several mean is ended, and counted, for the first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/entry.hpp"

namespace onced::engine {

struct Cancellation {
  std::uint64_t leases = 0;          // token counters up to this one
  std::uint64_t places = 0;          // and numbers of places
  std::uint64_t waiters = 0;         // numbers of those who may wait for them; for check_invariants() only
  std::uint64_t stamp = 0;           // of the last invalidation before it (directory.hpp)
  protocol::Scope scope;             // no key: one is ended at once
  std::optional<ReplyAddress> to;    // nothing: whoever asked is gone, or was answered by the end of the daemon
  std::string text;                  // for people: by whom
  std::uint64_t ended = 0;           // leases and queued keys so far
  std::uint64_t last_lease = 0;      // all up to this one have been looked at,
  std::uint64_t last_place = 0;      // and up to this place in a queue
};

class Cancellations {
 public:
  void add(Cancellation cancellation) { under_way_.push_back(std::move(cancellation)); }
  bool empty() const { return under_way_.empty(); }
  std::size_t size() const { return under_way_.size(); }
  Cancellation& front() { return under_way_.front(); }
  void pop_front() { under_way_.pop_front(); }
  std::deque<Cancellation>& all() { return under_way_; }
  const std::deque<Cancellation>& all() const { return under_way_; }

  // Whether the first of them all is still to be carried out on the entry.
  bool first_is_due(const Entry& entry) const;
  // The first that is still to be carried out on the entry; null: none. Given a stamp: of those that came before that invalidation.
  const Cancellation* due(const Entry& entry, std::uint64_t before = std::numeric_limits<std::uint64_t>::max()) const {
    return under_way_.empty() ? nullptr : first_due(entry, before);
  }
  Cancellation* due(const Entry& entry, std::uint64_t before = std::numeric_limits<std::uint64_t>::max()) {
    return const_cast<Cancellation*>(std::as_const(*this).due(entry, before));  // it is one of ours
  }

 private:
  const Cancellation* first_due(const Entry& entry, std::uint64_t before) const;

  std::deque<Cancellation> under_way_;
};

}  // namespace onced::engine
