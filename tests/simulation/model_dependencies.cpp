// Model: what was computed from what, by what the publishers say, and what must become of it.
//
// Versions rise, and a value names older ones only: one pass over all of them in their order tells each what became of what it was
// computed from, over any number of values.
#include <algorithm>
#include <utility>

#include "model.hpp"

namespace onced::simulation {

namespace {

const protocol::Signal* told_to_monitor(const engine::Effect& effect) {
  const auto* send = std::get_if<engine::Send>(&effect);
  return send != nullptr && send->connection == SignalModel::monitor ? std::get_if<protocol::Signal>(&send->reply) : nullptr;
}

}  // namespace

// The publish or put of this step names these; what is known of them is known before the engine is told.
void Model::before_keep(const std::string& key, const Lease* lease) {
  step_.deaths = keys_[key].deaths;
  if (lease != nullptr) step_.lease = *lease;
  for (const protocol::Dependency& named : step_.retention.depends_on) {
    if (named.key == key) continue;
    Upstream upstream{named.key, named.version};
    const auto found = made_.find(named.version);
    const bool never_was = found == made_.end() || found->second.key != named.key;
    // It was gone before the grant: nobody has read it, and the engine need not know of it any more.
    const bool is_gone = !never_was && lease != nullptr && found->second.fate.must_be_condemned && visible_version(named.key) != named.version;
    // While something was invalidated it is not known which: then it counts that it was not the key's value at the grant.
    const bool was_gone = is_gone && (lease->granted_meanwhile ? found->second.gone_after && *found->second.gone_after < step_.counter
                                                               : condemning_.empty() || condemning_.rbegin()->first <= lease->granted_after);
    step_.fate.may_be_condemned |= was_gone;
    if (never_was || was_gone) {
      upstream.version = 0;
      upstream.fate.may_be_outdated = upstream.fate.must_be_outdated = true;
      // Whatever it was, it was read after the grant.
      for (const auto& [number, keys] : condemning_) {
        if (lease == nullptr || number <= lease->granted_after || !keys.contains(named.key)) continue;
        upstream.fate.may_be_condemned = true;
        upstream.fate.must_be_condemned |= condemned_.contains(number);
      }
    }
    step_.fate.take_over(upstream.version == 0 ? upstream.fate : found->second.fate);
    // What went while this was computed is known, whatever made it go.
    const bool is_kept = !never_was && lease != nullptr && found->second.gone_after && step_.counter <= *found->second.gone_after && !has_few_edges();
    // One that is not there any more may be forgotten otherwise; then any invalidation since counts.
    if (named.version == 0 || (visible_version(named.key) != named.version && !is_kept)) {
      step_.fate.may_be_outdated = true;
      const std::uint64_t last = condemning_.empty() ? 0 : condemning_.rbegin()->first;
      const auto is_derived = [&](const auto& one) { return one.first >= named.version && !one.second.upstreams.empty(); };
      step_.fate.may_be_condemned |= (lease != nullptr ? lease->granted_meanwhile || last > lease->granted_after : last != 0) ||
                                     (named.version != 0 && std::any_of(made_.begin(), made_.end(), is_derived));
    }
    step_.upstreams.push_back(std::move(upstream));
  }
  // To make room for these, one of them may have to go.
  if (has_few_edges() && !step_.upstreams.empty()) step_.fate.may_be_outdated = step_.fate.may_be_condemned = true;
}

// What the engine made of the publish of this step, before its effects are looked at one by one.
void Model::learn_of_upstreams(const engine::Effects& effects) {
  if (!step_.publishing) return;
  const auto says = [&](protocol::SignalEvent event) {
    return std::any_of(effects.begin(), effects.end(), [&](const engine::Effect& effect) {
      const protocol::Signal* const signal = told_to_monitor(effect);
      return signal != nullptr && signal->event == event && signal->key == *step_.publishing;
    });
  };
  if (step_.fenced_publish && step_.fate.may_be_condemned) rejoin_for_upstreams(effects);
  const bool is_done = says(protocol::SignalEvent::done);
  for (const engine::Effect& effect : effects)
    if (const protocol::Signal* signal = told_to_monitor(effect); signal != nullptr && signal->event == protocol::SignalEvent::evicted)
      step_.evicted.insert(signal->version);
  if (step_.put) {
    step_.void_put = !is_done;
    if (step_.void_put) return require(step_.fate.may_be_condemned, "a put was ignored without need");
    keys_[*step_.publishing].deaths.clear();
    keys_[*step_.publishing].failed.reset();
  } else if (!is_done && step_.detached_publish == 0) {
    detach_for_upstreams(effects);
  }
  if (!is_done || step_.detached_publish != 0) return;
  require(!step_.fate.must_be_condemned, "a value was kept that was computed from what had been invalidated (L5)");
  if (step_.fate.may_be_outdated) step_.ended[*step_.publishing] = protocol::LeaseCause::abandoned;
}

// What it was computed from was invalidated meanwhile: those who had asked before get it, as after an invalidation of a tag.
void Model::detach_for_upstreams(const engine::Effects& effects) {
  require(step_.fate.may_be_condemned, "a computation was not kept without need (L5)");
  const std::string& name = *step_.publishing;
  Lease& lease = leases_[step_.counter] = *step_.lease;
  keys_.at(name).deaths = step_.deaths;
  lease.detached = lease.owes_lost = true;
  for (const engine::Effect& effect : effects) {
    const auto* send = std::get_if<engine::Send>(&effect);
    if (send == nullptr || !std::holds_alternative<protocol::Value>(send->reply)) continue;
    const auto wait = waits_.find({send->connection, send->id});
    if (wait == waits_.end() || wait->second.key != name || wait->second.detached != 0) continue;
    wait->second.detached = step_.counter;
    for (const auto& [number, keys] : condemning_)
      require(number <= lease.granted_after || number > wait->second.asked_after, "who asked after an invalidation was told what is older (L5)");
  }
  step_.detached_publish = step_.counter;
  step_.fenced_publish = true;
  step_.ended[name] = protocol::LeaseCause::abandoned;
}

// A tag of it was invalidated, and what it was computed from perhaps before that: then fewer get it.
void Model::rejoin_for_upstreams(const engine::Effects& effects) {
  const Lease& lease = *step_.lease;
  for (auto& [address, wait] : waits_) {
    if (wait.detached != step_.counter || (wait.asked_after <= lease.granted_after && !lease.granted_meanwhile)) continue;
    const bool is_told = std::any_of(effects.begin(), effects.end(), [to = address](const engine::Effect& effect) {
      const auto* send = std::get_if<engine::Send>(&effect);
      return send != nullptr && Address{send->connection, send->id} == to;
    });
    if (!is_told) wait.detached = 0;
  }
}

// Also those that were only named.
std::set<std::string> Model::known_keys() const {
  std::set<std::string> names(all_keys().begin(), all_keys().end());
  for (const auto& [name, key] : keys_) names.insert(name);
  for (const auto& [version, value] : made_)
    for (const Upstream& upstream : value.upstreams) names.insert(upstream.key);
  for (const Upstream& upstream : step_.upstreams) names.insert(upstream.key);
  return names;
}

void Model::invalidation_arrives(Invalidation& one) {
  const bool of_tag = one.scope.kind == protocol::ScopeKind::tag;
  for (const std::string& name : known_keys()) {
    if (!means(one, name)) continue;
    if (!one.soft) condemning_[one.number].insert(name);
    for (Upstream& upstream : step_.upstreams) {  // of a value that was published in this step, before a session's time was over
      if (upstream.version != 0 || upstream.key != name) continue;
      upstream.fate.may_be_outdated = true;
      if (!one.soft) upstream.fate.may_be_condemned = true;
    }
    for (auto& [version, value] : made_) {
      for (Upstream& upstream : value.upstreams) {
        if (upstream.version != 0 || upstream.key != name) continue;
        upstream.fate.may_be_outdated = true;
        if (!one.soft) upstream.fate.may_be_condemned = true;
      }
      if (value.key != name) continue;
      const bool is_tagged_copy = of_tag && value.stands_for_copy && !value.fate.may_be_outdated && value.tags.contains(one.scope.subject);
      value.fate.may_be_outdated = true;
      if (!one.soft) value.fate.may_be_condemned = true;
      if (!of_tag || visible_version(name) == version || is_tagged_copy) one.means_versions.insert(version);
    }
  }
  if (!one.soft) condemning_[one.number];
  pass_on();
}

void Model::invalidation_is_over(const Invalidation& one) {
  if (!one.soft) condemned_.insert(one.number);
  for (auto& [version, value] : made_) {
    // A version that never was is older than the value that names it.
    for (Upstream& upstream : value.upstreams)
      if (!one.soft && upstream.version == 0 && condemning_.at(one.number).contains(upstream.key) && one.last_version >= version)
        upstream.fate.must_be_condemned = true;
    if (!one.means_versions.contains(version)) continue;
    value.fate.must_be_outdated = true;
    if (!one.soft) value.fate.must_be_condemned = true;
  }
  pass_on();
}

void Model::made(const std::string& key, std::uint64_t version) {
  is_replaced(key, version, false);
  Made& value = made_[version];
  value.key = key;
  value.upstreams = std::move(step_.upstreams);
  value.tags = {step_.retention.tags.begin(), step_.retention.tags.end()};
  pass_on();
  value.fate.may_be_outdated |= step_.fate.may_be_outdated;
}

void Model::is_replaced(const std::string& key, std::uint64_t by, bool must) {
  for (auto& [version, value] : made_) {
    if ((version >= by && version < unseen_from) || value.key != key) continue;
    value.fate.may_be_outdated = true;
    value.fate.must_be_outdated |= must;
  }
  pass_on();
}

// What hangs on them is as old; they need not be there.
void Model::are_retired(const std::string& key) {
  if (!has_dependencies()) return;
  for (auto& [version, value] : made_)
    if (value.key == key) value.fate.may_be_outdated = true;
  pass_on();
}

// What was read from disk may have a lower number than what it was computed from; then one pass is not enough.
void Model::pass_on() {
  if (!has_dependencies()) return;
  for (int passes = disk_ == nullptr ? 1 : 8; passes > 0; --passes) {
    for (auto& [version, value] : made_)
      for (const Upstream& upstream : value.upstreams) value.fate.take_over(upstream.version == 0 ? upstream.fate : made_.at(upstream.version).fate);
  }
}

void Model::note_gone() {
  if (!has_dependencies()) return;
  for (const auto& [name, key] : keys_) {
    const std::uint64_t version = key.value ? key.value->version : 0;
    const std::uint64_t former = std::exchange(versions_[name], version);
    if (former != 0 && former != version) made_.at(former).gone_after = step_.newest_lease;
  }
}

void Model::check_dependants() const {
  if (!has_dependencies()) return;
  for (const auto& [name, key] : keys_) {
    if (!key.value) continue;
    const Fate& fate = made_.at(key.value->version).fate;
    require(!fate.must_be_condemned, "a value is found that was computed from what was invalidated (L6)");
    require(!fate.must_be_outdated || key.value->stale, "a value is fresh though what it was computed from is not (L6)");
  }
}

bool Model::is_upstream(const std::string& name) const {
  return std::any_of(keys_.begin(), keys_.end(), [&](const auto& one) {
    if (!one.second.value || one.second.value->dropped_by != 0) return false;
    const std::vector<Upstream>& upstreams = made_.at(one.second.value->version).upstreams;
    return std::any_of(upstreams.begin(), upstreams.end(), [&](const Upstream& upstream) { return upstream.key == name; });
  });
}

}  // namespace onced::simulation
