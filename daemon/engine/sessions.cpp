#include "engine/sessions.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include <onced/protocol/key.hpp>
#include <onced/protocol/session.hpp>

#include "engine/text.hpp"

namespace onced::engine {
namespace {

constexpr std::size_t digest_digits_shown = 12;
constexpr int looks_for_room_max = 16;
constexpr int uses_kept_per_idle_time = 4;      // what DISK.md gives an idle session over a restart counts on it
constexpr std::size_t ending_more_max = 1024;  // above sessions_max, of those that have ended and keep something yet

std::string digest_of(std::string_view id) {
  const ContentDigest digest = content_digest(std::as_bytes(std::span(id)));
  return {reinterpret_cast<const char*>(digest.bytes), sizeof digest.bytes};
}

// What was asked for, but not more than is configured.
Duration ttl_of(std::uint64_t asked_ms, Duration configured) {
  if (asked_ms == protocol::as_configured) return configured;
  const Duration asked = duration_of_ms(asked_ms);
  if (configured == Duration::zero() || asked == Duration::zero()) return configured == Duration::zero() ? asked : configured;
  return std::min(asked, configured);
}

std::uint64_t left_ms(Time end, Time now) { return end <= now ? 1 : std::max<std::uint64_t>(1, milliseconds_between(now, end)); }

}  // namespace

std::string Sessions::digest_text(std::string_view digest) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const char c : digest.substr(0, digest_digits_shown / 2)) {
    text.push_back(digits[static_cast<unsigned char>(c) >> 4]);
    text.push_back(digits[static_cast<unsigned char>(c) & 15]);
  }
  return text;
}

// ---- over a restart -------------------------------------------------------------------------------------------------

void Sessions::found(const SessionsFound& event) {
  std::vector<const DiskSession*> all;
  for (const DiskSession& one : event.sessions) all.push_back(&one);
  // In order of their places; should there be fewer than there were, of two at one place the one that was used later.
  const auto place = [&](const DiskSession& one) { return one.number % table_.places(); };
  std::sort(all.begin(), all.end(), [&](const DiskSession* a, const DiskSession* b) {
    return std::tuple(place(*a), a->idle_for_ms, a->number) < std::tuple(place(*b), b->idle_for_ms, b->number);
  });
  for (const DiskSession* const one : all) {
    Session* const session = table_.find_digest(one->digest) == nullptr ? table_.restore(one->number, one->digest) : nullptr;
    if (session == nullptr) {
      disk_.end_session(one->number, false);
      ++context_.counters.sessions_evicted;
      context_.note(Note::Level::info, "session " + digest_text(one->digest) + " is over: its place was needed (the namespace's memory is less than it was)");
      continue;
    }
    session->generation = one->generation;
    last_generation_ = std::max(last_generation_, one->generation);
    session->made = context_.now - duration_of_ms(one->age_ms);
    session->used = context_.now - duration_of_ms(one->idle_for_ms);
    session->idle_ttl = duration_of_ms(one->idle_ttl_ms);
    session->use_kept = session->used - session->idle_ttl / 2;  // the disk may know of none since then: the first one is told
    if (one->left_ms != protocol::as_configured) session->absolute_end = context_.now + duration_of_ms(one->left_ms);
    session->by_use = by_use_.insert(by_use_.end(), session);
    session->next_look = looks_.end();
    schedule(*session);
    store_.set_session(session->number, session->generation);
  }
  by_use_.sort([](const Session* a, const Session* b) { return a->used < b->used; });
  table_.number_from(event.numbers_from);
  if (table_.live() > 0) context_.note(Note::Level::info, std::to_string(table_.live()) + " sessions go on from before the restart");
}

