// All sessions: by digest of the id, by number, and what each of them keeps.
//
// Numbers:    a session has a place in the segment's table (number % places) from its beginning to its end. Each later session of a
//             place has a higher number: none comes twice within an epoch, nor over epochs where sessions are kept (number_from()). 0 is none.
// Generations: rise with every session that is made and with every rotation, over all sessions; 0: it has ended.
// Unsettled:  an entry knows the generation at which it was last looked at. One of an older generation is held against the rotation or
//             the end before anybody looks at what it has (Computations::settle), the others by the way, in bounded steps. A
//             session's entries are in that order, and in that of stamps: those settled last come first.
//
// Ownership:  owns the sessions; an ended one stays until it has no entries. Entries belong to the directory, which links them here.
// Secrets:    an id is not kept, only its SHA-256. The table is searched by that, under a keyed hash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/disk_tier.hpp"
#include "engine/entry.hpp"
#include "engine/key_map.hpp"

namespace onced::engine {

using SessionNumber = std::uint64_t;

struct Session {
  SessionNumber number = 0;
  std::uint64_t generation = 0;  // 0: it has ended
  std::string digest;            // SHA-256 of the id
  Time made{};
  Time used{};                   // as far as is known (Sessions)
  Time use_kept{};               // as the disk knows it
  DiskTicket end_written{};      // its end, on disk
  Duration idle_ttl{};           // 0: never by idling
  std::optional<Time> absolute_end{};
  std::list<Entry*> entries{};   // the ones that were settled last come first
  std::uint64_t values = 0;
  std::uint64_t bytes = 0;       // of those
  EvictionOrder order{};         // of those
  bool settling = false;         // it is in the queue of those with unsettled entries
  std::vector<ReplyAddress> end_asked{};  // who is told when nothing is left
  std::uint64_t dropped = 0;     // values, at its end
  std::uint64_t last_wave = 0;   // of those through what depends on them (dependency_waves.hpp)
  std::list<Session*>::iterator by_use{};
  std::multimap<Time, Session*>::iterator next_look{};

  bool ended() const { return generation == 0; }
  bool settled() const { return entries.empty() || entries.back()->generation == generation; }
};

class SessionTable {
 public:
  SessionTable(const BytesHash& hash, std::size_t places) : by_digest_(0, hash), uses_(places) {}

  // Before any other: one of an earlier epoch, in order of their places. Null: there is one at its place already.
  Session* restore(SessionNumber number, std::string digest);
  // Those that are added from now on have numbers from here on.
  void number_from(SessionNumber number);
  // Null: every place has one. Its generation is the caller's to set.
  Session* add(std::string digest);
  void rename(Session& session, std::string digest);
  // Its id means nothing from now on, and its place is free. It stays for its entries.
  void end(Session& session);
  // Of one that has ended and has no entries.
  void erase(Session& session) { by_number_.erase(session.number); }

  // Those that have not ended.
  Session* find_digest(std::string_view digest) {
    const auto found = by_digest_.find(digest);
    return found == by_digest_.end() ? nullptr : found->second;
  }
  // Ended ones too, until they are erased.
  Session* find(SessionNumber number) {
    const auto found = by_number_.find(number);
    return found == by_number_.end() ? nullptr : &found->second;
  }
  const Session* find(SessionNumber number) const {
    const auto found = by_number_.find(number);
    return found == by_number_.end() ? nullptr : &found->second;
  }
  const std::map<SessionNumber, Session>& all() const { return by_number_; }
  std::size_t live() const { return by_digest_.size(); }
  std::size_t ending() const { return by_number_.size() - by_digest_.size(); }
  std::size_t places() const { return uses_.size(); }

  // For the directory: the entry of a key that names a session.
  void link(Entry& entry, SessionNumber number);
  static void move_to_front(Entry& entry);
  static void unlink(Entry& entry);
  // Of one that has ended: this entry stays without it, for what hangs on it elsewhere.
  static void leave(Entry& entry);

  void check_invariants() const;

 private:
  KeyMap<Session*> by_digest_;                  // that have not ended
  std::map<SessionNumber, Session> by_number_;  // all
  std::vector<std::uint64_t> uses_;             // of each place, so far
  std::size_t places_used_ = 0;                 // the first so many; later ones were never used
  std::vector<std::size_t> free_places_;

  Session* insert(SessionNumber number, std::string digest);
};

}  // namespace onced::engine
