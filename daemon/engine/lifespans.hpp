// The two clocks of every value: which stretch of its life it is in, when the next one begins, and the time word by which
// readers see that.
//
// Stretches: fresh, then early (as fresh, but somebody may refresh it ahead of time), then stale (usable while somebody
//            refreshes it), then over. A value without a time-to-live stays fresh until it is made stale.
// Time word: moved before the engine acts on a change: whoever is told of one sees it. Readers of an early value draw lots
//            by it, so that it moves on by a 64th of that stretch; else only when a change falls due: a daemon whose
//            values live for hours sleeps.
// Granularity: changes are due at multiples of the period of the time word; a request is answered by the exact time.
//
// Ownership: borrows the RecordStore; points to entries from begin() to end().
#pragma once

#include <map>
#include <optional>
#include <set>

#include "engine/context.hpp"
#include "engine/entry.hpp"
#include "engine/record_store.hpp"

namespace onced::engine {

// Of a value whose next change may not have been acted on yet.
Stretch stretch_at(const StoredValue& value, std::uint64_t time_word);
// Until when it may be used, fresh or not; never_expires.
std::uint64_t usable_until_ms(const StoredValue& value);

class Lifespans {
 public:
  Lifespans(Context& context, RecordStore& store);

  // The entry's value was stored; it is about to go.
  void begin(Entry& entry);
  void end(Entry& entry);

  // The value is in another stretch than it was last set to, though the tick for it may not have come.
  bool has_changed(const Entry& entry) const;
  // Sets it to its present stretch, which is returned. Over: the caller ends it.
  Stretch advance(Entry& entry);
  // A fresh value is stale from now on, readers see it, and usable for its grace, or for limits::soft_grace if it has none.
  void make_stale(Entry& entry);

  // The time word says what time it is.
  void move_time_word();
  // Moves it if readers of early values need that, or a change is due; false: nothing is due.
  bool turn();
  // An entry whose change is due; null: none.
  Entry* due() const;
  // When the next turn() has something to do.
  std::optional<Time> next_turn() const;

  // Each entry counted as one that changes, or as one that never will.
  bool knows(const Entry& entry) const;
  std::size_t changing() const { return changes_.size(); }

  static constexpr std::uint32_t steps_of_early_stretch = 64;

 private:
  // When readers of early values need the time word moved again: in step with the other turns, rather early than late.
  std::optional<Time> next_step() const;
  void schedule(Entry& entry);
  void unschedule(Entry& entry);

  Context& context_;
  RecordStore& store_;
  std::multimap<Time, Entry*> changes_;    // the next of each value
  std::multiset<Duration> early_steps_;    // of the values in their early stretch
  Time time_word_moved_{};
};

}  // namespace onced::engine
