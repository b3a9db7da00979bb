// Computations: how a lease ends without a result, and who gets the next one (L2).
#include <algorithm>
#include <utility>

#include "engine/computations.hpp"
#include "engine/key_fields.hpp"
#include "engine/text.hpp"

namespace onced::engine {

using protocol::LeaseCause;
using protocol::LeaseEnd;
using protocol::SignalEvent;

void Computations::end_without_result(Lease& lease, EndedBy how) {
  Entry& entry = *lease.entry;
  const protocol::Token token = lease.token;
  settle(entry);
  if (leases_.find(token) == nullptr) return;  // with its session, or cancelled
  directory_.may_be_unused(entry);
  LeaseCause cause = LeaseCause::abandoned;
  switch (how) {
    case EndedBy::abandon: break;
    case EndedBy::holder_death: cause = LeaseCause::holder_died; break;
    case EndedBy::limit: cause = LeaseCause::limit_passed; lose(lease, LeaseEnd::limit_passed); break;
    case EndedBy::not_taken_up: cause = LeaseCause::not_taken_up; lose(lease, LeaseEnd::not_taken_up); break;
  }
  if (how == EndedBy::holder_death) ++context_.counters.holder_deaths;
  const std::string last_holder = lease.holder_name;
  const ProcessNumber process = connections_.at(lease.holder.connection).process_number;
  if (lease.detached) {
    WaiterList orphans;
    orphans.splice(orphans.end(), lease.waiters);
    end(lease);
    return rejoin(entry, std::move(orphans), cause);
  }
  end(lease);
  signals_.emit(SignalEvent::abandoned, entry.key, entry.value ? entry.value->version : 0, 0, std::string(name_of(cause)));
  if (how == EndedBy::holder_death) {
    const int deaths = deaths_.add(entry.key, process, context_.now);
    if (deaths >= context_.settings.holder_deaths_max) return fail_for_deaths(entry, deaths, last_holder);
  }
  hand_over(entry, cause);
}

// The answer stays as long as the deaths are remembered: a supervisor that starts one process after the other would
// lose them all.
void Computations::fail_for_deaths(Entry& entry, int deaths, const std::string& last_holder) {
  const Duration memory = context_.settings.holder_deaths_memory;
  const std::string text = std::to_string(deaths) + " holders died in a row while computing " + display(entry.key) +
                           "; the last was " + last_holder + "; it fails for " + duration_text(memory) +
                           " unless it is forced, put or invalidated";
  context_.note(Note::Level::warning, text);
  ++context_.counters.failures;
  answer_all(entry.waiters, [&](Waiter& waiter) { context_.send(waiter.from, protocol::Failure{text, 0}); });
  keep_failure(entry, text, memory);
  signals_.emit(SignalEvent::failed, entry.key, entry.value ? entry.value->version : 0, 0, text);
}

// The longest waiter that can compute gets the lease; passive ones are passed over and go on waiting.
void Computations::hand_over(Entry& entry, LeaseCause cause) {
  const auto next = std::find_if(entry.waiters.begin(), entry.waiters.end(), [](const Waiter& w) { return w.may_compute; });
  if (next == entry.waiters.end()) return;
  const ReplyAddress to = next->from;
  const Duration limit = next->lease_limit;
  take_out(*next);
  entry.waiters.erase(next);
  Connection& holder = connections_.at(to.connection);
  if (cause != LeaseCause::queued)
    context_.note(Note::Level::info, "the lease of " + display(entry.key) + " goes to " + holder.description + ": " +
                                         std::string(name_of(cause)));
  grant(entry, holder, to.id, limit, cause, true);
}

// The waiters of a detached lease that brought no result: a fresh value that the key has by now is newer than what they asked
// for, so they take it, or wait for one, or one of them begins.
void Computations::rejoin(Entry& entry, WaiterList orphans, LeaseCause cause) {
  catalog_.catch_up(entry);
  for (Waiter& waiter : orphans) waiter.detached = nullptr;
  if (entry.value) {
    const bool stale = entry.value->stretch == Stretch::stale;
    WaiterList served;
    for (auto at = orphans.begin(); at != orphans.end();) {
      const auto waiter = at++;
      if (!stale || waiter->accept_stale) served.splice(served.end(), orphans, waiter);
    }
    count_served(entry, entry.value->cost_us, served);
    context_.counters.stale_answers += stale ? served.size() : 0;
    SharedParts parts;
    answer_all(served, [&](Waiter& waiter) { catalog_.answer(entry, waiter.from, true, parts); });
    if (orphans.empty()) return;
  }
  if (const FailedAnswer* failure = failure_of(entry)) {
    const protocol::Failure answer{failure->text, milliseconds_between(failure->since, context_.now)};
    return answer_all(orphans, [&](Waiter& waiter) { context_.send(waiter.from, answer); });
  }
  std::vector<Waiter*> joined;
  for (Waiter& waiter : orphans) joined.push_back(&waiter);
  entry.waiters.merge(orphans, [](const Waiter& a, const Waiter& b) { return a.number < b.number; });
  if (entry.loading) return;
  if (entry.lease == nullptr) {
    if (entry.queued && joined.empty()) return;  // it was asked for anew, and that request has its place
    return hand_over(entry, cause);
  }
  for (Waiter* waiter : joined)
    if (auto problem = circle_of(waiter->held, *entry.lease)) refuse_waiter(*waiter, std::move(*problem));  // they wait for another lease now
}

}  // namespace onced::engine
