// Model: what the disk may bring back, and what it must not have any more.
//
// Of each key it knows the one value that may be found, from its publication until the arrival of whatever means that it must not. What is
// really written, and what a crash would leave, it asks the simulated disk: that decides whether an answer was given too early.
#include <algorithm>

#include <onced/protocol/session.hpp>

#include "engine/context.hpp"
#include "model.hpp"

namespace onced::simulation {

using engine::time_word;

// At the start of a daemon: values of an earlier one, which is asked for none of the rules: those were checked when it answered.
void Model::find_on_disk() {
  puts_seen_ = disk_->puts();
  for (const std::string& name : disk_->keys()) {
    for (const SimulatedDisk::Copy* copy : disk_->survivors(name)) {
      require(!protocol::session_in(name), "a value of a session was left on disk");
      on_disk_[name] = {copy->epoch, copy->version, copy->fresh_until_ms, copy->grace_ms, {copy->tags.begin(), copy->tags.end()}, text_of(copy->parts)};
    }
  }
}

void Model::before_disk(const engine::Event& event) {
  step_.written = std::holds_alternative<engine::DiskWritten>(event);
  const auto* ended = std::get_if<engine::DiskLoaded>(&event);
  if (ended == nullptr) return;
  Loaded& loaded = step_.loaded.emplace();
  loaded.key = disk_->key_of_load();
  loaded.value = ended->value;
  const auto known = on_disk_.find(loaded.key);
  if (!loaded.value || known == on_disk_.end()) return;
  const OnDisk& copy = known->second;
  const bool is_over = copy.fresh_until_ms != protocol::never_expires && time_word(schedule_.now) >= copy.fresh_until_ms + copy.grace_ms;
  loaded.is_good = copy.epoch == loaded.value->epoch && copy.version == loaded.value->version && !is_over;
}

void Model::before_disk_request(Address from, const protocol::Disk& request) {
  if (disk_ == nullptr) {
    step_.refusal_due = ErrorCode::not_found;
    return;
  }
  if (request.action != protocol::DiskAction::clear) return;
  step_.answer_due.reset();
  disk_clears_[from] = last_version_;
  on_disk_.clear();
}

// A soft one, too.
void Model::forget_on_disk(const Invalidation& one) {
  std::erase_if(on_disk_, [&](const auto& known) {
    return one.scope.kind == protocol::ScopeKind::tag ? known.second.tags.contains(one.scope.subject) : in_scope(one.scope, known.first);
  });
}

bool Model::on_disk_answer(const engine::Send& send) {
  const Address to{send.connection, send.id};
  if (const auto* published = std::get_if<protocol::Published>(&send.reply); published != nullptr && published->durable) {
    const auto held = held_back_.find(to);
    require(held != held_back_.end() && held->second != 0, "a publish is durable that was not to be");
    require(disk_->is_durable(made_.at(held->second).key, schedule_.profile.settings.epoch, held->second), "a publish is told to be durable and is not written");
  }
  const auto clear = disk_clears_.find(to);
  if (clear == disk_clears_.end()) return false;
  const auto* refused = std::get_if<protocol::Refused>(&send.reply);
  if (refused != nullptr) {
    require((refused->code == ErrorCode::not_durable && disk_->has_failed()) || (refused->code == ErrorCode::unavailable && draining_), "the disk was not cleared, without need");
  } else {
    require(std::holds_alternative<protocol::Done>(send.reply), "clearing the disk was not answered with Done");
    Invalidation everything;
    everything.scope.kind = protocol::ScopeKind::everything;
    everything.last_version = clear->second;
    check_dropped_on_disk(everything);
  }
  disk_clears_.erase(clear);
  return true;
}

// It is told, or some waiter is, before the effects are looked at one by one.
void Model::learn_of_load(const engine::Effects& effects) {
  if (step_.put && !step_.void_put) disk_->loads_are_over(*step_.publishing);
  if (!step_.loaded) return;
  Loaded& loaded = *step_.loaded;
  bool is_stored = false;
  for (const engine::Effect& effect : effects) {
    const auto* send = std::get_if<engine::Send>(&effect);
    if (send == nullptr) continue;
    const auto* signal = send->connection == SignalModel::monitor ? std::get_if<protocol::Signal>(&send->reply) : nullptr;
    const auto* value = std::get_if<protocol::Value>(&send->reply);
    const auto wait = value != nullptr ? waits_.find({send->connection, send->id}) : waits_.end();
    if (signal != nullptr && signal->event == protocol::SignalEvent::loaded && signal->key == loaded.key) {
      loaded.version = signal->version;
      is_stored = true;
    } else if (wait != waits_.end() && wait->second.key == loaded.key && wait->second.detached == 0 && loaded.version == 0) {
      loaded.version = value->version;
    }
  }
  if (loaded.version == 0) return;
  require(loaded.is_good, "a value was taken from disk that is not the newest of its key, or was dropped, or is over (L6)");
  const OnDisk& copy = on_disk_.at(loaded.key);
  KeyModel& key = keys_[loaded.key];
  require(!key.value && key.live == 0 && !failed_recently(key), "a value was taken from disk though the key has something else");
  const bool is_own = copy.epoch == schedule_.profile.settings.epoch;
  require(is_own ? loaded.version == copy.version : loaded.version > last_version_, "a value from disk has a wrong version");
  last_version_ = std::max(last_version_, loaded.version);
  require(text_of(loaded.value->parts) == copy.text, "the simulated disk has changed a value");
  contents_[{loaded.key, loaded.version}] = {copy.text, {}};
  if (!is_own) made_[loaded.version].key = loaded.key;
  if (!is_stored) return;
  Value value{loaded.version, schedule_.now - std::chrono::milliseconds(loaded.value->age_ms), copy.fresh_until_ms};
  value.early_ms = loaded.value->life.early_ms;
  value.grace_ms = copy.grace_ms;
  if (const std::uint64_t present = time_word(schedule_.now); value.fresh_until_ms <= present) {
    value.grace_ms -= static_cast<std::uint32_t>(present - value.fresh_until_ms);
    value.fresh_until_ms = present;
  }
  key.value = value;
  key.mark_unknown = false;
  key.tags = copy.tags;
}

void Model::on_loaded_value(const Wait& wait, const protocol::Value& value) const {
  require(wait.detached == 0, "who waits for a computation was told what came from disk (L3)");
  require(!value.waited && value.version == step_.loaded->version, "a waiter was told another version than came from disk");
  require(!wait.request.force, "a forced request was answered from disk");
  const bool is_stale = time_word(schedule_.now) >= on_disk_.at(wait.key).fresh_until_ms;
  require(value.stale == is_stale, "a stale value from disk that does not say so, or a fresh one that says so");
  require(!is_stale || wait.request.accept_stale, "a stale value from disk for somebody who does not take one");
}

// It takes the place of what the key had there, also when it is not kept itself.
void Model::done_on_disk(const std::string& name) {
  on_disk_.erase(name);
  if (step_.evicted.contains(step_.version) || !step_.upstreams.empty() || protocol::session_in(name)) return;
  const Value& value = *keys_.at(name).value;
  on_disk_[name] = {schedule_.profile.settings.epoch, value.version, value.fresh_until_ms, value.grace_ms,
                    {step_.retention.tags.begin(), step_.retention.tags.end()}, step_.content.text};
}

// If the daemon were killed now, its successor would find nothing that was there when this came.
void Model::check_dropped_on_disk(const Invalidation& one) const {
  for (const std::string& name : disk_->keys()) {
    for (const SimulatedDisk::Copy* copy : disk_->survivors(name)) {
      const bool is_meant = one.scope.kind == protocol::ScopeKind::tag
                                ? std::find(copy->tags.begin(), copy->tags.end(), one.scope.subject) != copy->tags.end()
                                : in_scope(one.scope, name);
      const bool is_newer = copy->epoch == schedule_.profile.settings.epoch && copy->version > one.last_version;
      require(!is_meant || is_newer, "an invalidation was answered with Done though a crash would bring " + name_of_key(name) + " back (L6)");
    }
  }
}

void Model::check_disk() {
  if (disk_ == nullptr) return;
  for (const auto& [name, key] : keys_) {
    if (!engine_.is_loading(name)) continue;
    require(disk_->is_loading(name) || disk_->labels_are_open(), "a key waits for the disk, which does nothing for it (L3)");
    require(!key.value && key.live == 0, "a key is loaded though it has a value or a holder");
  }
  if (puts_seen_ == disk_->puts()) return;
  require(++puts_seen_ == disk_->puts(), "more than one value was written in one step");
  require(step_.publishing && on_disk_.contains(*step_.publishing), "a value was written to disk that must not be there");
}

}  // namespace onced::simulation
