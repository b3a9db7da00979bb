// Model: who may use which session, what its rotation and its end fence, and when it may end by itself.
#include <algorithm>

#include <onced/protocol/session.hpp>

#include "engine/context.hpp"
#include "model.hpp"

namespace onced::simulation {

namespace {

std::optional<std::uint64_t> named_by(const protocol::Request& request) {
  using namespace protocol;
  const auto of_scope = [](const Scope& scope) -> std::optional<std::uint64_t> {
    if (scope.kind == ScopeKind::session) return std::stoull(scope.subject);
    return scope.kind == ScopeKind::key ? session_in(scope.subject) : std::nullopt;
  };
  if (const auto* acquire = std::get_if<Acquire>(&request)) return session_in(acquire->key);
  if (const auto* put = std::get_if<Put>(&request)) return session_in(put->key);
  if (const auto* explain = std::get_if<Explain>(&request)) return session_in(explain->key);
  if (const auto* invalidate = std::get_if<Invalidate>(&request)) return of_scope(invalidate->scope);
  if (const auto* cancel = std::get_if<Cancel>(&request)) return of_scope(cancel->scope);
  if (const auto* subscribe = std::get_if<Subscribe>(&request)) return of_scope(subscribe->scope);
  if (const auto* touch = std::get_if<TouchSession>(&request)) return touch->number;
  return std::nullopt;
}

engine::Duration ttl_of(std::uint64_t asked_ms, engine::Duration configured) {
  const engine::Duration asked = asked_ms == protocol::as_configured ? configured : engine::duration_of_ms(asked_ms);
  if (configured == engine::Duration::zero()) return asked;
  return asked == engine::Duration::zero() ? configured : std::min(asked, configured);
}

}  // namespace

bool Model::is_good(const protocol::SessionGrant& grant) const {
  const auto found = sessions_.find(grant.number);
  return found != sessions_.end() && grant.generation != 0 && found->second.generation == grant.generation;
}

bool Model::is_over(const Session& session) const {
  return (session.absolute_end && *session.absolute_end <= schedule_.now) ||
         (session.idle_ttl > engine::Duration::zero() && session.used + session.idle_ttl <= schedule_.now);
}

// What a request comes to that is too late ends with it, at the latest.
void Model::expire_if_over(std::uint64_t number) {
  const auto found = sessions_.find(number);
  if (found == sessions_.end() || found->second.generation == 0 || !is_over(found->second)) return;
  session_dies(number, true);
  step_.silently_ended.insert(number);
}

// False: it is to be refused for the session that it names.
bool Model::may_go_on(Address from, const protocol::Request& request) {
  const auto number = named_by(request);
  if (!number) return true;
  const auto opened = opened_[from.first].find(*number);
  if (opened == opened_[from.first].end()) {
    step_.refusal_due = ErrorCode::not_permitted;
    return false;
  }
  expire_if_over(*number);
  if (sessions_.at(*number).generation != opened->second) {
    step_.refusal_due = ErrorCode::session_ended;
    return false;
  }
  sessions_.at(*number).used = schedule_.now;
  return true;
}

// False: it is to be refused for a session that what it keeps would depend on, and that it has not opened.
bool Model::may_depend(Address from, const protocol::Request& request) {
  const std::vector<protocol::Dependency>* upstreams = nullptr;
  std::optional<std::uint64_t> own;
  if (const auto* put = std::get_if<protocol::Put>(&request)) {
    upstreams = &put->retention.depends_on;
    own = protocol::session_in(put->key);
  } else if (const auto* publish = std::get_if<protocol::Publish>(&request)) {
    // Whoever's it is: a token that is not known at all is refused for that.
    const auto lease = leases_.find(publish->token.counter);
    const auto fenced = dead_leases_.find(publish->token.counter);
    if (lease == leases_.end() && fenced == dead_leases_.end()) return true;
    upstreams = &publish->retention.depends_on;
    own = protocol::session_in(lease != leases_.end() ? lease->second.key : fenced->second.key);
  }
  if (upstreams == nullptr) return true;
  for (const protocol::Dependency& upstream : *upstreams) {
    const auto number = protocol::session_in(upstream.key);
    if (!number || number == own || opened_[from.first].contains(*number)) continue;
    step_.refusal_due = ErrorCode::not_permitted;
    return false;
  }
  return true;
}

// True: it was one.
bool Model::before_session_request(Address from, const protocol::Request& request) {
  using namespace protocol;
  const auto by_id = [&](const std::string& id) -> std::optional<std::uint64_t> {
    const auto live = [&] {
      return std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& one) { return one.second.generation != 0 && one.second.id == id; });
    };
    if (const auto found = live(); found != sessions_.end()) expire_if_over(found->first);
    if (const auto found = live(); found != sessions_.end()) return found->first;
    step_.refusal_due = ErrorCode::session_ended;
    return std::nullopt;
  };
  if (std::holds_alternative<NewSession>(request)) {
    const auto& asked = std::get<NewSession>(request);
    step_.session = 0;
    Session& made = sessions_[0];  // until its number is known
    made = {};
    made.idle_ttl = ttl_of(asked.idle_ttl_ms, schedule_.profile.settings.sessions.idle_ttl);
    const engine::Duration absolute = ttl_of(asked.absolute_ttl_ms, schedule_.profile.settings.sessions.absolute_ttl);
    if (absolute > engine::Duration::zero()) made.absolute_end = schedule_.now + absolute;
    if (keeps_sessions()) step_.answer_due.reset();  // when it is written
    return true;
  }
  if (const auto* open = std::get_if<OpenSession>(&request)) {
    step_.session = by_id(open->id);
    return true;
  }
  if (const auto* rotate = std::get_if<RotateSession>(&request)) {
    step_.session = by_id(rotate->id);
    if (step_.session) {
      step_.rotating = true;
      session_dies(*step_.session, false);
      if (keeps_sessions()) step_.answer_due.reset();
    }
    return true;
  }
  if (const auto* end = std::get_if<EndSession>(&request)) {
    step_.ending = by_id(end->id);
    if (step_.ending) {
      session_dies(*step_.ending, true);
      step_.silently_ended.insert(*step_.ending);
      session_ends_[from] = *step_.ending;
      step_.answer_due.reset();
    }
    return true;
  }
  return std::holds_alternative<TouchSession>(request) || std::holds_alternative<ListSessions>(request);
}