DiskSession Sessions::image_of(const Session& session) const {
  DiskSession image{.number = session.number, .generation = session.generation, .digest = session.digest};
  image.age_ms = milliseconds_between(session.made, context_.now);
  image.idle_for_ms = milliseconds_between(session.used, context_.now);
  image.idle_ttl_ms = milliseconds_between(Time::zero(), session.idle_ttl);
  if (session.absolute_end) image.left_ms = left_ms(*session.absolute_end, context_.now);
  return image;
}

// ---- requests -------------------------------------------------------------------------------------------------------

void Sessions::create(Connection& from, protocol::RequestId id, const protocol::NewSession& request, const SessionSecret& secret) {
  const ReplyAddress to{from.id, id};
  go_on(context_.settings.invalidated_per_step_max);  // who makes many sessions clears away as many
  if (!make_room()) {
    return refuse_for_limit(to, std::to_string(table_.ending()) + " sessions that have ended are still being cleared away, " + std::to_string(ending_max()) +
                                    " may be: sessions.sessions_max (" + std::to_string(most()) + ") and " + std::to_string(ending_more_max) +
                                    " more; there are " + std::to_string(table_.live()) + " others; try again later");
  }
  const std::string name = protocol::session_id_of(secret);
  std::string digest = digest_of(name);
  ONCED_ASSERT(table_.find_digest(digest) == nullptr);  // 256 random bits do not come twice
  Session* const session = table_.add(std::move(digest));
  ONCED_ASSERT(session != nullptr);  // make_room()
  session->generation = ++last_generation_;
  session->made = session->used = session->use_kept = context_.now;
  session->idle_ttl = ttl_of(request.idle_ttl_ms, context_.settings.sessions.idle_ttl);
  if (const Duration absolute = ttl_of(request.absolute_ttl_ms, context_.settings.sessions.absolute_ttl); absolute > Duration::zero())
    session->absolute_end = context_.now + absolute;
  session->by_use = by_use_.insert(by_use_.end(), session);
  session->next_look = looks_.end();
  schedule(*session);
  static_cast<void>(store_.take_session_use(session->number));  // the mark is that of the place's former session
  store_.set_session(session->number, session->generation);
  ++context_.counters.sessions_made;
  context_.note(Note::Level::debug, "session " + digest_text(session->digest) + " was made by " + from.description);
  opened(from, *session);
  protocol::SessionOpened answer = answer_for(*session);
  answer.id = name;
  disk_.answer(disk_.keep_session(image_of(*session)), to, std::move(answer));
}

void Sessions::open(Connection& from, protocol::RequestId id, const protocol::OpenSession& request) {
  Session* const session = find(request.id);
  if (session == nullptr) return refuse_ended({from.id, id});
  used(*session);
  opened(from, *session);
  context_.send({from.id, id}, answer_for(*session));
}

// Whoever had the old id may have begun something under it: only what is stored already is taken over.
void Sessions::rotate(Connection& from, protocol::RequestId id, const protocol::RotateSession& request, const SessionSecret& secret) {
  Session* const session = find(request.id);
  if (session == nullptr) return refuse_ended({from.id, id});
  const std::string name = protocol::session_id_of(secret);
  std::string digest = digest_of(name);
  ONCED_ASSERT(table_.find_digest(digest) == nullptr);
  const std::string before = digest_text(session->digest);
  table_.rename(*session, std::move(digest));
  session->generation = ++last_generation_;
  store_.set_session(session->number, session->generation);
  signals_.end_bound(session->number, connections_, "this session has a new id");
  settle_later(*session);
  used(*session);
  session->use_kept = context_.now;
  opened(from, *session);
  ++context_.counters.sessions_rotated;
  context_.note(Note::Level::debug, "session " + before + " is " + digest_text(session->digest) + " from now on, by " + from.description);
  protocol::SessionOpened answer = answer_for(*session);
  answer.id = name;
  disk_.answer(disk_.keep_session(image_of(*session)), {from.id, id}, std::move(answer));
}

void Sessions::touch(Connection& from, protocol::RequestId id, const protocol::TouchSession& request) {
  if (!may_name(from, {from.id, id}, request.number)) return;
  context_.send({from.id, id}, protocol::Done{1});
}

