// Model: which sessions the disk must have, and when what was told of one holds over a crash.
//
// What is written, and what a crash would leave, it asks the simulated disk: that decides whether an answer was given too early. After a restart
// it takes what was found for the truth: whether that may be was checked when it was told.
#include <algorithm>

#include <onced/protocol/key.hpp>
#include <onced/protocol/session.hpp>

#include "engine/context.hpp"
#include "model.hpp"

namespace onced::simulation {

using engine::duration_of_ms;
using engine::milliseconds_between;

namespace {

std::string digest_of(const std::string& id) {
  const ContentDigest digest = content_digest(std::as_bytes(std::span(id)));
  return {reinterpret_cast<const char*>(digest.bytes), sizeof digest.bytes};
}

}  // namespace

void Model::on_sessions_found(const engine::SessionsFound& found) {
  told_.forget_from(found.numbers_from);
  for (const engine::DiskSession& one : found.sessions) {  // an id that was lost may have had a generation that comes again: grants are those of a daemon
    auto& ids = told_.ids[one.number];
    ids.erase(ids.upper_bound(one.generation), ids.end());
  }
  for (const auto& [number, ids] : told_.ids) {
    sessions_[number];  // it has ended, as far as is known yet
    for (const auto& [generation, id] : ids) generations_[number].push_back(generation);
  }
  // Of two at one place that which was used later goes on.
  std::map<std::uint64_t, const engine::DiskSession*> at_place;
  for (const engine::DiskSession& one : found.sessions) {
    require(!told_.ended.contains(one.number), "a session is there again whose end was answered (L11)");
    require(told_.ids[one.number].contains(one.generation), "a session is there under an id that it never had");
    require(!told_.durable.contains(one.number) || told_.durable.at(one.number) <= one.generation, "an id is good again that was replaced (L11)");
    const engine::DiskSession*& place = at_place[one.number % session_places];
    if (place == nullptr || std::pair(one.idle_for_ms, one.number) < std::pair(place->idle_for_ms, place->number)) place = &one;
  }
  for (const auto& [place, one] : at_place) {
    Session& session = sessions_[one->number];
    session.generation = one->generation;
    session.id = told_.ids.at(one->number).at(one->generation);
    session.made = schedule_.now - duration_of_ms(one->age_ms);
    session.used = schedule_.now - duration_of_ms(one->idle_for_ms);
    session.used_before = session.used;
    session.idle_ttl = duration_of_ms(one->idle_ttl_ms);
    if (one->left_ms != protocol::as_configured) session.absolute_end = schedule_.now + duration_of_ms(one->left_ms);
    last_generation_ = std::max(last_generation_, one->generation);
  }
  sessions_allowed_ = at_place.size();
}

// Under an id that nobody has been told yet.
void Model::learn_of_kept_sessions() {
  const std::vector<SimulatedSessions::Facts>& kept = disk_->sessions().kept();
  const bool is_due = step_.session && (*step_.session == 0 || step_.rotating);
  require(kept.size() - kept_seen_ == (is_due ? 1U : 0U), "the disk was told of a session that was not begun, or not told of one that was");
  if (!is_due) return;
  const SimulatedSessions::Facts& facts = kept[kept_seen_++];
  if (*step_.session == 0) {
    require(facts.number != 0 && !generations_.contains(facts.number), "a session's number came twice");
    sessions_[facts.number] = sessions_.at(0);
    sessions_[facts.number].made = schedule_.now;
    sessions_.erase(0);
  } else {
    require(facts.number == *step_.session, "the disk was told of another session");
  }
  require(facts.generation > last_generation_, "generations must rise");
  Session& session = sessions_.at(facts.number);
  session.id.clear();
  session.generation = last_generation_ = facts.generation;
  session.used = schedule_.now;
  const auto is_close = [](Time a, Time b) { return a <= b ? b - a < std::chrono::milliseconds(2) : a - b < std::chrono::milliseconds(2); };
  require(facts.idle_ttl == session.idle_ttl && facts.end.has_value() == session.absolute_end.has_value() && is_close(facts.made, session.made) &&
              (!facts.end || is_close(*facts.end, *session.absolute_end)),
          "the disk was told other times of a session than it has");
  generations_[facts.number].push_back(facts.generation);
  opened_[step_.from.first][facts.number] = facts.generation;
  told_.ids[facts.number][facts.generation];
  openings_[step_.from] = {facts.number, facts.generation, facts.digest};
}

bool Model::on_session_answer(const engine::Send& send) {
  const auto asked = openings_.find({send.connection, send.id});
  if (asked == openings_.end()) return false;
  const Opening& opening = asked->second;
  const auto* opened = std::get_if<protocol::SessionOpened>(&send.reply);
  require(opened != nullptr, "a session that was begun, or got another id, was not told to who asked for it");
  require(opened->number == opening.number && opened->generation == opening.generation, "another session was told than was begun");
  require(!opened->id.empty() && digest_of(opened->id) == opening.digest, "the disk was told of another id");
  const bool has_failed = disk_->sessions().was_failure(opening.number, opening.generation);
  require(draining_ || has_failed || !disk_->sessions().may_go_back(opening.number, opening.generation),
          "a session was begun, or got another id, and was told so before that would outlive a crash");
  for (const auto& [number, ids] : told_.ids)
    for (const auto& [generation, id] : ids) require(id != opened->id, "an id came twice");
  told_.ids.at(opening.number).at(opening.generation) = opened->id;
  if (!draining_ && !has_failed) told_.durable[opening.number] = std::max(told_.durable[opening.number], opening.generation);
  if (Session& session = sessions_.at(opening.number); session.generation == opening.generation) session.id = opened->id;
  openings_.erase(asked);
  return true;
}

void Model::on_end_answer(std::uint64_t number, const engine::Send& send) {
  const auto* refused = std::get_if<protocol::Refused>(&send.reply);
  const bool not_durable = refused != nullptr && refused->code == ErrorCode::not_durable;
  const bool is_done = std::holds_alternative<protocol::Done>(send.reply);
  require(is_done || draining_ || not_durable, "the end of a session was not answered with Done");
  require(!not_durable || (keeps_sessions() && disk_->sessions().was_failure(number, 0)), "the end of a session is said not to be durable though the disk works");
  if (!is_done && !not_durable) return;
  for (const auto& [address, wait] : waits_)
    require(protocol::session_in(wait.key) != number, "the end of a session was answered though somebody still waits in it");
  step_.ends_answered.insert(number);
  if (!is_done || !keeps_sessions()) return;
  require(!disk_->sessions().may_go_back(number, 0), "the end of a session was answered with Done though a crash would bring it back (L11)");
  told_.ended.insert(number);
}

// The disk has those that there are, each as it is, and nothing of any other.
void Model::check_kept_sessions() {
  if (!keeps_sessions()) return;
  std::size_t live = 0;
  for (const SimulatedSessions::Facts& facts : disk_->sessions().alive()) {
    const auto found = sessions_.find(facts.number);
    require(found != sessions_.end() && found->second.generation != 0, "the disk was not told that a session has ended");
    const Session& session = found->second;
    require(facts.generation == session.generation, "the disk was not told that a session has another id");
    require(session.idle_ttl == Duration::zero() || session.used == session.used_before || facts.used >= session.used || session.used - facts.used < session.idle_ttl / 4,
            "the disk was not told that a session is used, and would end it too early after a restart");
    ++live;
  }
  const auto is_live = [](const auto& one) { return one.second.generation != 0; };
  require(live == static_cast<std::size_t>(std::count_if(sessions_.begin(), sessions_.end(), is_live)), "the disk was not told of a session");
  std::erase_if(on_disk_, [&](const auto& one) {
    const auto number = protocol::session_in(one.first);
    return number && (!sessions_.contains(*number) || sessions_.at(*number).generation == 0);
  });
}

}  // namespace onced::simulation
