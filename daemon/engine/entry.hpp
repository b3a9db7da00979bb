// What the engine knows of one key: its value, who computes it, who waits for it, its last failure.
//
// Ownership: an Entry lives in the Directory while it has any of these; a Lease in the LeaseTable; a Waiter in the list
//            it waits in (its key's, or that of a detached lease). Pointers between them never outlive one step's owner.
// Invariant: a failed answer is kept only while there is no live lease; a waiter that can compute waits only while there
//            is a lease that it waits for, or its key is queued or being read from disk. A value's record is marked refreshing while there is a live lease or a failed answer.
#pragma once

#include <cstdint>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <onced/protocol/messages.hpp>

#include "engine/disk_tier.hpp"
#include "engine/eviction_order.hpp"
#include "engine/record_store.hpp"
#include "engine/recency_frequency.hpp"
#include "engine/timers.hpp"
#include "engine/types.hpp"

namespace onced::engine {

using FunctionNumber = std::uint32_t;

// Where an answer goes.
struct ReplyAddress {
  ConnectionId connection{};
  protocol::RequestId id = 0;
};

struct Derivations;  // dependency_graph.hpp
struct DerivationsDeleter {
  void operator()(Derivations* derivations) const;
};
struct Session;
struct Tag;
// Where an entry is in the order of one of its tags (tag_table.hpp).
struct TagPlace {
  Tag* tag = nullptr;
  std::list<Entry*>::iterator at;
};

struct Waiter;
using WaiterList = std::list<Waiter>;

// An Acquire that is not answered yet.
struct Waiter {
  std::uint64_t number = 0;  // rises with arrival: the order of answers and of hand-over
  ReplyAddress from;
  Entry* entry = nullptr;
  Lease* detached = nullptr;  // waits for this detached lease; otherwise for the key's next value
  bool may_compute = true;
  bool accept_stale = false;
  bool background = false;
  bool nested = false;        // of a computation: when it asked its thread had a lease
  bool forced = false;        // no value that was there when it asked will do
  bool for_load = false;      // waits only until it is known whether the disk has the value
  Duration lease_limit{};
  std::vector<protocol::Token> held;  // of this daemon's epoch
  std::uint64_t stamp = 0;   // the directory's, when it asked
  Time since{};
  TimerQueue::Timer deadline;
  WaiterList::iterator self;

  std::size_t bytes() const;  // what it counts for under_way_bytes_max
};

// The right to compute a key. Detached: a value it brings answers its own waiters only (L5).
struct Lease {
  protocol::Token token;
  Entry* entry = nullptr;
  ReplyAddress holder;  // the connection, and the Acquire that got it
  std::string holder_name;
  Time granted{};
  Duration limit{};
  std::uint64_t stamp = 0;  // the directory's, when it was granted (tag_fences.hpp)
  bool taken_up = true;
  double fraction = std::numeric_limits<double>::quiet_NaN();
  std::string progress;
  bool detached = false;
  protocol::NotStored not_kept = protocol::NotStored::not_said;  // detached: why what it brings is not kept,
  std::string not_kept_text{};                                  // in words
  WaiterList waiters;  // detached only; those of the live lease are the entry's
  TimerQueue::Timer limit_timer;
  TimerQueue::Timer take_up_timer;

