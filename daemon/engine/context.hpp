// What every part of the engine shares within a step: the settings, the present time, the effects, the counters.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <onced/protocol/messages.hpp>

#include "engine/disk_tier.hpp"
#include "engine/engine.hpp"
#include "engine/entry.hpp"
#include "engine/key_map.hpp"
#include "engine/limit_table.hpp"
#include "engine/longest_turn.hpp"
#include "engine/recent_statistics.hpp"

namespace onced::engine {

// Everything is counted from the daemon's start.
struct Counters {
  std::uint64_t hits = 0;                 // Acquires answered with a value that was there
  std::uint64_t misses = 0;               // Acquires that found none
  std::uint64_t waiters_served = 0;       // waiters answered with a value
  std::uint64_t duplicates_avoided = 0;   // of those: who would have computed it themselves, at the same time
  std::uint64_t saved_us = 0;             // computing time of the values that hits and waiters were given
  std::uint64_t grants = 0;               // leases, re-grants included
  std::array<std::uint64_t, 9> grants_by_cause{};
  std::uint64_t stale_answers = 0;        // of the hits: with a value past its time
  std::uint64_t holder_deaths = 0;
  std::uint64_t computations = 0;         // published under a lease
  std::uint64_t computed_us = 0;
  std::uint64_t detached_publishes = 0;   // of those: by a detached lease, kept nowhere
  std::uint64_t puts = 0;
  std::uint64_t failures = 0;             // computations that said so, or whose holders kept dying
  std::uint64_t cancellations = 0;
  std::uint64_t invalidations = 0;        // values dropped by Invalidate
  std::uint64_t soft_invalidations = 0;   // values made stale by it
  std::uint64_t evictions = 0;
  std::uint64_t evicted_us = 0;           // what computing the evicted values again is thought to cost
  std::uint64_t eviction_looks = 0;       // at values, to find those that are to be evicted
  std::uint64_t expirations = 0;
  std::uint64_t older_versions_dropped = 0;  // by values that were to take their place
  std::uint64_t dependants_made_stale = 0;   // because what they were computed from was replaced or made stale
  std::uint64_t dependants_dropped = 0;      // because it was invalidated
  std::uint64_t stored_outdated = 0;      // values that were outdated when they were published
  std::uint64_t overtaken = 0;            // computations not kept because what they were made from was invalidated meanwhile
  std::uint64_t dependency_evictions = 0; // of the evictions: for the limit of recorded dependencies
  std::uint64_t sessions_made = 0;
  std::uint64_t sessions_rotated = 0;
  std::uint64_t sessions_ended = 0;       // by request
  std::uint64_t sessions_expired = 0;
  std::uint64_t sessions_evicted = 0;     // for the place of another
  std::uint64_t sessions_refused = 0;     // none could be made
  std::uint64_t session_evictions = 0;    // of the evictions: of a session that had all that it may keep
  std::uint64_t function_evictions = 0;   // the same of a function
  std::uint64_t fenced_computations = 0;  // under an id that is dead
  std::uint64_t stored_inline = 0;        // values that could not be stored: only holder and waiters have them
  std::uint64_t not_worth_storing = 0;    // values and blobs for which more computing time would have been thrown away
  std::uint64_t blob_evictions = 0;       // of the evictions: for the budget of blobs
  std::uint64_t reservations_refused = 0; // for want of room
  std::uint64_t wait_timeouts = 0;
  std::uint64_t recursions = 0;
  std::uint64_t deadlocks = 0;
  std::uint64_t tokens_refused = 0;
  std::uint64_t limits_reached = 0;
  RefusalsByLimit refusals_by_limit{};    // of those
  std::uint64_t disk_puts = 0;            // values that were handed to the disk tier
  std::uint64_t disk_loads = 0;           // reads of it that brought a value
  std::uint64_t disk_misses = 0;          // that brought none
  std::uint64_t disk_hits = 0;            // of the hits: answered by a value that was read for them
  std::uint64_t disk_not_durable = 0;     // answers not_durable
  std::uint64_t protocol_errors = 0;
  std::uint64_t signals = 0;              // changes; each is one step of the sequence
  std::uint64_t signals_delivered = 0;
  std::uint64_t resyncs = 0;              // State markers that say that something was dropped
};

struct Context {
  Settings settings;
  BytesHash hash{settings.hash_secret};  // of every table whose keys clients choose
  Time now{};
  Effects* effects = nullptr;  // of the present step
  Counters counters{};
  RecentStatistics recent{};
  LongestTurn longest_turn{};
  DiskTier* disk = nullptr;  // null: values are kept in memory only
  bool draining = false;
  std::string draining_why{};  // why nothing is answered any more, for people

  void send(ReplyAddress to, protocol::Reply reply, SharedParts parts = {}) {
    effects->emplace_back(Send{to.connection, to.id, std::move(reply), std::move(parts), {}});
  }
  // The blob's descriptor goes with the reply.
  void send_with(BlobId blob, ReplyAddress to, protocol::Reply reply) {
    effects->emplace_back(Send{to.connection, to.id, std::move(reply), {}, blob});
  }
  void close(ConnectionId connection, std::string text) {
    ++counters.protocol_errors;
    effects->emplace_back(Close{connection, std::move(text)});
  }
  void refuse(ReplyAddress to, ErrorCode code, std::string text) {
    send(to, protocol::Refused{code, std::move(text)});
  }
  // `what` says what there is already: "this key has 4096 waiters".
  void refuse_for(Limit limit, ReplyAddress to, const std::string& what) {
    ++counters.limits_reached;
    ++counters.refusals_by_limit[static_cast<std::size_t>(limit)];
    refuse(to, ErrorCode::limit_reached, what + limit_text(limit, settings));
  }
  void note(Note::Level level, std::string text) { effects->emplace_back(Note{level, std::move(text)}); }
  // Of lines that a fault would repeat without end: one of each kind in ten seconds. `last` is when this kind was noted.
  bool is_time_to_note(std::optional<Time>& last) const {
    if (last && now - *last < std::chrono::seconds(10)) return false;
    last = now;
    return true;
  }
};

// The coarse time word that belongs to a moment: never 0. A value whose life ends at T has fresh_until_ms =
// time_word(T), so at or after T it is never a hit; it may end up to a millisecond early.
inline std::uint64_t time_word(Time at) {
  return 1 + static_cast<std::uint64_t>(std::chrono::floor<std::chrono::milliseconds>(at).count());
}
// The first moment at which time_word() is `word`.
inline Time moment_of(std::uint64_t word) { return std::chrono::milliseconds(static_cast<std::int64_t>(word - 1)); }

// Durations from the wire, cut to ten years so that adding them to a time never overflows.
inline Duration duration_of_ms(std::uint64_t milliseconds) {
  constexpr std::uint64_t ten_years_ms = 3650ULL * 24 * 3600 * 1000;
  return std::chrono::milliseconds(static_cast<std::int64_t>(milliseconds < ten_years_ms ? milliseconds : ten_years_ms));
}

inline std::uint64_t microseconds_between(Time from, Time to) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(to - from).count());
}
inline std::uint64_t milliseconds_between(Time from, Time to) { return microseconds_between(from, to) / 1000; }

}  // namespace onced::engine
