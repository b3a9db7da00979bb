// Values in the order in which they are to be evicted: first the one by whose loss the least computing time per byte is lost.
//
// A value's merit is (uses, faded: recency_frequency.hpp) x (what computing it costs) / (bytes that it takes), the measure
// of GreedyDual-Size-Frequency (L. Cherkasova, HP Labs technical report 98-69R1, 1998); the fading takes the place of its
// aging. Merits are rounded to an eighth of an octave and values of one rounded merit share a queue, as in CAMP
// (S. Ghandeharizadeh et al., "CAMP: a cost adaptive multi-queue eviction policy for key-value stores", Middleware 2014):
// within it, who was used longest ago comes first.
//
// Ownership: borrows the entries; each keeps the Place that it was given, and gives it back with erase().
// Cost:      insert, move and erase are logarithmic in the number of queues (some hundred, whatever the number of values),
//            and one that only moves allocates at most a queue; least() and after() are constant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>

#include "engine/recency_frequency.hpp"

namespace onced::engine {

struct Entry;

// log2 of microseconds per byte; with a Crf added, of a value's merit.
double log_cost_per_byte(std::uint64_t cost_us, std::uint64_t bytes);

class EvictionOrder {
 public:
  using Queue = std::list<Entry*>;
  using Queues = std::map<std::int64_t, Queue>;  // by rounded merit
  struct Place {
    Queues::iterator queue;
    Queue::iterator at;
  };

  // `log_merit` as the sum of a Crf and log_cost_per_byte().
  Place insert(Entry& entry, double log_merit);
  // To the end of its merit's queue.
  void move(Place& place, double log_merit);
  // Behind all others, until the next move().
  void move_to_end(Place& place);
  void erase(const Place& place);

  // Null: there is none.
  Entry* least() const { return queues_.empty() ? nullptr : queues_.begin()->second.front(); }
  Entry* after(const Place& place) const;

  std::size_t size() const { return size_; }
  void check_invariants() const;

 private:
  void move_to(Place& place, std::int64_t merit);

  Queues queues_;  // none is empty
  std::size_t size_ = 0;
};

}  // namespace onced::engine