void Sessions::end(Connection& from, protocol::RequestId id, const protocol::EndSession& request) {
  Session* const session = find(request.id);
  if (session == nullptr) return refuse_ended({from.id, id});
  session->end_asked.push_back({from.id, id});
  from.session_ends.insert(id);
  finish(*session, EndedBy::request);
  if (settling_.size() == 1) go_on(context_.settings.invalidated_per_step_max);  // a small one is answered at once
}

void Sessions::list(ReplyAddress to, const protocol::ListSessions& request) const {
  protocol::SessionListing listing;
  for (auto at = table_.all().upper_bound(request.cursor); at != table_.all().end(); ++at) {
    const Session& session = at->second;
    if (session.ended()) continue;
    if (listing.rows.size() == limits::session_rows_max) {
      listing.cursor = listing.rows.back().number;
      break;
    }
    const protocol::SessionOpened left = answer_for(session);
    const std::uint64_t idle_ms = milliseconds_between(session.used, context_.now);
    listing.rows.push_back({.number = session.number, .digest = digest_text(session.digest), .bytes = session.bytes, .entries = session.values,
                            .age_ms = milliseconds_between(session.made, context_.now), .idle_ms = idle_ms,
                            .idle_left_ms = session.idle_ttl == Duration::zero() ? 0 : left_ms(session.used + session.idle_ttl, context_.now),
                            .absolute_left_ms = left.absolute_left_ms});
  }
  context_.send(to, std::move(listing));
}

bool Sessions::may_name(Connection& from, ReplyAddress to, SessionNumber number) {
  const std::optional<std::uint64_t> generation = from.opened.generation_of(number);
  if (!generation) {
    context_.refuse(to, ErrorCode::not_permitted,
                    "session " + std::to_string(number) + " was not opened on this connection, or so long ago that it is forgotten; open it with its id");
    return false;
  }
  Session* session = table_.find(number);
  if (session != nullptr && !session->ended() && is_over(*session)) look_at(*session);
  if (session == nullptr || session->generation != *generation) {
    refuse_ended(to);
    return false;
  }
  used(*session);
  return true;
}

bool Sessions::may_depend_on(const Connection& from, ReplyAddress to, std::string_view key, const std::vector<protocol::Dependency>& upstreams) {
  for (const protocol::Dependency& upstream : upstreams) {
    if (!protocol::names_session(upstream.key)) continue;
    const SessionNumber number = protocol::session_in(upstream.key).value_or(0);
    if (number == protocol::session_in(key) || from.opened.generation_of(number)) continue;
    context_.refuse(to, ErrorCode::not_permitted,
                    "depends_on names session " + std::to_string(number) + ", which was not opened on this connection, or so long ago that it is forgotten");
    return false;
  }
  return true;
}

// Never says which of these it is.
void Sessions::refuse_ended(ReplyAddress to) {
  context_.refuse(to, ErrorCode::session_ended, "this session has ended, has expired, has another id by now, or never was; make a new one");
}

void Sessions::refuse_for_limit(ReplyAddress to, std::string text) {
  ++context_.counters.limits_reached;
  ++context_.counters.sessions_refused;
  context_.refuse(to, ErrorCode::limit_reached, std::move(text));
}

Session* Sessions::find(const std::string& id) {
  Session* const session = table_.find_digest(digest_of(id));
  if (session == nullptr || !is_over(*session)) return session;
  look_at(*session);
  return session->ended() ? nullptr : session;
}

protocol::SessionOpened Sessions::answer_for(const Session& session) const {
  protocol::SessionOpened answer;
  answer.number = session.number;
  answer.generation = session.generation;
  answer.idle_ttl_ms = milliseconds_between(Time::zero(), session.idle_ttl);
  if (session.absolute_end) answer.absolute_left_ms = left_ms(*session.absolute_end, context_.now);
  return answer;
}

