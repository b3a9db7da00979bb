// Which values are kept: storing, growing stale, expiry, eviction of those by whose loss the least computing time per byte
// is lost (eviction.cpp).
//
// Budgets:   the arena evicts from the order of all values, by the bytes of their records; blobs have a budget of their own
//            and evict from the order of those that have blobs, by the bytes of these (eviction_order.hpp). What pins hold
//            stays charged until they are cleared.
// Worth:     a value for whose sake much more computing time would be thrown away than it is worth is not stored, when it
//            would take a large share of the budget: one huge value must not empty the cache.
//
// Ownership: borrows the RecordStore; the values' descriptions live in the directory's entries.
// L6:        drop() returns when no reader finds the value any more; the signal comes after it.
// Bounds:    a store() or make_room_for_blobs() looks at victims_per_store_max values at most to evict them, and at as many to
//            sum up what they are worth; let_time_pass() changes at most changed_per_step_max.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/blobs.hpp"
#include "engine/context.hpp"
#include "engine/directory.hpp"
#include "engine/eviction_order.hpp"
#include "engine/function_table.hpp"
#include "engine/gone_history.hpp"
#include "engine/lifespans.hpp"
#include "engine/record_store.hpp"
#include "engine/recency_frequency.hpp"
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
    bool outdated = false;  // stale from the first moment; to be said with a signal after that of its publication
    // Of a value that comes from the disk tier, in place of what is asked for and configured.
    struct Past {
      std::uint64_t fresh_until_ms = protocol::never_expires;  // by the time word; the present one: it is stale
      std::uint32_t early_ms = 0;
      std::uint32_t grace_ms = 0;
      Time stored{};
      DiskIdentity of_before{};  // of an earlier daemon's
    };
    std::optional<Past> past{};
  };
  // True: readers find the value now, and the key's former one is retired. False: the arena is blocked by pins or too
  // small; the key has no value then (the former one would be an old answer), and why is remembered.
  bool store(Entry& entry, const std::vector<protocol::Part>& parts, const protocol::Retention& retention, Origin origin);

  // After a store() that did not: why, for people, and as one word.
  std::string why_not_stored(const Entry& entry) const;
  protocol::NotStored cause_not_stored(const Entry& entry) const;

  // No reader finds the value any more. Sends no signal.
  void drop(Entry& entry, GoneReason reason, std::string text = {});
  // The same, and nobody is ever told why.
  void drop_untold(Entry& entry) { detach(entry, false); }

  // Acts on the time that has come for the value of this entry, though the tick for it has not: it is stale, or expires.
  void catch_up(Entry& entry);
  // The same for all values, a bounded number of them.
  void let_time_pass();
  std::optional<Time> next_turn() const { return lifespans_.next_turn(); }
  // The value is stale from now on, whatever its time; readers see it. False: it was so already.
  bool make_stale(Entry& entry);
  // Readers are told whether anybody else is wanted to refresh the value. Without one: nothing.
  void set_refreshing(Entry& entry, bool refreshing);

  // The settings have changed. Work in proportion to the values of functions that have a limit now and had none, or the other way round.
  void limits_changed();
  // What a function's values may have together (quotas.cpp); 0: as much as there is room for.
  std::uint64_t bytes_max_of(const Function& function) const;

  // A use that the engine saw itself.
  void touch(Entry& entry);
  // Counts the uses that readers report in their pages, so that what is told of them is up to date: some of the pages, the next
  // ones in turn, and not more often than every harvest_period.
  void harvest();
  // The same once in a second of steps, so that uses are known also where nothing is evicted and nobody asks.
  void harvest_now_and_then();
  // What computing a value is thought to cost when it was measured once as this; capped, and held against the average of
  // its function, so that one holder that was stopped for an hour does not make its value dear. Without a measurement
  // (a value that was put): that average.
  std::uint64_t worth_us(FunctionNumber function, std::optional<std::uint64_t> measured_us) const;
  // The answer that hands a value to this connection: pinned in the segment, or its parts when that cannot be. `parts`
  // keeps them from one waiter to the next.
  void answer(const Entry& entry, ReplyAddress to, bool waited, SharedParts& parts);
  // The same for a value that nobody finds: its parts, and its blobs on loan.
  void answer_inline(ReplyAddress to, protocol::Value value, const SharedParts& parts);

  // The value that is being computed or put, as far as it is known.
  struct Newcomer {
    std::string_view key;  // empty: one that is put; which is not said
    double worth_us = 0;
    bool was_measured = true;
  };
  // The budget has room for a blob of so many bytes, after eviction if need be; or limit_reached, out_of_memory: also when
  // much more would be thrown away for it than the newcomer is worth. Without one that does not count.
  Result<Room> make_room_for_blob(std::uint64_t bytes, const std::optional<Newcomer>& newcomer);
  // The same for what the disk has brought: places for so many more, and all that are there within the budget.
  Result<Room> make_places_for_blobs(std::size_t places);
  // A part of the key's value got no memory; `who` had asked for it.
  void memory_refused(std::string_view key, const std::string& who, const std::string& why);
  // Frees retired records that hold blobs, or are of sessions: at the end of each step; again and again, less and less often, while pinned.
  void reclaim_urgent();
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
  // Each try of store(), after the first, is a scan of all pins, and a round of make_room_for_blobs() is two (catalog.cpp and eviction.cpp say why).
  static constexpr std::uint64_t deeper_by = 4;  // each round than the one before
  static constexpr int store_tries_max = 7;      // the first, one for a full bucket, five rounds
  static constexpr int blob_rounds_max = 3;
  // A value that would take more than 1/large_share of the budget is not stored when what would be thrown away for it is
  // worth more than far_more times as much.
  static constexpr std::uint64_t large_share = 4;
  static constexpr double far_more = 16;
  static constexpr std::uint64_t worth_us_max = 3'600'000'000;  // an hour
  static constexpr std::uint64_t worth_us_default = 1'000;      // of a function of which nothing was measured
  static constexpr std::uint64_t worth_of_averages_max = 32;
  // Each try is a scan of all pins.
  static constexpr Duration reclaim_period_min = std::chrono::milliseconds(10);
  static constexpr Duration reclaim_period_max = std::chrono::seconds(1);
  // Reading the pin pages' tables of recent hits costs time in proportion to connections: not more often than this.
  static constexpr Duration harvest_period = std::chrono::milliseconds(1);
  static constexpr Duration harvest_anyway_period = std::chrono::seconds(1);

 private:
  static constexpr const char* not_worth_it = "it is large, and values that save far more computing time would have been evicted for it";
  enum class Attempt : std::uint8_t { placed, blocked, never, not_worth_it, over_session_quota, over_function_quota };
  Attempt place(Entry& entry, const RecordImage& image, const PartSums& sums, double worth_us, std::size_t& victims_left, RecordRef& placed);
  void attach(Entry& entry, RecordRef record, const RecordImage& image, const PartSums& sums, Origin origin, Crf crf);
  // `may_be_named`: by what is being computed from it (dependency_graph.hpp).
  void detach(Entry& entry, bool may_be_named);
  // Takes the value out of every order and sum; its record is retired, or about to be.
  void take_out(Entry& entry, bool may_be_named);
  void advance(Entry& entry);
  void evict(Entry& victim, GoneReason reason);
  std::uint64_t evict_least(const Entry& keep, std::uint64_t bytes, std::size_t victims_least, std::size_t& victims_left);
  enum class Missing : std::uint8_t { memory, places };  // for more blobs
  struct ComingBack {
    std::uint64_t bytes = 0;
    std::size_t blobs = 0;
  };
  ComingBack coming_back(const Entry& entry) const;
  std::size_t evict_least_blobs(Missing what, std::uint64_t missing, std::uint64_t among, std::size_t& victims_left);
  bool worth_evicting_for(const Entry& newcomer, std::uint64_t bytes, double worth_us);
  // What the values at the front of an order are worth, as far as their bytes make up `bytes`: expected to be saved by them
  // within about a half-life of their use.
  template <typename BytesOf, typename PlaceOf>
  double worth_of_least(const EvictionOrder& order, const Entry* keep, std::uint64_t bytes, BytesOf bytes_of, PlaceOf place_of) const;
  // What is wanted of the budget.
  struct BlobRoom {
    std::uint64_t bytes = 0;
    std::size_t places = 0;
  };
  Result<Room> make_room_for_blobs(const BlobRoom& wanted, const std::optional<Newcomer>& newcomer);
  std::optional<Room> room_for_blobs(const BlobRoom& wanted) const;
  Result<void> room_without_all_values(const BlobRoom& wanted) const;
  Error too_many_blobs() const;
  Error no_blob_memory(std::uint64_t bytes) const;
  Error not_worth_a_blob(std::uint64_t bytes, double lost_us, const Newcomer& newcomer);
  static std::uint64_t record_bytes(std::size_t key_bytes, std::uint64_t inline_bytes, std::size_t parts);
  static std::uint64_t record_bytes(const Entry& entry);
  bool evict_candidate(const Entry& keep, const std::vector<RecordRef>& candidates);
  // quotas.cpp
  std::optional<Attempt> over_quota_alone(const Entry& entry, std::uint64_t bytes, std::string& why_not);
  bool make_room_in_session(Entry& entry, std::uint64_t bytes, std::string& why_not);
  bool make_room_in_function(Entry& entry, std::uint64_t bytes, std::string& why_not);
  template <typename TooMuch>
  std::uint64_t evict_within(const EvictionOrder& order, std::optional<EvictionOrder::Place> StoredValue::*place, const Entry& keep, GoneReason reason,
                             TooMuch too_much);
  void enter_function(Entry& entry);
  void leave_function(Entry& entry);
  void enter_session(Entry& entry);
  void leave_session(Entry& entry);

  Context& context_;
  Directory& directory_;
  FunctionTable& functions_;
  RecordStore& store_;
  SignalHub& signals_;
  Blobs& blobs_;
  GoneHistory gone_;
  Lifespans lifespans_;
  std::unordered_map<RecordRef, Entry*> by_record_;
  RecencyFrequency recency_frequency_;
  EvictionOrder order_;
  EvictionOrder blob_order_;  // of those with blobs
  std::uint64_t live_blob_memory_ = 0;
  std::uint64_t live_blobs_ = 0;
  bool urgent_retired_ = false;  // in this step
  std::optional<Time> reclaim_at_;
  Duration reclaim_period_{};
  std::optional<Time> harvested_;
  std::optional<Time> harvest_anyway_at_;
};

}  // namespace onced::engine
