// Model: how many keys of a function are computed at once, and who comes next.
#include <algorithm>
#include <limits>

#include <onced/protocol/session.hpp>

#include "model.hpp"

namespace onced::simulation {

using protocol::LeaseCause;

std::size_t Model::limit_of(const std::string& function) const {
  const auto& limits = schedule_.profile.settings.max_concurrent;
  const auto found = limits.find(function);
  return found == limits.end() || found->second == 0 ? std::numeric_limits<std::size_t>::max() : found->second;
}

// Detached ones still cost the machine the same, until they end, in this step perhaps.
std::size_t Model::running(const std::string& function) const {
  return static_cast<std::size_t>(std::count_if(leases_.begin(), leases_.end(), [&](const auto& one) {
    const bool ends = one.first == step_.detached_publish || one.first == step_.failing_detached;
    return !ends && function_of_key(one.second.key) == function;
  })) + static_cast<std::size_t>(std::count_if(dead_leases_.begin(), dead_leases_.end(), [&](const auto& one) {
    return function_of_key(one.second.key) == function;
  }));
}

bool Model::has_room(const std::string& function) const {
  return !is_full(function) &&
         std::none_of(keys_.begin(), keys_.end(), [&](const auto& one) { return one.second.queued && function_of_key(one.first) == function; });
}

bool Model::holder_waits_for(const std::string& key) const {
  return std::any_of(waits_.begin(), waits_.end(), [&](const auto& one) { return one.second.key == key && one.second.detached == 0 && one.second.nested && !one.second.fenced; });
}

std::size_t Model::position_of(const std::string& key) const {
  const QueuePlace& own = *keys_.at(key).queued;
  return 1 + static_cast<std::size_t>(std::count_if(keys_.begin(), keys_.end(), [&](const auto& one) {
           return one.second.queued && function_of_key(one.first) == function_of_key(key) && *one.second.queued < own;
         }));
}

void Model::count_running_before() {
  for (const auto& [counter, lease] : leases_) ++step_.running_before[function_of_key(lease.key)];
  for (const auto& [counter, lease] : dead_leases_) ++step_.running_before[function_of_key(lease.key)];
}

// Of the key of this wait, which is over; it may have come, or left the background, in this step.
Model::QueuePlace Model::place_in_step(const Wait& wait) const {
  bool in_background = wait.request.background;
  for (const auto& [address, other] : waits_) in_background &= other.key != wait.key || other.detached != 0 || other.request.background;
  const std::optional<QueuePlace>& known = keys_.at(wait.key).queued;
  return known && (!known->background || in_background) ? *known : QueuePlace{in_background, arrivals_ + 1};
}

// Whether this lease may be granted now; its request waits no more.
void Model::check_turn(Address to, const Wait& wait, const protocol::Lease& lease) {
  const KeyModel& key = keys_[wait.key];
  const std::string& function = function_of_key(wait.key);
  const bool is_exempt = wait.nested || holder_waits_for(wait.key);
  if (lease.take_up && lease.cause == LeaseCause::queued) {
    // Its request, or its load that ended without a value, may have put it there in this step, in which a place became free after that.
    require(key.queued || step_.request == to || ends_load(wait.key), "a turn of a key that was not queued");
    if (is_exempt) {
      ++step_.exempt[function];
      return;
    }
    require(!is_full(function), "a key's turn came though its function computes as many as it may");
    const QueuePlace own = place_in_step(wait);
    for (const auto& [name, other] : keys_) {
      if (!other.queued || name == wait.key || function_of_key(name) != function || other.live != 0) continue;
      const bool is_wanted = std::any_of(waits_.begin(), waits_.end(), [&](const auto& one) {
        return one.second.key == name && one.second.detached == 0 && one.second.request.may_compute;
      });
      require(!is_wanted || own < *other.queued, "a key's turn came before that of one that was there first");
    }
    return;
  }
  if (lease.take_up && step_.put && step_.publishing == wait.key) {  // the put was too old for these, and no lease has ended
    require(is_exempt || has_room(function), "who waits for a fresher value than the one put got a lease above the limit");
    if (!has_room(function)) ++step_.exempt[function];
    return;
  }
  if (lease.take_up && ends_load(wait.key) && !step_.ended.contains(wait.key)) {  // no lease has ended
    require(is_exempt || has_room(function), "who waited for the disk got a lease above the limit");
    if (!has_room(function)) ++step_.exempt[function];
    return;
  }
  if (lease.take_up) return;  // it stays in its place: check_queues()
  const bool is_refresh = may_have(wait.request, key);  // the value would do
  require(is_refresh ? has_room(function) : is_exempt || has_room(function),
          is_refresh ? "a refresh came before those who wait, or above the limit" : "a lease above the limit, or past those who are queued");
  if (is_exempt && !has_room(function)) ++step_.exempt[function];
}

// A request that waits for a key that nobody computes has put it into the queue, or taken it out of the background.
void Model::update_queues() {
  for (auto& [name, key] : keys_) {
    bool is_wanted = false;
    bool in_background = true;
    std::uint64_t last_arrival = 0;
    for (const auto& [address, wait] : waits_) {
      if (wait.key != name || wait.detached != 0) continue;
      // It waited for a computation, or for the disk: then it has got a place before its session's time was over.
      if (wait.fenced && !key.queued && !(step_.were_loading.contains(name) && !is_loading(name))) continue;
      is_wanted |= wait.request.may_compute;
      in_background &= wait.request.background;
      last_arrival = std::max(last_arrival, wait.arrival);
    }
    if (!is_wanted || key.live != 0 || is_loading(name)) {
      key.queued.reset();
    } else if (!key.queued) {
      key.queued = QueuePlace{in_background, ++arrivals_};  // those who wait may have come long before
      if (const auto session = protocol::session_in(name); session && step_.dead.contains(*session)) key.fenced = true;
      step_.entered.insert(name);
    } else if (key.queued->background && !in_background) {
      key.queued = QueuePlace{false, last_arrival};
    }
  }
}

void Model::check_queues() const {
  for (const auto& [name, key] : keys_) {
    if (!key.queued) continue;
    require(is_full(function_of_key(name)), "a key is queued though there is room");
    require(!holder_waits_for(name), "a computation waits for a turn (L7)");
    if (step_.cancelling) require(!in_scope(*step_.cancelling, name), "a queued key outlived a cancellation");
  }
  for (const std::string& function : all_functions()) {
    const auto before = step_.running_before.find(function);
    const auto exempt = step_.exempt.find(function);
    const std::size_t most = std::max(limit_of(function), before == step_.running_before.end() ? 0 : before->second);
    const std::size_t own = running(function) - std::min(running(function), exempt == step_.exempt.end() ? 0 : exempt->second);
    require(own <= most, "more keys of a function are computed than may be");
  }
}

void Model::check_queued_signal(const protocol::Signal& signal) const {
  const KeyModel& key = keys_.at(signal.key);
  require(key.queued.has_value(), "`queued` of a key that is not");
  require(signal.queue_position == position_of(signal.key), "`queued` with a wrong position");
  const bool is_told = (signal.queue_position & (signal.queue_position - 1)) == 0 || step_.entered.contains(signal.key) ||
                       (step_.put && step_.publishing == signal.key);  // `done` said that it is not queued any more
  require(is_told, "`queued` at a position that nobody is to be told of (L10)");
}

}  // namespace onced::simulation
