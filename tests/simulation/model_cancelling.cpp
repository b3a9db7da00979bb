// Model: what a cancellation of a function, a session or everything means, and whether that is all that it ends.
//
// What was computed or queued when it arrived is over from then on, though holders and waiters may be told in later steps: a lease is dead, its
// value refused, and who waits gets nothing else than Cancelled (or what is his anyway: his deadline, the end of his session or of the daemon).
#include <algorithm>

#include "model.hpp"

namespace onced::simulation {

std::size_t Model::sweeps_awaited_by(ConnectionId connection) const {
  const auto awaits = [&](const auto& one) { return one.to && one.to->first == connection; };
  return static_cast<std::size_t>(std::count_if(invalidations_.begin(), invalidations_.end(), awaits) +
                                  std::count_if(cancellations_.begin(), cancellations_.end(), awaits));
}

void Model::before_cancel(Address from, const protocol::Cancel& request) {
  if (request.scope.kind == protocol::ScopeKind::key) {
    step_.cancelling = request.scope;  // it ends at once
    return;
  }
  if (sweeps_awaited_by(from.first) >= limits::invalidations_per_connection_max) {
    step_.refusal_due = ErrorCode::limit_reached;
    return;
  }
  step_.answer_due.reset();
  const std::uint64_t number = ++last_cancellation_;
  cancellations_.push_back({.number = number, .scope = request.scope, .to = from});
  for (auto& [address, wait] : waits_) {
    if (wait.fenced || wait.cancelled_by != 0 || !in_scope(request.scope, wait.key)) continue;
    const KeyModel& key = keys_[wait.key];
    if (wait.detached == 0 && key.live == 0 && !key.queued) continue;  // for the disk, or for whoever begins next
    if (wait.detached == 0) wait.detached = key.live;                   // 0: for its turn
    wait.cancelled_by = number;
  }
  for (auto at = leases_.begin(); at != leases_.end();) {
    const auto lease = at++;
    if (!in_scope(request.scope, lease->second.key)) continue;
    dead_leases_[lease->first] = {.holder = lease->second.holder, .key = lease->second.key, .cancelled_by = number, .owes_lost = lease->second.owes_lost};
    leases_.erase(lease);
  }
  for (auto& [name, key] : keys_) {
    if (!in_scope(request.scope, name) || (key.live == 0 && !key.queued)) continue;
    if (key.queued && key.cancelled_by != 0) continue;
    key.cancelled_by = number;
    key.cancelled_in_queue = key.live == 0;
    if (key.live == 0) continue;
    key.mark_unknown = true;
    key.live = 0;
    key.deaths.clear();
  }
}

void Model::count_cancelled(std::uint64_t number) {
  const auto found = std::find_if(cancellations_.begin(), cancellations_.end(), [&](const auto& one) { return one.number == number; });
  require(found != cancellations_.end(), "something was cancelled by what was answered before");
  ++found->ended;
}

// True: it was one.
bool Model::on_cancel_answer(const engine::Send& send) {
  const auto asked = std::find_if(cancellations_.begin(), cancellations_.end(), [&](const auto& one) { return one.to == Address{send.connection, send.id}; });
  if (asked == cancellations_.end()) return false;
  const auto* done = std::get_if<protocol::Done>(&send.reply);
  require(done != nullptr || draining_, "a cancellation was not answered with Done");
  asked->to.reset();
  if (done != nullptr) step_.cancelled.emplace_back(asked->number, done->count);
  return true;
}

void Model::on_cancelled(Address to) {
  const Wait wait = take_wait(to, "Cancelled");
  if (wait.cancelled_by == 0) return require(step_.cancelling && in_scope(*step_.cancelling, wait.key), "a waiter was told of a cancellation that was not its own");
  if (wait.detached == 0) keys_[wait.key].queued.reset();  // whoever asks anew in this step stands behind the others
}

void Model::on_dead_lease_lost(std::map<std::uint64_t, DeadLease>::iterator dead, protocol::LeaseEnd why) {
  DeadLease& lease = dead->second;
  if (lease.cancelled_by != 0 && why == protocol::LeaseEnd::invalidated) {
    require(lease.owes_lost, "a lease was detached by an invalidation that does not mean it, or twice (L5)");
    lease.owes_lost = false;
    return;
  }
  require(!lease.owes_lost, "a lease was cancelled before an invalidation that came first");
  require(why == (lease.cancelled_by != 0 ? protocol::LeaseEnd::cancelled : protocol::LeaseEnd::session_ended), "a lease that is over was lost for another reason");
  if (lease.cancelled_by != 0) count_cancelled(lease.cancelled_by);
  dead_leases_.erase(dead);
}

void Model::on_cancelled_signal(const protocol::Signal& signal) {
  KeyModel& key = keys_[signal.key];
  if (key.cancelled_by == 0) return require(step_.cancelling && in_scope(*step_.cancelling, signal.key), "`cancelled` though nobody asked for it");
  if (key.cancelled_in_queue) count_cancelled(key.cancelled_by);  // of what was computed the lease is counted
  key.cancelled_by = 0;
  key.mark_unknown = false;
}

// Of those that were answered in this step nothing is left.
void Model::check_cancelled() {
  for (const auto& [number, count] : step_.cancelled) {
    const auto is_of = [number = number](const auto& one) { return one.second.cancelled_by == number; };
    require(std::none_of(dead_leases_.begin(), dead_leases_.end(), is_of), "a lease outlived its cancellation");
    require(std::none_of(waits_.begin(), waits_.end(), is_of), "a waiter outlived its cancellation");
    require(std::none_of(keys_.begin(), keys_.end(), is_of), "a queued key outlived its cancellation, or nobody was told");
    const auto own = std::find_if(cancellations_.begin(), cancellations_.end(), [number = number](const auto& one) { return one.number == number; });
    require(own->ended == count, "a cancellation counted wrongly");
    cancellations_.erase(own);
  }
}

}  // namespace onced::simulation