void Sessions::opened(Connection& from, const Session& session) {
  const bool full = from.opened.size() >= limits::opened_sessions_per_connection_max || opened_ >= limits::opened_sessions_max;
  if (full && from.opened.size() > 0 && !from.opened.generation_of(session.number)) {
    from.opened.forget_oldest();
    --opened_;
  }
  opened_ += from.opened.add(session.number, session.generation) ? 1U : 0U;
}

// ---- time -----------------------------------------------------------------------------------------------------------

bool Sessions::is_over(const Session& session) const {
  if (session.absolute_end && *session.absolute_end <= context_.now) return true;
  return session.idle_ttl > Duration::zero() && session.used + session.idle_ttl <= context_.now;
}

void Sessions::look_at(Session& session) {
  if (session.absolute_end && *session.absolute_end <= context_.now) return finish(session, EndedBy::age);
  if (store_.take_session_use(session.number)) used(session);
  else if (is_over(session)) return finish(session, EndedBy::idle);
  schedule(session);
}

void Sessions::used(Session& session) {
  by_use_.splice(by_use_.end(), by_use_, session.by_use);
  if (std::exchange(session.used, context_.now) == context_.now) return;
  schedule(session);
  if (session.idle_ttl == Duration::zero() || context_.now - session.use_kept < session.idle_ttl / uses_kept_per_idle_time) return;
  session.use_kept = context_.now;
  disk_.use_session(session.number);
}

// In step with others: one turn looks at many.
void Sessions::schedule(Session& session) {
  if (session.next_look != looks_.end()) looks_.erase(session.next_look);
  session.next_look = looks_.end();
  std::optional<Time> next = session.absolute_end;
  if (session.idle_ttl > Duration::zero()) {
    const Time idle = std::min(session.used + session.idle_ttl, context_.now + session.idle_ttl / 4);
    next = next ? std::min(*next, idle) : idle;
  }
  if (next) session.next_look = looks_.emplace(*next, &session);
}

std::optional<Time> Sessions::next_turn() const {
  if (looks_.empty()) return std::nullopt;
  const Duration period = context_.settings.time_word_period;
  return (looks_.begin()->first + period - Duration(1)) / period * period;
}

void Sessions::let_time_pass() {
  for (std::size_t done = 0; done < limits::sessions_checked_per_step_max; ++done) {
    if (looks_.empty() || looks_.begin()->first > context_.now) return;
    look_at(*looks_.begin()->second);
  }
}

std::size_t Sessions::most() const { return sessions_max(context_.settings.sessions, table_.places()); }
std::size_t Sessions::ending_max() const { return most() + ending_more_max; }

// The one that was used longest ago goes, as far as is known; those that its readers have marked since are not it.
bool Sessions::make_room() {
  if (table_.ending() >= ending_max()) return false;
  for (int looks = 0; table_.live() >= most(); ++looks) {
    Session& oldest = *by_use_.front();
    if (looks < looks_for_room_max && store_.take_session_use(oldest.number)) used(oldest);
    else finish(oldest, EndedBy::room);
    if (looks > 2 * looks_for_room_max) return table_.live() < table_.places();  // a reload has lowered the limit: the others go later
  }
  return true;
}

// ---- ending ---------------------------------------------------------------------------------------------------------

void Sessions::finish(Session& session, EndedBy how) {
  const std::string digest = digest_text(session.digest);
  store_.set_session(session.number, 0);  // from here on no reader finds anything of it
  by_use_.erase(session.by_use);
  if (session.next_look != looks_.end()) looks_.erase(session.next_look);
  session.next_look = looks_.end();
  table_.end(session);
  session.end_written = disk_.end_session(session.number, !session.end_asked.empty());
  std::string why = "ended";
  switch (how) {
    case EndedBy::request: ++context_.counters.sessions_ended; break;
    case EndedBy::idle: why = "idle"; ++context_.counters.sessions_expired; break;
    case EndedBy::age: why = "too old"; ++context_.counters.sessions_expired; break;
    case EndedBy::room: why = "its place was needed"; ++context_.counters.sessions_evicted; break;
  }
  context_.note(how == EndedBy::room ? Note::Level::info : Note::Level::debug,
                "session " + digest + " is over: " + why + (how == EndedBy::room ? " (sessions.sessions_max)" : ""));
  signals_.session_ended(session.number, why);
  signals_.end_bound(session.number, connections_, "this session has ended");
  settle_later(session);
}

