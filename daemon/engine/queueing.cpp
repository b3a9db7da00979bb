// Computations: keys that wait because their function computes as many as it may (function_queues.hpp).
//
// Why no turn can be waited for in vain (L7): whoever holds a lease waits only for leases, never for a turn. It gets the lease of
// a key at once, above the limit if need be; and a key for which it only waits is not queued, but given to whoever can compute
// it. So nobody in a queue holds what somebody else waits for, the circles that there can be are those of leases alone, which
// WaitGraph refuses, and of all leases there is always one whose holder waits for no other: it ends (by its limit at the
// latest), then the next, until those of a full function end as well. The price: nested computations may exceed the limit of
// their function, by their nesting.
#include <algorithm>
#include <utility>

#include "engine/computations.hpp"
#include "engine/key_fields.hpp"
#include "engine/text.hpp"

namespace onced::engine {

using protocol::LeaseCause;
using protocol::SignalEvent;

namespace {

bool is_able(const Waiter& waiter) { return waiter.may_compute; }
bool is_of_holder(const Waiter& waiter) { return waiter.nested; }
bool is_in_background(const Waiter& waiter) { return waiter.background; }

}  // namespace

// A lease is held by a process, over whichever of its connections it came; a forked child holds none of its parent's. What is named
// beside that would exempt who does not compute from a queue, and have others refused for circles that are none.
void Computations::keep_own(std::vector<protocol::Token>& held, const Connection& from) {
  std::erase_if(held, [&](const protocol::Token& token) {
    const Lease* lease = leases_.find(token);
    return lease == nullptr || !connections_.may_be_one_process(connections_.at(lease->holder.connection), from);
  });
}

// Detached leases count: their threads wait for each other like any. Of what a client says that it holds, what others hold is left
// out by now; which of its threads holds it, is believed.
bool Computations::is_nested(const protocol::Acquire& request) {
  return std::any_of(request.held.begin(), request.held.end(), [&](const protocol::Token& token) { return leases_.find(token) != nullptr; });
}

// Of a key without a lease: whether somebody who can compute it gets the lease now.
bool Computations::may_begin(const Entry& entry, bool nested) const {
  if (nested) return true;
  if (entry.queued) return false;
  return queues_.has_room(function_of(entry.key)) || std::any_of(entry.waiters.begin(), entry.waiters.end(), is_of_holder);
}

// A request has begun to wait for a key without a lease.
void Computations::line_up(Entry& entry, const Waiter& waiter) {
  if (waiter.nested) {
    if (entry.queued) hand_over(entry, LeaseCause::queued);
    return;
  }
  if (!entry.queued && !waiter.may_compute) return;
  // Those who only wait and came before count as well.
  const bool in_background = waiter.background && (entry.queued || std::all_of(entry.waiters.begin(), entry.waiters.end(), is_in_background));
  queues_.enter(entry, in_background, context_.now);
}

// Of a key without a lease, after some of those who waited for it were answered: one of the others begins, or they wait for their turn.
void Computations::begin_or_line_up(Entry& entry, LeaseCause cause) {
  const bool is_wanted = std::any_of(entry.waiters.begin(), entry.waiters.end(), is_able);
  if (entry.queued && !is_wanted) queues_.leave(entry);
  if (entry.lease != nullptr || entry.queued || !is_wanted) return;
  if (may_begin(entry, false)) return hand_over(entry, cause);
  queues_.enter(entry, std::all_of(entry.waiters.begin(), entry.waiters.end(), is_in_background), context_.now);
}

void Computations::let_queues_move() {
  std::size_t begun = 0;
  for (Entry* entry : std::exchange(left_by_waiters_, {})) {
    if (cancellations_.due(*entry) != nullptr) {  // out of the queue nothing would say that those who are left are to be told
      begun += entry->waiters.size();
      settle(*entry);
    }
    leave_queue_if_nobody_waits(*entry);
  }
  for (; begun < begun_per_step_max; ++begun) {
    Entry* next = queues_.next();
    if (next == nullptr) break;
    const std::size_t waiting = next->waiters.size();
    settle(*next);
    if (next->queued) hand_over(*next, LeaseCause::queued);
    else begun += waiting;  // who were told that it was cancelled, or that their session is over
  }
  // Those that were handed a lease left their key's list, and that was all that they were in.
  left_by_waiters_.clear();
  queues_.tell_moves([&](Entry& entry, std::size_t position) {
    signals_.emit(SignalEvent::queued, entry.key, entry.value ? entry.value->version : 0, 0, queues_.standing_text(entry), position);
  });
}

void Computations::leave_queue_if_nobody_waits(Entry& entry) {
  if (!entry.queued || std::any_of(entry.waiters.begin(), entry.waiters.end(), is_able)) return;
  queues_.leave(entry);
  signals_.emit(SignalEvent::abandoned, entry.key, entry.value ? entry.value->version : 0, 0, "nobody waits for its turn any more");
}

std::string Computations::holder_text(const Entry& entry) const {
  if (entry.lease != nullptr) return holder_text(*entry.lease);
  const std::string_view function = function_of(entry.key);
  if (entry.loading) return display(entry.key) + " has been being read from disk for " + duration_text(context_.now - entry.loading->since);
  if (entry.queued) return display(entry.key) + " is queued as " + queues_.standing_text(entry) + "; " + running_text(function);
  if (queues_.has_room(function)) return "nobody is computing " + display(entry.key);
  return display(entry.key) + " would have to wait for its turn behind max_concurrent = " + std::to_string(queues_.limit_of(function)) + " of " +
         std::string(function) + "; " + running_text(function);
}

std::string Computations::running_text(std::string_view function) const {
  constexpr std::size_t named_max = 3;
  const FunctionQueue* queue = queues_.find(function);
  if (queue == nullptr || queue->running.empty()) return "none of them is being computed";
  std::string text;
  std::size_t named = 0;
  for (const std::uint64_t counter : queue->running) {
    if (named == named_max) break;
    text += (named++ == 0 ? "" : "; ") + holder_text(leases_.all().at(counter));
  }
  if (const std::size_t more = queue->running.size() - named; more > 0) text += "; and " + count_text(more, "other");
  return text;
}

void Computations::check_queue_of(const Entry& entry) const {
  const bool is_wanted = std::any_of(entry.waiters.begin(), entry.waiters.end(), is_able);
  ONCED_ASSERT(entry.queued.has_value() == (entry.lease == nullptr && is_wanted && !entry.loading));
  ONCED_ASSERT(!entry.queued || std::none_of(entry.waiters.begin(), entry.waiters.end(), is_of_holder));  // holders wait for no turn
}

void Computations::check_queues() const {
  queues_.walk([&](const FunctionQueue& queue) {
    for (const std::uint64_t counter : queue.running) ONCED_ASSERT(function_of(leases_.all().at(counter).entry->key) == queue.name);
  });
  for (const auto& [counter, lease] : leases_.all()) {
    const std::string_view function = function_of(lease.entry->key);
    if (queues_.limit_of(function) != 0) ONCED_ASSERT(queues_.find(function)->running.contains(counter));
  }
  ONCED_ASSERT(left_by_waiters_.empty());
  queues_.check_invariants();
}

}  // namespace onced::engine
