// Computations: what a session's rotation or end leaves of an entry. Sessions.hpp says when.
#include <algorithm>
#include <utility>

#include <onced/protocol/session.hpp>

#include "engine/computations.hpp"

namespace onced::engine {

using protocol::LeaseEnd;
using protocol::SignalEvent;

// Holds an entry against the present generation of its session; false: it was so already. Whoever computes or waits does so under an
// id that is dead: the result is nobody's, not even theirs who wait. A value stays, unless the session is over.
bool Computations::leave_generation(Entry& entry) {
  if (entry.session == nullptr || entry.generation == entry.session->generation) return false;
  Session& session = *entry.session;
  entry.generation = session.generation;
  directory_.may_be_unused(entry);
  const std::uint64_t version = entry.value ? entry.value->version : 0;
  const bool was_computed = entry.lease != nullptr;
  const bool was_queued = entry.queued.has_value();
  const bool had_anything = entry.value || was_computed || entry.failure;
  fence(entry);
  forget_failure(entry);
  if (was_queued) signals_.emit(SignalEvent::abandoned, entry.key, version, 0, "session_ended");
  if (!session.ended()) {
    if (was_computed) signals_.emit(SignalEvent::abandoned, entry.key, version, 0, "session_ended");
    return true;
  }
  if (entry.loading) entry.loading->is_void = true;
  directory_.clear_tags(entry);
  if (const std::uint64_t wave = condemn(entry, "the end of session " + std::to_string(session.number)); wave != 0) session.last_wave = wave;
  if (entry.value) {
    catalog_.drop_untold(entry);
    ++session.dropped;
  }
  if (had_anything) signals_.emit(SignalEvent::invalidated, entry.key, version);
  return true;
}

// Ends all that is computed for the key, detached from it or not, or waits for its turn.
void Computations::fence(Entry& entry) {
  const auto tell = [&](Waiter& waiter) {
    context_.refuse(waiter.from, ErrorCode::session_ended, "the session has ended, or has another id by now; what was asked for under this one is nobody's");
  };
  while (!entry.detached.empty()) {
    Lease& lease = *entry.detached.front();
    lose(lease, LeaseEnd::session_ended);
    answer_all(lease.waiters, tell);
    end(lease);
  }
  if (entry.queued) queues_.leave(entry);
  answer_all(entry.waiters, tell);
  if (entry.lease == nullptr) return;
  lose(*entry.lease, LeaseEnd::session_ended);
  end(*entry.lease);
  ++context_.counters.fenced_computations;
}

// Also of keys that nothing else is known of: who had the old id may have let its processes die.
void Computations::forget_deaths_in(std::uint64_t session) {
  deaths_.forget_if([&](std::string_view key) { return protocol::session_in(key) == session; });
}

// What is under way elsewhere may have read its values, or what was derived from them.
void Computations::session_ended(std::uint64_t session) {
  forget_deaths_in(session);
  note_invalidated(directory_.next_stamp());
}

bool Computations::go_on_behind(const Session& session, std::size_t& most) {
  if (!waves_.is_over(session.last_wave)) go_on_with_waves(std::exchange(most, 0));
  return waves_.is_over(session.last_wave);
}

std::size_t Computations::settle_session(Session& session, std::size_t most) {
  std::size_t left = most;
  while (!session.settled() && left > 0) {
    Entry& entry = *session.entries.back();
    left -= std::min(left, 1 + entry.waiters.size());
    settle(entry);
  }
  return most - left;
}

}  // namespace onced::engine
