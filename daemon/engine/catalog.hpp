// Which values are kept: storing, growing stale, expiry, eviction of the least recently hit.
//
// Budgets:   the arena evicts from the order of all values; blobs have a budget of their own and evict from the order of
//            those that have blobs. What pins hold stays charged until they are cleared.
//
// Ownership: borrows the RecordStore; the values' descriptions live in the directory's entries.
// L6:        drop() returns when no reader finds the value any more; the signal comes after it.
// Bounds:    a store() or make_room_for_blob() evicts at most victims_per_store_max values; let_time_pass() changes at most changed_per_step_max.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/blobs.hpp"
#include "engine/context.hpp"
#include "engine/directory.hpp"
#include "engine/function_table.hpp"
#include "engine/gone_history.hpp"
#include "engine/lifespans.hpp"
#include "engine/record_store.hpp"
#include "engine/signal_hub.hpp"

namespace onced::engine {

class Catalog {
 public:
  Catalog(Context& context, Directory& directory, FunctionTable& functions, RecordStore& store, SignalHub& signals, Blobs& blobs);

  struct Origin {
    std::uint64_t version = 0;
    std::uint64_t cost_us = 0;
    std::string by;  // for people
    bool was_put = false;
  };
  // True: readers find the value now, and the key's former one is retired. False: the arena is blocked by pins or too
  // small; the key has no value then (the former one would be an old answer), and why is remembered.
  bool store(Entry& entry, const std::vector<protocol::Part>& parts, const protocol::Retention& retention, Origin origin);

  // No reader finds the value any more. Sends no signal.
  void drop(Entry& entry, GoneReason reason, std::string text = {});

  // Acts on the time that has come for the value of this entry, though the tick for it has not: it is stale, or expires.
  void catch_up(Entry& entry);
  // The same for all values, a bounded number of them.
  void let_time_pass();
  std::optional<Time> next_turn() const { return lifespans_.next_turn(); }
  // The value is stale from now on, whatever its time; readers see it. False: it was so already.
  bool make_stale(Entry& entry);
  // Readers are told whether anybody else is wanted to refresh the value. Without one: nothing.
  void set_refreshing(Entry& entry, bool refreshing);

  // A use that the engine saw itself.
  void touch(Entry& entry);
  // The answer that hands a value to this connection: pinned in the segment, or its parts when that cannot be. `parts`
  // keeps them from one waiter to the next.
  void answer(const Entry& entry, ReplyAddress to, bool waited, SharedParts& parts);
  // The same for a value that nobody finds: its parts, and its blobs on loan.
  void answer_inline(ReplyAddress to, protocol::Value value, const SharedParts& parts);

  // The budget has room for a blob of so many bytes, after eviction if need be; or limit_reached, out_of_memory.
  Result<Room> make_room_for_blob(std::uint64_t bytes);
  // Frees retired records that hold blobs: at the end of each step; again and again, less and less often, while pinned.
  void reclaim_blobs();
  // Instead of it: asks for a turn at once, so that this step frees nothing.
  void put_off_reclaim();
  std::optional<Time> next_reclaim() const { return reclaim_at_; }

  std::size_t size() const { return by_record_.size(); }
  const GoneHistory& gone() const { return gone_; }
  GoneHistory& gone() { return gone_; }
  const RecordStore& store() const { return store_; }
  void check_invariants() const;

  static constexpr std::size_t victims_per_store_max = 256;
  static constexpr std::size_t changed_per_step_max = 256;
  static constexpr int store_tries_max = 16;
  // Each try is a scan of all pins.
  static constexpr Duration reclaim_period_min = std::chrono::milliseconds(10);
  static constexpr Duration reclaim_period_max = std::chrono::seconds(1);
  // Reading the pin pages' tables of recent hits costs time in proportion to connections: not more often than this.
  static constexpr Duration harvest_period = std::chrono::milliseconds(1);

 private:
  enum class Attempt : std::uint8_t { placed, blocked, never };
  Attempt place(Entry& entry, const RecordImage& image, RecordRef& placed);
  void attach(Entry& entry, RecordRef record, const RecordImage& image, const PartSums& sums, Origin origin);
  void detach(Entry& entry);
  // Takes the value out of every order and sum; its record is retired, or about to be.
  void take_out(Entry& entry);
  void advance(Entry& entry);
  void evict(Entry& victim, GoneReason reason);
  std::uint64_t evict_least_recent(const Entry& keep, std::uint64_t bytes, std::size_t& victims_left);
  std::size_t evict_least_recent_blobs(std::uint64_t bytes, std::uint64_t among, std::size_t& victims_left);
  std::optional<Room> room_for_blob(std::uint64_t bytes) const;
  Result<void> room_without_all_values(std::uint64_t bytes) const;
  Error too_many_blobs() const;
  Error no_blob_memory(std::uint64_t bytes) const;
  bool evict_candidate(const Entry& keep, const std::vector<RecordRef>& candidates);
  void harvest();

  Context& context_;
  Directory& directory_;
  FunctionTable& functions_;
  RecordStore& store_;
  SignalHub& signals_;
  Blobs& blobs_;
  GoneHistory gone_;
  Lifespans lifespans_;
  std::unordered_map<RecordRef, Entry*> by_record_;
  std::list<Entry*> recency_;  // the least recently hit first
  std::list<Entry*> blob_recency_;  // of those with blobs, in the same order
  std::uint64_t live_blob_memory_ = 0;
  std::uint64_t live_blobs_ = 0;
  bool blobs_retired_ = false;  // in this step
  std::optional<Time> reclaim_at_;
  Duration reclaim_period_{};
  std::uint64_t touches_ = 0;
  std::optional<Time> harvested_;
};

}  // namespace onced::engine
