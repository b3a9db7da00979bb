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
      require(!protocol::session_in(name) || keeps_sessions(), "a value of a session was left on disk");
      on_disk_[name] = {copy->epoch, copy->version, copy->fresh_until_ms, copy->grace_ms, {copy->tags.begin(), copy->tags.end()}, copy->text, copy->upstreams};
    }
  }
}

void Model::before_disk(const engine::Event& event) {
  step_.written = std::holds_alternative<engine::DiskWritten>(event);
  const auto* ended = std::get_if<engine::DiskLoaded>(&event);
  if (step_.written || ended != nullptr)
    for (const auto& [name, key] : keys_)
      if (engine_.is_loading(name)) step_.were_loading.insert(name);
  if (ended == nullptr) return;
  Loaded& loaded = step_.loaded.emplace();
  loaded.key = disk_->key_of_load();
  loaded.value = ended->value;
  loaded.places = loaded.value && loaded.value->brought ? loaded.value->brought->blobs() : 0;
  const auto known = on_disk_.find(loaded.key);
  if (!loaded.value || known == on_disk_.end()) return;
  const OnDisk& copy = known->second;
  const bool is_over = copy.fresh_until_ms != protocol::never_expires && time_word(schedule_.now) >= copy.fresh_until_ms + copy.grace_ms;
  loaded.is_good = copy.epoch == loaded.value->epoch && copy.version == loaded.value->version && !is_over && are_on_disk(copy.upstreams);
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
  if (loaded.places > 0) {
    const bool wanted = disk_->was_wanted() && step_.were_loading.contains(loaded.key) && loaded.is_good;
    require(disk_->placed() || !wanted || blobs_.has_no_places_for(loaded.places), "what the disk has brought found no place, though values could go for it");
    if (!disk_->placed()) loaded.is_good = false;
    loaded.value->parts = disk_->placed().value_or(std::vector<protocol::Part>());
    blobs_.adopted(loaded.value->parts);
  }
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
  const engine::DiskIdentity identity{copy.epoch, copy.version};
  const auto namesake = made_.find(loaded.version);
  const bool is_free = namesake == made_.end() || (namesake->second.key == loaded.key && identity_of(loaded.version) == identity);
  require(is_own ? loaded.version == copy.version : is_free, "a value from disk has a wrong version");
  for (const auto& [version, of_before] : identities_)
    require(of_before != identity || version == loaded.version || !is_hung_on(version), "a value comes back under another version though something hangs on the one that it had");
  last_version_ = std::max(last_version_, loaded.version);
  const std::vector<protocol::Part>& parts = loaded.value->parts;
  require(blob_contents_.text_of(parts) == copy.text, "the simulated disk has changed a value");
  contents_[{loaded.key, loaded.version}] = {copy.text, blobs_in(parts), bytes_in(parts)};
  if (!is_own) {
    Made& value = made_[loaded.version];
    value.key = loaded.key;
    value.tags = copy.tags;
    identities_[loaded.version] = identity;
  }
  hang_on_copies(loaded.key, loaded.version, copy);
  session_loads_ += protocol::session_in(loaded.key) ? 1U : 0U;
  blob_loads_ += blobs_in(parts).empty() ? 0U : 1U;
  const auto may_be_without = [&] {
    return schedule_.profile.small_arena || has_few_edges() || is_above_function_limit(loaded.key, bytes_in(parts)) || blobs_.is_too_much(parts);
  };
  require(is_stored || may_be_without(), "a value from disk was not kept though there is room");
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

bool Model::are_on_disk(const std::vector<engine::DiskUpstream>& upstreams) const {
  return std::all_of(upstreams.begin(), upstreams.end(), [&](const engine::DiskUpstream& upstream) {
    const auto found = on_disk_.find(upstream.key);
    return found != on_disk_.end() && engine::DiskIdentity{found->second.epoch, found->second.version} == upstream.identity;
  });
}

engine::DiskIdentity Model::identity_of(std::uint64_t version) const {
  const auto found = identities_.find(version);
  return found != identities_.end() ? found->second : engine::DiskIdentity{schedule_.profile.settings.epoch, version};
}

// By a value that is there and fresh: one that is not may hang on what nobody knew when it was published.
bool Model::is_hung_on(std::uint64_t version) const {
  if (version >= unseen_from) return false;
  return std::any_of(keys_.begin(), keys_.end(), [&](const auto& one) {
    if (!one.second.value || one.second.value->dropped_by != 0) return false;
    const Made& value = made_.at(one.second.value->version);
    return !value.fate.may_be_outdated && !value.was_read &&
           std::any_of(value.upstreams.begin(), value.upstreams.end(), [&](const Upstream& upstream) { return upstream.version == version; });
  });
}

std::uint64_t Model::version_of(const engine::DiskUpstream& upstream) {
  if (upstream.identity.epoch == schedule_.profile.settings.epoch) return upstream.identity.version;
  if (const std::uint64_t present = visible_version(upstream.key); present != 0 && identity_of(present) == upstream.identity) return present;
  for (const auto& [version, identity] : identities_)
    if (identity == upstream.identity && made_.at(version).key == upstream.key) return version;
  identities_[++last_unseen_] = upstream.identity;
  return last_unseen_;
}

// From here on what means one of these means the value.
void Model::hang_on_copies(const std::string& name, std::uint64_t version, const OnDisk& copy) {
  derived_loads_ += copy.upstreams.empty() ? 0U : 1U;
  std::vector<Upstream> upstreams;
  for (const engine::DiskUpstream& upstream : copy.upstreams) {
    const std::uint64_t of = version_of(upstream);
    Made& one = made_[of];
    one.key = upstream.key;
    one.tags = {upstream.tags.begin(), upstream.tags.end()};
    one.stands_for_copy |= visible_version(upstream.key) != of;
    if (KeyModel& key = keys_[upstream.key]; !usable(key)) key.tags = one.tags;
    upstreams.push_back({upstream.key, of});
  }
  Made& value = made_[version];
  value.key = name;
  value.was_read = true;
  if (value.upstreams.empty()) value.upstreams = std::move(upstreams);
  pass_on();
}

// All that it was computed from, over all steps, each as it is on disk.
void Model::check_upstreams_on_disk(const std::string& name) const {
  std::map<std::string, std::pair<engine::DiskIdentity, std::set<std::string>>> expected;
  std::vector<const std::vector<Upstream>*> open{&step_.upstreams};
  for (std::size_t i = 0; i < open.size(); ++i) {
    for (const Upstream& upstream : *open[i]) {
      require(upstream.version != 0 && upstream.key != name, "a value was written to disk that is outdated");
      const Made& of = made_.at(upstream.version);
      require(!of.fate.must_be_outdated && !of.fate.must_be_condemned, "a value was written to disk whose upstreams are not current");
      const auto [at, is_new] = expected.try_emplace(upstream.key, identity_of(upstream.version), of.tags);
      require(is_new || at->second.first == identity_of(upstream.version), "a value was written to disk that was computed from two versions of a key");
      if (is_new) open.push_back(&of.upstreams);
    }
  }
  std::map<std::string, std::pair<engine::DiskIdentity, std::set<std::string>>> named;
  for (const engine::DiskUpstream& upstream : disk_->last_put().upstreams) {
    const auto session = protocol::session_in(upstream.key);
    require(!session || session == protocol::session_in(name), "a value on disk names what is a session's, and not its own (L11)");
    named[upstream.key] = {upstream.identity, {upstream.tags.begin(), upstream.tags.end()}};
  }
  require(named == expected, "a value on disk names other upstreams than it was computed from (L6)");
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
  if (step_.evicted.contains(step_.version) || !disk_->takes(name)) return;
  if (!step_.upstreams.empty()) {
    if (disk_->puts() == puts_seen_) return;  // one of these is not there any more, or outdated
    check_upstreams_on_disk(name);
  }
  require(disk_->puts() != puts_seen_, "a value was stored and is not written to disk");
  const Value& value = *keys_.at(name).value;
  on_disk_[name] = {schedule_.profile.settings.epoch, value.version, value.fresh_until_ms, value.grace_ms,
                    {step_.retention.tags.begin(), step_.retention.tags.end()}, step_.content.text,
                    step_.upstreams.empty() ? std::vector<engine::DiskUpstream>() : disk_->last_put().upstreams};
}

// If the daemon were killed now, its successor would find nothing that was there when this came.
void Model::check_dropped_on_disk(const Invalidation& one) const {
  for (const std::string& name : disk_->keys()) {
    for (const SimulatedDisk::Copy* copy : disk_->survivors(name)) {
      const bool is_meant = one.scope.kind == protocol::ScopeKind::tag
                                ? std::find(copy->tags.begin(), copy->tags.end(), one.scope.subject) != copy->tags.end()
                                : in_scope(one.scope, name);
      const bool is_newer = copy->epoch == schedule_.profile.settings.epoch && copy->version > one.last_version;
      require(!is_meant || is_newer, [&] { return "an invalidation was answered with Done though a crash would bring " + name_of_key(name) + " back (L6)"; });
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
