#include "engine/session_table.hpp"

#include <algorithm>
#include <utility>

#include <onced/protocol/result.hpp>

namespace onced::engine {

Session* SessionTable::add(std::string digest) {
  if (free_places_.empty() && places_used_ == uses_.size()) return nullptr;
  std::size_t place = places_used_;
  if (free_places_.empty()) {
    ++places_used_;
  } else {
    place = free_places_.back();
    free_places_.pop_back();
  }
  return insert(++uses_[place] * uses_.size() + place, std::move(digest));
}

Session* SessionTable::restore(SessionNumber number, std::string digest) {
  const std::size_t place = number % uses_.size();
  if (place < places_used_) return nullptr;
  while (places_used_ < place) free_places_.push_back(places_used_++);
  ++places_used_;
  uses_[place] = number / uses_.size();
  return insert(number, std::move(digest));
}

void SessionTable::number_from(SessionNumber number) {
  for (std::uint64_t& uses : uses_) uses = std::max(uses, number / uses_.size());
}

Session* SessionTable::insert(SessionNumber number, std::string digest) {
  Session& session = by_number_.try_emplace(number).first->second;
  session.number = number;
  session.digest = std::move(digest);
  by_digest_[session.digest] = &session;
  return &session;
}

void SessionTable::rename(Session& session, std::string digest) {
  by_digest_.erase(session.digest);
  session.digest = std::move(digest);
  by_digest_[session.digest] = &session;
}

void SessionTable::end(Session& session) {
  by_digest_.erase(session.digest);
  session.generation = 0;
  free_places_.push_back(session.number % uses_.size());
}

void SessionTable::link(Entry& entry, SessionNumber number) {
  entry.session = find(number);
  if (entry.session == nullptr) return;  // of one that is gone: nothing will be kept in this entry
  entry.generation = entry.session->generation;
  entry.in_session = entry.session->entries.insert(entry.session->entries.begin(), &entry);
}

void SessionTable::move_to_front(Entry& entry) {
  if (entry.session == nullptr) return;
  std::list<Entry*>& entries = entry.session->entries;
  entries.splice(entries.begin(), entries, entry.in_session);
}

void SessionTable::unlink(Entry& entry) {
  if (entry.session != nullptr) entry.session->entries.erase(entry.in_session);
}

void SessionTable::leave(Entry& entry) {
  ONCED_ASSERT(entry.session->ended() && !entry.value);
  unlink(entry);
  entry.session = nullptr;
}

void SessionTable::check_invariants() const {
  std::size_t live = 0;
  for (const auto& [number, session] : by_number_) {
    ONCED_ASSERT(number == session.number && number != 0);
    live += session.ended() ? 0U : 1U;
    if (!session.ended()) ONCED_ASSERT(by_digest_.at(session.digest) == &session);
    ONCED_ASSERT(!session.ended() || session.settling);  // or it would stay for ever
    ONCED_ASSERT(session.settling || session.settled());
    std::uint64_t values = 0;
    std::uint64_t bytes = 0;
    std::uint64_t stamp = ~std::uint64_t{0};
    bool old = false;  // from here on they are unsettled
    for (const Entry* entry : session.entries) {
      ONCED_ASSERT(entry->session == &session && entry->stamp <= stamp);
      stamp = entry->stamp;
      old = old || entry->generation != session.generation;
      ONCED_ASSERT(!old || entry->generation != session.generation);
      values += entry->value ? 1U : 0U;
      bytes += entry->value ? entry->value->bytes : 0;
    }
    ONCED_ASSERT(values == session.values && bytes == session.bytes && session.order.size() == values);
    session.order.check_invariants();
  }
  ONCED_ASSERT(live == by_digest_.size());
  ONCED_ASSERT(free_places_.size() + live == places_used_);
}

}  // namespace onced::engine
