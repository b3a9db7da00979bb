// How many computations of a function that has a limit run, and which keys wait because it computes as many as it may (max_concurrent).
//
// Rules:  what counts is leases: live ones and detached ones, which still cost the machine the same. A key queues, not a caller:
//         whoever asks for a queued key waits for it and shares its answer. Keys for which somebody waits who is not in the
//         background come first, then the others; each in order of arrival. A key that is no longer in the background loses its
//         place there and is the last of the first kind; it never goes back.
// Exempt: a lease may be granted beside the queue, above the limit: to whoever holds a lease already, and of a key for which
//         such a holder waits (queueing.cpp says why nothing can block itself then).
// Limits: of the settings, by name; looked up when they are needed, so that a reload only has to say that they changed.
//
// Ownership: entries keep their place (Entry::queued), leases are known by their tokens' counters. A function is forgotten when
//            none of its keys is computed or queued.
// Invariant: a function with queued keys has no room, or is among those that work is left for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.hpp"
#include "engine/entry.hpp"
#include "engine/key_map.hpp"
#include "engine/lease_table.hpp"
#include "engine/ranked_queue.hpp"

namespace onced::engine {

struct FunctionQueue {
  std::string_view name;  // of the table's node
  std::set<std::uint64_t> running;  // counters of tokens, in order of grants; all of them while the function has a limit
  RankedQueue<Entry> first;
  RankedQueue<Entry> background;
  bool may_have_room = false;  // is in FunctionQueues::with_room_
  bool has_moved = false;      // is in FunctionQueues::moved_

  std::size_t queued() const { return first.size() + background.size(); }
  Entry* at(std::size_t position) const {
    return position <= first.size() ? first.at(position) : background.at(position - first.size());
  }
};

class FunctionQueues {
 public:
  FunctionQueues(const Settings& settings, const BytesHash& hash) : settings_(settings), queues_(0, hash) {}

  // Leases.
  void begun(const Lease& lease);
  void ended(const Lease& lease);
  // Whether one more may run, and nobody was there before.
  bool has_room(std::string_view function) const;

  // Keys. enter() of one that is queued already only takes it out of the background.
  void enter(Entry& entry, bool background, Time now);
  void leave(Entry& entry);
  // Subscribers believe that this queued key has left: it is told as if it had entered, at its place.
  void tell_again(Entry& entry);
  // The key whose turn it is, while there is one; it stays until leave().
  Entry* next();
  // Whether next() may have one: of a function whose limit was raised, or for which a step was too short.
  bool has_work_left() const { return !with_room_.empty(); }
  void limits_changed(const LeaseTable& leases);

  struct Standing {
    std::size_t position = 0;  // 1 is next
    std::size_t queued = 0;
    std::size_t limit = 0;
  };
  Standing standing(const Entry& queued) const;
  // "number 3 of 7 behind max_concurrent = 2 of sales"
  std::string standing_text(const Entry& queued) const;

  // Calls tell(Entry&, position) for each key that subscribers are to be told about: one that has entered, and one that has come
  // to one of the positions 1, 2, 4 ... told_position_max. A key is told at most so often as it moves through those, and a
  // step that moves thousands of keys tells of seven for each function.
  template <typename Tell>
  void tell_moves(const Tell& tell);
  static constexpr std::size_t told_position_max = 64;

  std::size_t limit_of(std::string_view function) const;  // 0: none
  std::size_t queued() const { return places_.size(); }
  // The queued keys of all functions by the numbers of their places: in order of arrival.
  const std::map<std::uint64_t, Entry*>& places() const { return places_; }
  std::uint64_t last_place() const { return last_place_; }  // that was given
  const FunctionQueue* find(std::string_view function) const;
  // In no order.
  template <typename Visit>
  void walk(Visit visit) const {
    for (const auto& [name, queue] : queues_) visit(queue);
  }
  // The queued keys until visit(const Entry&) says false; those of a function in their order.
  template <typename Visit>
  void walk_queued(const Visit& visit) const;
  void check_invariants() const;

 private:
  FunctionQueue& obtain(std::string_view function);
  bool is_full(const FunctionQueue& queue) const;
  void note_room(FunctionQueue& queue);
  void note_move(FunctionQueue& queue);
  void forget_if_idle(FunctionQueue& queue);

  const Settings& settings_;
  KeyMap<FunctionQueue> queues_;
  std::deque<FunctionQueue*> with_room_;
  std::vector<FunctionQueue*> moved_;
  std::vector<Entry*> entered_;  // since they were told; some may have left again
  std::map<std::uint64_t, Entry*> places_;
  std::uint64_t last_place_ = 0;
};

template <typename Tell>
void FunctionQueues::tell_moves(const Tell& tell) {
  const auto tell_one = [&](Entry& entry, std::size_t position) {
    if (entry.queued->told == position) return;
    entry.queued->told = position;
    tell(entry, position);
  };
  for (Entry* entry : entered_)
    if (entry->queued && entry->queued->told == 0) tell_one(*entry, standing(*entry).position);
  entered_.clear();
  for (FunctionQueue* queue : moved_) {
    for (std::size_t position = 1; position <= told_position_max && position <= queue->queued(); position *= 2)
      tell_one(*queue->at(position), position);
    queue->has_moved = false;
    forget_if_idle(*queue);
  }
  moved_.clear();
}

template <typename Visit>
void FunctionQueues::walk_queued(const Visit& visit) const {
  for (const auto& [name, queue] : queues_)
    for (std::size_t position = 1; position <= queue.queued(); ++position)
      if (!visit(static_cast<const Entry&>(*queue.at(position)))) return;
}

}  // namespace onced::engine