// From here on nothing that was begun in it is anybody's, though those concerned may be told in later steps.
void Model::session_dies(std::uint64_t number, bool ends) {
  Session& session = sessions_.at(number);
  session.generation = 0;
  step_.dead.insert(number);
  for (auto at = leases_.begin(); at != leases_.end();) {
    const auto lease = at++;
    if (protocol::session_in(lease->second.key) != number) continue;
    if (lease->first == step_.detached_publish || lease->first == step_.failing_detached) continue;  // it has ended before, in this step
    dead_leases_[lease->first] = {lease->second.holder, lease->second.key};
    // The signals still say that it is computed: an invalidation may not have come to it yet.
    if (!lease->second.detached || lease->second.owes_lost) keys_[lease->second.key].fenced = true;
    leases_.erase(lease);
  }
  for (auto& [counter, lease] : dead_leases_) {  // those that were cancelled, and not told so yet, end with the id
    if (protocol::session_in(lease.key) != number || lease.cancelled_by == 0) continue;
    if (lease.owes_lost) keys_[lease.key].fenced = true;
    lease = {.holder = lease.holder, .key = lease.key};
  }
  for (auto& [address, wait] : waits_) {
    if (protocol::session_in(wait.key) != number) continue;
    wait.fenced = true;
    wait.detached = 0;
    wait.cancelled_by = 0;
  }
  for (auto& [name, key] : keys_) {
    if (protocol::session_in(name) != number) continue;
    key.mark_unknown = true;
    key.fenced = key.fenced || key.queued || key.cancelled_by != 0;
    key.cancelled_by = 0;
    key.ended = ends;
    key.live = 0;
    key.failed.reset();
    key.deaths.clear();
    if (ends) key.tags.clear();
  }
  if (!ends) return;
  Invalidation& end = ending_[number];
  end.number = ++last_invalidation_;
  end.scope = {protocol::ScopeKind::session, std::to_string(number)};
  end.last_version = last_version_;
  invalidation_arrives(end);
}

