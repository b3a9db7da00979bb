// What is under way through the graph of dependencies: a value was replaced or invalidated, and what was derived from it is
// made stale or dropped, and so on, in bounded steps.
//
// Order:     one wave after the other, in order of their beginnings. An answer that waits for a wave therefore comes when
//            everything that began before it has arrived as well, and is not put off by what begins later.
// Cost:      each dependant that a wave comes to counts for one; those behind a value that stands as badly already are not
//            visited again, unless a later wave is under way, which may have said so and not have come there yet.
// Races:     what is stored while a wave is under way is judged by the standing of what it was computed from. That is said of
//            a derivation before its dependants are visited: whoever comes too late to be visited is told.
//
// Ownership: holds derivations that the graph keeps for it (pin()). What happens to a value that is reached, the caller decides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "engine/dependency_graph.hpp"
#include "engine/disk_tier.hpp"

namespace onced::engine {

struct Wave {
  struct Front {
    Derivation* from = nullptr;
    std::size_t left = 0;  // of its dependants
  };

  std::uint64_t number = 0;
  Standing to = Standing::outdated;
  std::string by;                       // for people
  Entry* all_of = nullptr;              // begins with all derivations of this entry that are condemned,
  std::uint64_t next_version = 0;       // from this one on
  std::deque<Front> fronts{};
  std::optional<ReplyAddress> reply_to{};  // who is told when it is over
  protocol::Reply reply{};
  DiskTicket written{};                 // and that is written to disk
  std::uint64_t invalidation = 0;       // the stamp of the one that it belongs to
  std::uint64_t values = 0;             // made stale or dropped
};

class DependencyWaves {
 public:
  explicit DependencyWaves(DependencyGraph& graph) : graph_(graph) {}

  // From this derivation, whose standing has become that.
  Wave& begin(Derivation& from, std::string by);
  // All derivations of the entry are condemned.
  Wave& begin_with_all(Entry& entry, std::string by);
  // Reaches nothing, and is over when all that began before it is: for an answer that must not come before them.
  Wave& begin_with_none() { return add(Standing::outdated, {}); }

  // The number of the one that began last and is not over; 0: none.
  std::uint64_t last() const { return waves_.empty() ? 0 : waves_.back().number; }

  bool empty() const { return waves_.empty(); }
  Wave& front() { return waves_.front(); }
  Wave& at(std::uint64_t number) { return waves_[static_cast<std::size_t>(number - waves_.front().number)]; }
  bool is_over(std::uint64_t number) const { return waves_.empty() || number < waves_.front().number; }
  void pop_front() { waves_.pop_front(); }
  std::deque<Wave>& all() { return waves_; }
  const std::deque<Wave>& all() const { return waves_; }

  // The next derivation that the wave makes worse, which is that already; null: none on this visit.
  struct Visit {
    Derivation* reached = nullptr;
    bool over = false;      // there was nothing left to visit
    Entry* left = nullptr;  // an entry that has no derivations any more
  };
  Visit visit(Wave& wave);

 private:
  Wave& add(Standing to, std::string by);
  void go_on_from(Wave& wave, Derivation& reached);
  Visit visit_next_of_all(Wave& wave);

  DependencyGraph& graph_;
  std::deque<Wave> waves_;
  std::uint64_t last_number_ = 0;
};

}  // namespace onced::engine