  std::size_t bytes() const;  // what it counts for under_way_bytes_max
};

// Of a value's life (lifespans.hpp).
enum class Stretch : std::uint8_t { fresh, early, stale, over };

// A value was invalidated softly.
struct Softened {
  Time when{};
  std::string by;           // for people
  bool made_stale = false;  // it was fresh until then
};

struct StoredValue {
  RecordRef record{};
  std::uint64_t version = 0;
  std::uint64_t bytes = 0;
  std::uint64_t blob_bytes = 0;   // of these, those in blobs
  std::uint64_t blob_memory = 0;  // of its blobs as they were reserved: at least what they are charged
  std::size_t blobs = 0;
  std::size_t parts = 0;
  std::uint64_t cost_us = 0;
  std::uint64_t fresh_until_ms = protocol::never_expires;  // by the time word
  std::uint32_t early_ms = 0;     // in the last so many of it somebody may refresh it ahead of time
  std::uint32_t grace_ms = 0;     // usable for so many after it
  Stretch stretch = Stretch::fresh;  // that was acted on
  bool refreshing = false;        // its record says so
  std::string content_type;
  std::string origin;  // who computed or put it, for people
  bool was_put = false;
  bool outdated = false;          // stale not by its time: an invalidation said so, or what it was computed from is
  DiskIdentity of_before{};       // read from disk, where an earlier daemon wrote it under this; otherwise not said
  std::unique_ptr<Softened> softened{};  // the first time; null: it never was
  Time stored{};
  std::uint64_t uses = 0;  // that are known: readers report some of theirs
  Time used{};                    // its latest known use
  Crf crf = 0;                    // of its known uses
  std::uint64_t worth_us = 0;     // what computing it again is thought to cost
  double log_merit_per_use = 0;   // by the bytes of its record
  double log_merit_per_use_in_blobs = 0;
  EvictionOrder::Place in_order;
  std::optional<EvictionOrder::Place> in_blob_order;  // of values with blobs
  std::optional<EvictionOrder::Place> in_session_order;  // of a session's
  std::optional<EvictionOrder::Place> in_function_order;  // of a function's that has a limit
  std::optional<std::multimap<Time, Entry*>::iterator> next_change;
  std::optional<std::multiset<Duration>::iterator> early_step;
};

struct FailedAnswer {
  std::string text;
  Time since{};
  Time until{};
  TimerQueue::Timer end;
  std::list<Entry*>::iterator order;
};

// Of a key that waits because its function computes as many as it may (function_queues.hpp).
struct QueuePlace {
  std::uint64_t ticket = 0;
  std::uint64_t number = 0;  // among all places: rises with arrival
  bool background = false;
  std::size_t told = 0;  // the position that subscribers were told last
  Time since{};
};

// Of a key whose value is being read from disk (disk_values.hpp).
struct Loading {
  DiskTicket ticket{};
  std::uint64_t stamp = 0;  // the directory's, when it was wanted
  std::uint64_t changes = 0;  // of what is on disk, by then (DiskValues::has_changed())
  Time since{};
  bool is_void = false;     // what it brings was invalidated meanwhile
};

struct Entry {
  std::string_view key;  // of the directory's node
  FunctionNumber function = 0;
  std::optional<StoredValue> value;
  std::optional<FailedAnswer> failure;
  Lease* lease = nullptr;        // the live one (L1)
  std::vector<Lease*> detached;  // in order of their grants
  WaiterList waiters;            // in order of arrival
  std::optional<QueuePlace> queued;  // while there is no lease and a waiter that can compute
  std::optional<Loading> loading;    // while there is neither value, nor lease, nor place in a queue
  std::uint64_t stamp = 0;       // the newest invalidation that it needs no longer be held against (invalidations.hpp)
  std::list<Entry*>::iterator in_all;          // its places in the directory's orders of stamps
  std::list<Entry*>::iterator in_function;
  std::uint64_t family = 0;      // those that differ from it in their version only (version_index.hpp)
  std::list<Entry*>::iterator in_family;
  std::vector<TagPlace> tags;    // of its last value
  std::unique_ptr<Derivations, DerivationsDeleter> derivations;  // while anything hangs on a version of this key or the other way round
  Session* session = nullptr;    // that its key names; null: none, or one that is gone (session_table.hpp)
  std::uint64_t generation = 0;  // the session's, when the entry was last held against it
  std::list<Entry*>::iterator in_session;
  bool sweep_due = false;

  bool unused() const { return !value && !failure && lease == nullptr && detached.empty() && waiters.empty() && derivations == nullptr && !loading; }
  protocol::KeyState state() const {
    if (lease != nullptr) return protocol::KeyState::computing;
    if (queued) return protocol::KeyState::queued;
    if (value) return protocol::KeyState::ready;
    return failure ? protocol::KeyState::failed : protocol::KeyState::absent;
  }
};

inline std::size_t Waiter::bytes() const { return entry->key.size() + held.size() * sizeof(protocol::Token); }
inline std::size_t Lease::bytes() const { return entry->key.size() + progress.size(); }

}  // namespace onced::engine
