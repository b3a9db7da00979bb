// What the engine needs of the tier that holds values in memory. daemon/memory/ implements it over a segment.
//
// The engine decides what is stored, replaced and dropped; the store knows bytes, slots and pins. All calls are made on
// the engine's strand; none blocks; none does more than the bound that is written at it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <onced/protocol/messages.hpp>
#include <onced/protocol/segment.hpp>

#include "engine/blob_store.hpp"
#include "engine/types.hpp"

namespace onced::engine {

// A live record: its offset in the segment, never 0.
enum class RecordRef : std::uint64_t {};

struct RecordImage {
  std::string_view key;
  const std::vector<protocol::Part>* parts = nullptr;
  std::uint64_t fresh_until_ms = protocol::never_expires;
  std::uint32_t early_ms = 0;
  std::uint32_t grace_ms = 0;
  std::uint64_t version = 0;
  std::uint64_t cost_us = 0;
  std::uint32_t function_number = 0;
  bool of_session = false;  // wiped as soon as nobody finds or pins it
};

class RecordStore {
 public:
  virtual ~RecordStore() = default;

  enum class Outcome : std::uint8_t {
    placed,       // `record` is visible to readers now
    arena_full,   // evict something, then try again: it was one scan of all pins
    bucket_full,  // both candidate buckets are full: evict one of `candidates`, then try again
    never,        // larger than the whole arena
  };
  struct Placement {
    Outcome outcome = Outcome::placed;
    RecordRef record{};
    std::vector<RecordRef> candidates;
  };
  // Writes the record, then its slot. Blobs that the parts name must have been examined; the record takes a hold of its
  // own on each, until it is retired and nobody pins it. With `replaces` the slot of that record (same key) is overwritten in one store
  // and the old record is retired; before place() returns arena_full it has tried to reclaim retired memory.
  virtual Placement place(const RecordImage& image, std::optional<RecordRef> replaces) = 0;

  // No reader finds it any more when this returns (L6). Its memory is retired, and reused when nobody pins it.
  virtual void unlink(RecordRef record) = 0;

  // Of a live record, without another look-up by anybody: readers see it from the return on.
  virtual void set_life(RecordRef record, std::uint64_t fresh_until_ms, std::uint32_t grace_ms) = 0;
  virtual void set_refreshing(RecordRef record, bool refreshing) = 0;

  // The entry of this session in the table that readers hold every hit against; 0: it has ended. With its return no hit of another
  // generation is one any more, and what is placed later is found by nobody who has an older one.
  virtual void set_session(std::uint64_t number, std::uint64_t generation) = 0;
  // How many entries it has: numbers are taken modulo that.
  virtual std::size_t session_places() const = 0;
  // Whether a reader has marked the session as used since the last call. One look at each page.
  virtual bool take_session_use(std::uint64_t number) = 0;

  // Lets go the blobs of retired records that nobody pins, all of them, and wipes and frees such records, those of sessions
  // first, as far as one call may take: one scan of all pins. Returns bytes of records freed.
  virtual std::size_t reclaim() = 0;

  // Sets a pin on the client's behalf in its page; nothing when it has no page or no free granted pin.
  virtual std::optional<std::uint32_t> grant_pin(ConnectionId connection, RecordRef record) = 0;
  // Bytes of retired records, and of their blobs, that this connection's pins kept from reuse when they were last looked at.
  virtual std::uint64_t pinned_bytes(ConnectionId connection) const = 0;
  // How many pins name each of these live records now, in all pages. One scan of all pins.
  virtual std::vector<std::uint32_t> pins(std::span<const RecordRef> records) const = 0;

  // Those that a live record holds, each once.
  virtual std::vector<BlobId> blobs_in(RecordRef record) const = 0;

  // Copies a live record's parts, for an answer that travels inline.
  virtual std::vector<protocol::Part> read(RecordRef record) const = 0;

  // Reports recently hit records from the pin pages' tables (lossy, hostile: only live records are reported).
  virtual void harvest_hits(const std::function<void(RecordRef)>& seen) = 0;

  struct HitTotals {
    std::uint64_t hits = 0;
    std::uint64_t saved_us = 0;
  };
  // Sums of all pages, living and dead, by function number (functions from counter_functions - 1 on share the last). One
  // call reads at most so many living pages anew, the next ones in turn.
  static constexpr std::size_t totals_pages_per_call = 16;
  virtual std::vector<HitTotals> hit_totals() const = 0;

  struct Usage {
    std::uint64_t arena_bytes = 0;
    std::uint64_t used_bytes = 0;      // live and retired records
    std::uint64_t retired_bytes = 0;   // of those: unlinked, waiting for readers
    std::uint64_t retired_records = 0;
    std::uint64_t retired_with_blobs = 0;  // of those: records that still hold blobs
    std::uint64_t pinned_bytes = 0;        // of retired records and their blobs, when pins were last looked at: pinned by somebody,
    std::uint64_t pinned_most_bytes = 0;   // by the connection that pins most of them,
    ConnectionId pinned_most_by{};         // which is this one
    std::uint64_t retired_of_sessions = 0;  // of those: records of sessions, which are to be wiped at once
    std::uint64_t index_slots = 0;
    std::uint64_t retired_urgent() const { return retired_with_blobs + retired_of_sessions; }
  };
  virtual Usage usage() const = 0;

  // The coarse time word that readers compare with fresh_until_ms. Never goes back.
  virtual void set_time_ms(std::uint64_t time_ms) = 0;
};

}  // namespace onced::engine
