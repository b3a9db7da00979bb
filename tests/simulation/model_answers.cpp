// Model: whether what the engine did, its answers and the changes it tells of, may be, and what there is then.
#include <algorithm>
#include <utility>

#include <onced/protocol/session.hpp>

#include "engine/context.hpp"
#include "model.hpp"

namespace onced::simulation {

using engine::time_word;
using protocol::LeaseCause;
using protocol::LeaseEnd;

namespace {

template <typename T>
const T* request_in(const engine::Event& event) {
  const auto* requested = std::get_if<engine::Requested>(&event);
  return requested == nullptr ? nullptr : std::get_if<T>(&requested->request);
}

}  // namespace

void Model::after(const engine::Event& event, const engine::Effects& effects) {
  learn_of_upstreams(effects);
  if (disk_ != nullptr) learn_of_load(effects);
  for (const engine::Effect& effect : effects) {
    if (const auto* send = std::get_if<engine::Send>(&effect)) {
      const auto* signal = send->connection == SignalModel::monitor ? std::get_if<protocol::Signal>(&send->reply) : nullptr;
      if (signal != nullptr && signal->event == protocol::SignalEvent::session_ended) on_session_ended(*signal);
      if (signal != nullptr && signal->event == protocol::SignalEvent::cancelled) on_cancelled_signal(*signal);  // before the session may end
      on_send(*send);
    }
    if (std::holds_alternative<engine::Close>(effect)) step_.closed = true;
  }
  if (keeps_sessions()) learn_of_kept_sessions();
  require(step_.closed == step_.close_due, "a connection was closed without need, or not closed in spite of it");
  if (step_.answer_due && !step_.answered && step_.publishing && (has_dependencies() || (disk_ != nullptr && step_.retention.durable))) {
    held_back_[*step_.answer_due] = 0;  // until what depends on the former value has been reached, or it is written
    step_.answered = true;
  }
  require(!step_.answer_due || step_.answered || step_.close_due, "a request was not answered");
  if (request_in<protocol::Publish>(event) != nullptr && step_.detached_publish != 0) {
    for (const auto& [address, wait] : waits_)
      require(wait.detached != step_.detached_publish, "a waiter of a detached lease was not told its value (L5)");
    forget_lease(step_.detached_publish);
  }
  if (!step_.failing_key.empty()) {
    for (const auto& [address, wait] : waits_) {
      const bool told = step_.failing_detached != 0 ? wait.detached == step_.failing_detached
                                                    : wait.key == step_.failing_key && wait.detached == 0;
      require(!told, "a waiter was not told of a failure (L4)");
    }
    if (step_.failing_detached != 0) forget_lease(step_.failing_detached);
  }
  update_queues();
  for (const protocol::Signal& change : signals_.check(effects)) on_change(change);
  if (step_.replaced != 0) is_replaced(made_.at(step_.replaced).key, step_.replaced, true);
  note_gone();
  check_invalidated();
  check_cancelled();
  check_session_ends();
  check_dependants();
  check_owed();
  check_queues();
  forget_tags();
  check_no_circle();
  check_blobs();
  check_sessions();
  check_function_limits();
  check_disk();
  check_kept_sessions();
}

void Model::on_send(const engine::Send& send) {
  using namespace protocol;
  const Address to{send.connection, send.id};
  require(alive_.contains(send.connection), "a message for a connection that is gone or dead");
  if (const auto asked = std::find_if(invalidations_.begin(), invalidations_.end(), [&](const auto& one) { return one.to == to; });
      asked != invalidations_.end()) {
    const auto* done = std::get_if<Done>(&send.reply);
    const auto* refused = std::get_if<Refused>(&send.reply);
    const bool not_durable = refused != nullptr && refused->code == ErrorCode::not_durable;
    require(done != nullptr || draining_ || not_durable, "an invalidation was not answered with Done");
    require(!not_durable || (disk_ != nullptr && disk_->has_failed()), "an invalidation is said not to be durable though the disk works");
    if (done != nullptr && disk_ != nullptr) check_dropped_on_disk(*asked);
    asked->to.reset();
    if (done == nullptr && !not_durable) return;
    step_.invalidated.emplace_back(*asked, done != nullptr ? std::optional(done->count) : std::nullopt);
    return;
  }
  if (on_cancel_answer(send)) return;
  if (const auto asked = session_ends_.find(to); asked != session_ends_.end()) {
    on_end_answer(asked->second, send);
    session_ends_.erase(asked);
    return;
  }
  if (on_session_answer(send)) return;
  if (std::holds_alternative<Refused>(send.reply) && signals_.has(to) && step_.answer_due != to) return;  // signal_model.cpp
  if (disk_ != nullptr && on_disk_answer(send)) return;
  if (const auto held = held_back_.find(to); held != held_back_.end()) {
    const auto* published = std::get_if<Published>(&send.reply);
    require(published != nullptr && published->version == held->second, "a publish that was held back was answered wrongly");
    is_replaced(made_.at(held->second).key, held->second, true);
    held_back_.erase(held);
    return;
  }
  const bool request_of_step = step_.answer_due == to;
  if (request_of_step && (step_.reserving || step_.fetching)) {
    require(!step_.answered && !step_.close_due, "a request for a blob was answered twice, or in spite of a wrong receipt");
    step_.answered = true;
    return step_.reserving ? blobs_.reserved(send.connection, *step_.reserving, send, is_weighed(send.connection, *step_.reserving))
                           : blobs_.fetched(send.connection, *step_.fetching, send);
  }
  require(send.blob == engine::BlobId{}, "a descriptor that nobody asked for");
  const bool is_final = !std::holds_alternative<Signal>(send.reply) && !std::holds_alternative<State>(send.reply) &&
                        !std::holds_alternative<Position>(send.reply) && !std::holds_alternative<LeaseLost>(send.reply);
  if (request_of_step && is_final && !waits_.contains(to)) {
    require(!step_.answered, "a request was answered twice");
    step_.answered = true;
    const auto* refused = std::get_if<Refused>(&send.reply);
    require((refused != nullptr) == step_.refusal_due.has_value(),
            step_.refusal_due ? "a request was not refused: " + std::string(name_of(*step_.refusal_due))
                              : "a request was refused without need: " + (refused != nullptr ? refused->text : std::string()));
    if (refused != nullptr) return require(refused->code == *step_.refusal_due, "refused with a wrong code: " + refused->text);
  }
  if (const auto* lease = std::get_if<protocol::Lease>(&send.reply)) return on_lease(to, *lease);
  if (const auto* lost = std::get_if<LeaseLost>(&send.reply)) return on_lease_lost(to, *lost);
  if (const auto* opened = std::get_if<SessionOpened>(&send.reply)) return on_session_opened(to, *opened);
  if (const auto* value = std::get_if<protocol::Value>(&send.reply)) return on_value(to, *value);
  if (const auto* failure = std::get_if<Failure>(&send.reply)) return on_failure(to, *failure);
  if (const auto* refused = std::get_if<Refused>(&send.reply)) return on_refused(to, *refused);
  if (const auto* published = std::get_if<Published>(&send.reply)) return on_published(*published);
  if (std::holds_alternative<Cancelled>(send.reply)) return on_cancelled(to);
}

Model::Wait Model::take_wait(Address to, const char* what) {
  const auto found = waits_.find(to);
  if (found == waits_.end()) fail(std::string(what) + " for a request that is answered already, or never was (L3)");
  Wait wait = std::move(found->second);
  waits_.erase(found);
  return wait;
}

void Model::on_lease(Address to, const protocol::Lease& lease) {
  const Wait wait = take_wait(to, "a lease");
  KeyModel& key = keys_[wait.key];
  require(!wait.fenced, "a lease under an id that is dead");
  require(wait.cancelled_by == 0, "a lease for who was cancelled");
  require(wait.request.may_compute, "a lease for somebody who cannot compute (L2)");
  require(key.live == 0, "a second live lease of one key (L1)");
  require(lease.token.epoch == schedule_.profile.settings.epoch && lease.token.counter > last_counter_, "tokens must rise (L1)");
  const bool first = step_.request == to && !lease.take_up;
  const bool by_turn = lease.take_up && lease.cause == LeaseCause::queued;
  const bool after_load = lease.take_up && !by_turn && !step_.ended.contains(wait.key) && ends_load(wait.key);
  check_turn(to, wait, lease);
  if (first) {
    LeaseCause cause = LeaseCause::absent;
    if (usable(key)) cause = fresh(key) ? LeaseCause::ahead : LeaseCause::stale;
    if (usable(key) && wait.request.force) cause = LeaseCause::forced;
    require(cause != LeaseCause::ahead || (early(key) && wait.request.refresh), "a lease though there is a value");
    require(lease.cause == cause, "a lease with a wrong cause");
    require(wait.request.force || !failed_recently(key), "a lease though the key failed a moment ago (L4)");
  } else {
    const auto ended = step_.ended.find(wait.key);
    require(by_turn || after_load || ended != step_.ended.end(), "a lease was handed over though none ended (L2)");
    require(by_turn || after_load || (lease.take_up && lease.cause == ended->second), "a hand-over with a wrong cause (L2)");
    const bool is_found = step_.loaded && step_.loaded->is_good;  // perhaps there was no room for it, nor anybody to whom it would do
    require(!after_load || (lease.cause == LeaseCause::absent ? !step_.loaded || step_.loaded->version == 0 : is_found), "a lease after a load with a wrong cause");
    for (const auto& [address, other] : waits_)
      require(other.key != wait.key || other.detached != 0 || other.fenced || !other.request.may_compute || other.arrival > wait.arrival,
              "a lease went past somebody who waited longer (L2)");
    if (!by_turn && !after_load) step_.ended.erase(ended);
  }
  key.failed.reset();
  key.live = last_counter_ = lease.token.counter;
  Lease& made = leases_[lease.token.counter];
  made.key = wait.key;
  made.holder = to.first;
  made.acquire = to.second;
  made.taken_up = !lease.take_up;
  made.take_up_by = schedule_.now + schedule_.profile.settings.take_up_deadline;
  made.granted = schedule_.now;
  made.granted_after = last_invalidation_;
  made.granted_meanwhile = !ending_.empty() || std::any_of(invalidations_.begin(), invalidations_.end(), [](const auto& one) { return !one.soft; });
  made.limit_at = schedule_.now + std::chrono::milliseconds(lease.limit_ms);
}

void Model::on_lease_lost(Address to, const protocol::LeaseLost& lost) {
  if (const auto ended = step_.lost_words.find(lost.token.counter); ended != step_.lost_words.end() && lost.why == LeaseEnd::invalidated) {
    require(ended->second == to.first, "LeaseLost for somebody else");
    step_.lost_words.erase(ended);
    return;
  }
  if (const auto dead = dead_leases_.find(lost.token.counter); dead != dead_leases_.end()) {
    require(dead->second.holder == to.first, "LeaseLost for somebody else");
    return on_dead_lease_lost(dead, lost.why);
  }
  const auto found = leases_.find(lost.token.counter);
  require(found != leases_.end() && found->second.holder == to.first, "LeaseLost for a lease that its connection has not");
  Lease& lease = found->second;
  KeyModel& key = keys_[lease.key];
  switch (lost.why) {
    case LeaseEnd::cancelled:
      require(step_.cancelling && in_scope(*step_.cancelling, lease.key), "a lease was cancelled though nobody asked for it");
      if (!lease.detached) key.deaths.clear();
      return forget_lease(lost.token.counter);
    case LeaseEnd::invalidated:
      require(lease.owes_lost, "a lease was detached by an invalidation that does not mean it, or twice (L5)");
      lease.owes_lost = false;
      return;
    case LeaseEnd::superseded:
      require(!lease.detached, "a lease was detached twice");
      require(step_.put && step_.publishing == lease.key, "a lease was detached though nobody asked for it (L5)");
      lease.detached = true;
      key.live = 0;
      for (auto& [address, wait] : waits_)  // but those for whom the new value is too old
        if (wait.key == lease.key && wait.detached == 0 && !(step_.fate.may_be_outdated && !takes_too_old(wait))) wait.detached = lost.token.counter;
      return;
    case LeaseEnd::limit_passed:
      require(schedule_.now >= lease.limit_at, "a lease ended before its limit (L2)");
      return end_without_result(lost.token.counter, LeaseCause::limit_passed);
    case LeaseEnd::not_taken_up:
      require(!lease.taken_up && schedule_.now >= lease.take_up_by, "a lease was taken from who had taken it up (L2)");
      return end_without_result(lost.token.counter, LeaseCause::not_taken_up);
    case LeaseEnd::session_ended: fail("a lease was lost with a session that goes on");
  }
}

void Model::on_value(Address to, const protocol::Value& value) {
  const Wait wait = take_wait(to, "a value");
  require(!wait.fenced, "a value for who asked under an id that is dead");
  require(wait.cancelled_by == 0, "a value for who was cancelled");
  const KeyModel& key = keys_[wait.key];
  const bool of_publish = step_.publishing == wait.key && wait.detached == step_.detached_publish;
  if (step_.loaded && step_.loaded->key == wait.key && step_.loaded->version != 0) {
    on_loaded_value(wait, value);
  } else if (value.waited && of_publish) {
    require(!value.stale || (step_.fate.may_be_outdated && takes_too_old(wait)), "a value that is too old for who waits for it, or is not and says so");
    require(value.stale || step_.detached_publish != 0 || !step_.fate.must_be_outdated, "an outdated value was told as a fresh one");
    require(step_.version == 0 || step_.version == value.version, "waiters of one publish were told different versions");
    require(value.version > last_version_ || step_.version == value.version, "versions must rise");
    // Those of a detached lease that ends in the same step come after the key's own.
    const bool rejoined = step_.rejoining.contains(wait.key);
    require(rejoined || wait.arrival > step_.last_arrival, "waiters were answered out of order");
    step_.last_arrival = wait.arrival;
    step_.version = value.version;
    last_version_ = value.version;
    contents_[{wait.key, value.version}] = step_.content;
  } else {
    require(!value.waited || step_.rejoining.contains(wait.key), "a waiter was told a value though none was published (L3)");
    require(key.value.has_value(), "a value that was dropped (L6)");
    require(key.value->version == value.version, "a version that is not the key's newest (L5, L6)");
    require(usable(key), "a value that is over");
    require(value.stale == !fresh(key), "a stale value that does not say so, or a fresh one that says so");
    require(!value.stale || wait.request.accept_stale, "a stale value for somebody who does not take one");
    require(value.waited ? !value.stale || !wait.request.force : !wait.request.force, "a forced request was answered with what was there");
    const bool wanted = value.stale || (wait.request.refresh && early(key));
    require(value.waited || !wanted || !wait.request.may_compute || key.live != 0 || failed_recently(key) || !has_room(function_of_key(wait.key)),
            "nobody was asked to refresh a value");
  }
  if (value.record == 0) {
    require(blob_contents_.text_of(value.parts) == *content_of(wait.key, value.version), "wrong bytes");
    blobs_.lent(to.first, value.parts);
  }
}

void Model::on_failure(Address to, const protocol::Failure& failure) {
  const Wait wait = take_wait(to, "a failure");
  require(!wait.fenced, "a failure for who asked under an id that is dead");
  require(wait.cancelled_by == 0, "a failure for who was cancelled");
  const KeyModel& key = keys_[wait.key];
  const bool of_fail = step_.failing_key == wait.key && failure.text == step_.failing_text && wait.detached == step_.failing_detached;
  const bool of_deaths = step_.dying.contains(wait.key) && failure.text.find("died in a row") != std::string::npos;
  const bool of_memory = failed_recently(key) && !may_have(wait.request, key) && key.failed->text == failure.text;
  require(of_fail || of_deaths || of_memory, "a failure that nobody said, or that is over (L4): " + failure.text);
}

void Model::on_refused(Address to, const protocol::Refused& refused) {
  if (step_.answer_due == to) return;
  const bool of_step = step_.request == to;
  const Wait wait = take_wait(to, "a refusal");
  const KeyModel& key = keys_[wait.key];
  switch (refused.code) {
    case ErrorCode::timed_out:
      if (of_step && key.live == 0 && !(is_loading(wait.key) && wait.request.load_ms == 0)) {
        const bool must_begin = wait.nested || holder_waits_for(wait.key) || has_room(function_of_key(wait.key));
        require(wait.request.may_compute ? !must_begin : key.queued.has_value(), "who would not wait was refused though it need not");
      }
      if (wait.request.wait_ms == 0 && (of_step || ends_load(wait.key) || step_.put_ends_load)) return;
      return require(schedule_.now >= wait.deadline, "a waiter was timed out before its deadline (L3)");
    case ErrorCode::not_found:
      return require((of_step || ends_load(wait.key) || step_.put_ends_load) && !wait.request.may_compute && wait.request.wait_ms == 0 && key.live == 0 && !key.queued, "not_found without need");
    case ErrorCode::recursion: {
      const auto& held = wait.request.held;
      const bool after_load = (ends_load(wait.key) || step_.put_ends_load) && std::any_of(held.begin(), held.end(), [&](const auto& token) { return token.counter == key.live; });
      return require((of_step && step_.must_recurse) || after_load, "a recursion where there is none (L7)");
    }
    case ErrorCode::deadlock:
      if (of_step) return require(step_.would_deadlock, "a deadlock where there is none (L7)");
      return require(step_.rejoining.contains(wait.key) || ends_load(wait.key) || step_.put_ends_load, "a waiter was refused for a deadlock that it did not ask for (L7)");
    case ErrorCode::limit_reached: {
      const auto waiting = std::count_if(waits_.begin(), waits_.end(), [&](const auto& one) {
        return one.second.key == wait.key && one.second.detached == 0;
      });
      return require(static_cast<std::size_t>(waiting) >= schedule_.profile.settings.waiters_per_key_max, "a limit that is not reached");
    }
    case ErrorCode::unavailable: return require(draining_, "unavailable without draining");
    case ErrorCode::session_ended:
      if (wait.detached == 0) keys_[wait.key].queued.reset();  // whoever asks anew in this step stands behind the others
      return require(wait.fenced, "a waiter was refused though its session goes on");
    default: fail("a waiter was refused with " + std::string(name_of(refused.code)));
  }
}

void Model::on_published(const protocol::Published& published) {
  require(step_.publishing.has_value(), "Published though nothing was");
  require(step_.version == 0 || step_.version == published.version, "Published names another version than its waiters got");
  require(published.version > last_version_ || step_.version == published.version, "versions must rise");
  require(step_.detached_publish == 0 || !published.stored, "the value of a detached lease was stored (L5)");
  const bool too_much = is_above_function_limit(*step_.publishing, step_.content.bytes);
  require(published.stored || step_.detached_publish != 0 || step_.void_put || schedule_.profile.small_arena || has_few_edges() || too_much,
          "a value was not stored though there is room");
  step_.version = last_version_ = published.version;
  contents_[{*step_.publishing, published.version}] = step_.content;
  if (step_.detached_publish == 0 && !step_.void_put) step_.replaced = published.version;
}

// The changes tell the model which values there are; the world compares them with what readers find.
void Model::on_change(const protocol::Signal& signal) {
  if (signal.event == protocol::SignalEvent::session_ended) return;  // on_session_ended()
  KeyModel& key = keys_[signal.key];
  using protocol::SignalEvent;
  switch (signal.event) {
    case SignalEvent::done: {
      if (step_.version == 0 && step_.publishing == signal.key) {  // its publisher is told later
        require(signal.version > last_version_, "versions must rise");
        step_.version = last_version_ = signal.version;
        contents_[{signal.key, signal.version}] = step_.content;
      }
      if (step_.answer_due && held_back_.contains(*step_.answer_due)) held_back_.at(*step_.answer_due) = signal.version;
      require(step_.publishing == signal.key && step_.detached_publish == 0 && signal.version == step_.version,
              "`done` though nothing was published, or of another version");
      const engine::Lifespan lifespan =
          engine::lifespan_of(schedule_.profile.settings.retention, function_of_key(signal.key), step_.retention);
      Value value{signal.version, schedule_.now, protocol::never_expires};
      if (lifespan.ttl_ms != 0) value.fresh_until_ms = time_word(schedule_.now + std::chrono::milliseconds(lifespan.ttl_ms));
      value.early_ms = engine::early_ms_of(lifespan, step_.cost_us);
      value.grace_ms = lifespan.grace_ms;
      key.value = value;
      key.mark_unknown = false;
      key.tags = {step_.retention.tags.begin(), step_.retention.tags.end()};
      if (!step_.evicted.contains(signal.version) && step_.retention.retire_older) supersede_others_than(signal.key);
      if (disk_ != nullptr) done_on_disk(signal.key);
      made(signal.key, signal.version);
      break;
    }
    case SignalEvent::stale: {
      require(key.value && key.value->version == signal.version && !key.value->stale, "`stale` of a value that is not there, or twice");
      Value& value = *key.value;
      value.stale = true;
      const std::uint64_t by = std::exchange(value.softened_by, 0);
      if (time_word(schedule_.now) >= value.fresh_until_ms) break;  // by itself, whoever else asked for it
      require(by != 0 || made_.at(signal.version).fate.may_be_outdated, "`stale` of a value that is fresh");
      for (Invalidation& one : invalidations_)
        if (one.number == by) ++one.values;
      value.fresh_until_ms = time_word(schedule_.now);
      if (value.grace_ms == 0) value.grace_ms = static_cast<std::uint32_t>(std::chrono::milliseconds(limits::soft_grace).count());
      break;
    }
    case SignalEvent::expired:
      require(key.value && key.value->version == signal.version && expired(key), "`expired` of a value that is not there, or is fresh");
      key.value.reset();
      break;
    case SignalEvent::evicted:
      if (key.value && key.value->superseded) {  // what was computed from it is outdated; nobody is told when that is done
        made_.at(key.value->version).fate.may_be_outdated = true;
        pass_on();
      }
      require(key.value && key.value->version == signal.version, "`evicted` of a value that is not there");
      require(schedule_.profile.small_arena || has_few_edges() || key.value->superseded || over_quota(signal.key) || over_function_limit(signal.key) ||
                  (!contents_.at({signal.key, signal.version}).blobs.empty() &&
                   (step_.reserving || (step_.loaded && step_.loaded->value && blobs_.was_too_much(step_.loaded->value->parts, step_.loaded->places)))),
              "`evicted` though there is room");
      require(!step_.reserving || key.value->superseded || !blobs_.has_room_for(*step_.reserving), "`evicted` for a blob that there is room for");
      key.value.reset();
      break;
    case SignalEvent::invalidated:
      if (key.ended && signal.sequence > key.ended_after) {
        require(signal.version == (key.value ? key.value->version : 0), "`invalidated` of another version");
        key.value.reset();
        key.fenced = false;
        break;
      }
      if (key.value && key.value->dropped_by == 0 && key.value->version == signal.version && made_.at(signal.version).fate.may_be_condemned) {
        key.value.reset();  // through what it was computed from
        break;
      }
      require(key.invalidated_by != 0, "`invalidated` though nobody asked for it");
      require(!key.value || key.value->dropped_by != 0, "an invalidation dropped a value that is newer than itself");
      require(signal.version == (key.value ? key.value->version : 0), "`invalidated` of another version");
      for (Invalidation& one : invalidations_)
        if (key.value && one.number == key.value->dropped_by) ++one.values;
      key.value.reset();
      key.invalidated_by = 0;
      break;
    case SignalEvent::failed:
      require(step_.failing_key == signal.key || step_.dying.contains(signal.key), "`failed` though nothing did");
      if (step_.dying.contains(signal.key)) {
        step_.dying.erase(signal.key);
        keep_failure(signal.key, signal.text, schedule_.profile.settings.holder_deaths_memory);
      }
      break;
    case SignalEvent::cancelled: break;  // on_cancelled_signal()
    case SignalEvent::abandoned:
      require(signal.text != "session_ended" || key.fenced, "a computation was given up for a session that goes on");
      if (signal.text == "session_ended") key.fenced = false;
      if (key.cancelled_in_queue) key.cancelled_by = 0;  // those who were cancelled have left before
      require(signal.text != "invalidated" || key.softened_by != 0 || (step_.fenced_publish && step_.publishing == signal.key), "a computation was given up though nobody asked for it (L5)");
      break;
    case SignalEvent::queued: return check_queued_signal(signal);
    case SignalEvent::started: key.mark_unknown = false; break;
    case SignalEvent::loaded: return require(step_.loaded && step_.loaded->key == signal.key && step_.loaded->version == signal.version, "`loaded` though nothing was");
    case SignalEvent::progress:
    case SignalEvent::session_ended: break;
  }
}

}  // namespace onced::simulation
