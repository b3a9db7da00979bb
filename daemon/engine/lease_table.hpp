// All leases by token: live ones and detached ones.
//
// A counter is never used twice within an epoch; a token of another epoch names nothing. The table knows no rules:
// computations.cpp decides, the table keeps holders, entries and tokens consistent.
#pragma once

#include <cstdint>
#include <map>

#include "engine/connections.hpp"
#include "engine/entry.hpp"
#include "engine/timers.hpp"

namespace onced::engine {

class LeaseTable {
 public:
  LeaseTable(std::uint64_t epoch, TimerQueue& timers) : epoch_(epoch), timers_(timers) {}

  // The live lease of an entry that has none.
  Lease& create(Entry& entry, Connection& holder, protocol::RequestId request);
  // Null: it ended, or never was.
  Lease* find(const protocol::Token& token);
  // The lease is no longer the key's (L5); it takes the key's waiters with it.
  void detach(Lease& lease);
  // Its waiters have been answered or moved.
  void erase(Lease& lease, Connection& holder);

  // In order of grants.
  const std::map<std::uint64_t, Lease>& all() const { return leases_; }
  std::map<std::uint64_t, Lease>& all() { return leases_; }
  std::size_t live() const { return live_; }
  std::uint64_t last() const { return last_counter_; }  // that was granted

 private:
  std::uint64_t epoch_;
  TimerQueue& timers_;
  std::uint64_t last_counter_ = 0;
  std::size_t live_ = 0;
  std::map<std::uint64_t, Lease> leases_;
};

}  // namespace onced::engine