void Sessions::settle_later(Session& session) {
  if (session.ended()) {
    computations_.session_ended(session.number);
    session.last_wave = computations_.last_wave();  // of others, through what hangs on its values
  }
  else computations_.forget_deaths_in(session.number);
  if (std::exchange(session.settling, true)) return;
  settling_.push_back(&session);
}

void Sessions::go_on(std::size_t most) {
  while (!settling_.empty() && most > 0) {
    Session& session = *settling_.front();
    most -= std::min(most, 1 + computations_.settle_session(session, most));
    if (!session.settled() || !computations_.go_on_behind(session, most)) return;
    settling_.pop_front();
    if (!session.ended()) {
      session.settling = false;
      continue;
    }
    if (session.end_asked.empty()) disk_.forget(session.end_written);  // or who asked has gone
    for (const ReplyAddress& to : std::exchange(session.end_asked, {})) {
      connections_.at(to.connection).session_ends.erase(to.id);
      disk_.answer(session.end_written, to, protocol::Done{session.dropped});
    }
    finished_.push_back(&session);
  }
}

void Sessions::sweep() {
  // Most of its entries had nothing left and have gone. The others are there for what was computed from their values elsewhere.
  for (std::size_t most = context_.settings.invalidated_per_step_max; !finished_.empty(); finished_.pop_front()) {
    Session& session = *finished_.front();
    for (; most > 0 && !session.entries.empty(); --most) SessionTable::leave(*session.entries.front());
    if (!session.entries.empty()) return;
    table_.erase(session);
  }
}

void Sessions::connection_gone(Connection& connection) {
  opened_ -= connection.opened.size();
  connection.opened = {};
  if (connection.session_ends.empty()) return;
  for (Session* session : settling_) std::erase_if(session->end_asked, [&](const ReplyAddress& to) { return to.connection == connection.id; });
  connection.session_ends.clear();
}

void Sessions::drain() {
  for (Session* session : settling_) {
    for (const ReplyAddress& to : std::exchange(session->end_asked, {})) {
      connections_.at(to.connection).session_ends.erase(to.id);
      context_.refuse(to, ErrorCode::unavailable, context_.draining_why + "; no reader finds anything of the session, and what is left goes with it");
    }
  }
}

void Sessions::check_invariants() const {
  ONCED_ASSERT(by_use_.size() == table_.live());
  std::size_t looks = 0;
  for (const auto& [number, session] : table_.all()) {
    ONCED_ASSERT(session.ended() || *session.by_use == &session);
    if (session.ended()) continue;
    const bool ends_by_time = session.absolute_end || session.idle_ttl > Duration::zero();
    ONCED_ASSERT(ends_by_time == (session.next_look != looks_.end()));
    looks += ends_by_time ? 1U : 0U;
  }
  ONCED_ASSERT(looks == looks_.size());
  std::size_t opened = 0;
  std::size_t ends = 0;
  for (const auto& [id, connection] : connections_.all()) {
    opened += connection.opened.size();
    ends += connection.session_ends.size();
  }
  ONCED_ASSERT(opened == opened_);
  for (const Session* session : settling_) {
    ONCED_ASSERT(session->settling);
    ends -= session->end_asked.size();
  }
  ONCED_ASSERT(ends == 0);
  table_.check_invariants();
}

}  // namespace onced::engine