// What was computed from its values is gone when its end is answered, and otherwise before the engine rests.
void Model::check_session_ends() {
  const std::optional<Time> next = engine_.next_deadline();
  const bool rests = !next || *next > schedule_.now;
  for (auto at = ending_.begin(); at != ending_.end();) {
    const auto one = at++;
    if (!rests && !step_.ends_answered.contains(one->first)) continue;
    invalidation_is_over(one->second);
    ending_.erase(one);
  }
}

void Model::on_session_opened(Address to, const protocol::SessionOpened& opened) {
  require(step_.session.has_value(), "a session was opened though nobody asked for it");
  require(opened.id.empty() == (*step_.session != 0 && !step_.rotating), "an id was told that nobody asked for, or not told");
  require(opened.id.empty() || !keeps_sessions(), "a session was begun, or got another id, and was told so before it is on the disk");
  if (*step_.session == 0) {
    require(!generations_.contains(opened.number), "a session's number came twice");
    sessions_[opened.number] = sessions_.at(0);
    sessions_.erase(0);
  } else {
    require(opened.number == *step_.session, "another session than asked for was opened");
  }
  Session& session = sessions_.at(opened.number);
  if (!opened.id.empty()) {
    require(opened.generation > last_generation_, "generations must rise");
    for (const auto& [number, other] : sessions_) require(other.id != opened.id, "an id came twice");
    session.id = opened.id;
    session.generation = last_generation_ = opened.generation;
    generations_[opened.number].push_back(opened.generation);
  }
  require(opened.generation == session.generation, "a session was opened with another generation than its own");
  session.used = schedule_.now;
  opened_[to.first][opened.number] = opened.generation;
}

// As it comes in the order of effects.
void Model::on_session_ended(const protocol::Signal& signal) {
  const std::uint64_t number = signal.version;
  require(sessions_.contains(number), "the end of a session that there never was");
  Session& session = sessions_.at(number);
  if (signal.text == "ended") {
    require(step_.ending == number, "a session ended though nobody asked for it");
  } else if (signal.text == "its place was needed") {
    std::size_t live = 0;
    for (const auto& [other, one] : sessions_) {
      if (one.generation == 0) continue;
      ++live;
      require(one.used >= session.used, "a session was ended for its place though another was used longer ago");
    }
    require(step_.session == 0 && live >= sessions_max(), "a session was ended for its place though there is room");
  } else {
    require(is_over(session), "a session ended before its time");
  }
  if (step_.silently_ended.erase(number) != 0) return;
  require(session.generation != 0, "a session ended twice");
  session_dies(number, true);
  for (auto& [name, key] : keys_)
    if (protocol::session_in(name) == number) key.ended_after = signal.sequence;
}

std::size_t Model::values_in(std::uint64_t session) const {
  return static_cast<std::size_t>(std::count_if(keys_.begin(), keys_.end(), [&](const auto& one) {
    return one.second.value && protocol::session_in(one.first) == session;
  }));
}

void Model::check_sessions() {
  require(step_.silently_ended.empty(), "the end of a session was not told");
  for (const std::uint64_t number : step_.dead) require(!signals_.any_in_session(number), "a subscription outlived its session's id");
  std::size_t live = 0;
  for (const auto& [number, session] : sessions_) {
    if (session.generation == 0) continue;
    ++live;
    require(values_in(number) <= schedule_.profile.settings.sessions.entries_max, "a session has more than it may keep");
  }
  sessions_allowed_ = step_.session == 0 ? sessions_max() : std::max(sessions_allowed_, sessions_max());
  require(live <= sessions_allowed_, "there are more sessions than there may be");
  sessions_allowed_ = live;
}

// The value that is being stored is one more than its session may keep.
bool Model::over_quota(const std::string& key) const {
  const auto session = protocol::session_in(key);
  const auto stored = stored_in_step();
  return session && stored && protocol::session_in(stored->first) == session &&
         values_in(*session) >= schedule_.profile.settings.sessions.entries_max;
}

}  // namespace onced::simulation
