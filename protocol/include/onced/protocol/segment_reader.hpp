// Finding a value in a mapped segment without a system call, a lock or a copy (SHM.md, "Lookup").
//
// Contract, threads first:
//   - lookup() may run in any number of threads of any number of processes beside one writer (daemon/memory/).
//   - A hit leaves its pin set. The record cannot change or be reused until that pin is cleared (release_pin), from
//     any thread.
// Invariants it rests on: (1) a full fence stands between the pin store and the slot load after it, as between the
// writer's slot store and the pin scan after it: either the writer sees the pin or the reader sees the slot gone. On the
// reader's side it is the seq_cst claim, or (LineUse::exclusive_fenced) the barrier that the daemon issues. (2) Record
// bytes are written before their slot is stored (release) and never change while a slot or a pin names them. (3) A key is
// in at most one slot; or in two, of which the newer one is stored before buckets_used grows, and the older one cleared after it.
// Cost of a hit: no system call, no lock, no allocation; no locked instruction when the daemon fences, else one, the pin
//     claim. A locked instruction waits for all that is under way, so that look-ups that follow each other do not overlap.
// Store forwarding: a load that spans two stores waits until both have left the core's store buffer, and these wait for
//     every load before them: the next look-up could not begin before this one is over, and took twice as long. So what goes
//     from function to function here goes in registers (KeyHash by value, a LookupResult of 16 bytes) or is inline.
// Errors: the segment is written by a trusted daemon, the pin page by this very process. Offsets are checked all the
// same, so that a damaged or foreign segment gives `malformed` at open() or a miss, never a wild read.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include <onced/protocol/pin_page.hpp>
#include <onced/protocol/result.hpp>
#include <onced/protocol/segment.hpp>

namespace onced::protocol {

enum class LookupOutcome : std::uint8_t {
  hit,       // `record` and `pin` are set; the caller clears the pin. Fresh, or (see `freshness`) stale and usable
  miss,      // not there, or no longer usable by the time word
  dead,      // the daemon that owns this segment is gone: reconnect
  no_pin,    // it is there but every pin of this thread's line is taken (the copying pin included)
  unstable,  // the slot changed under every retry: ask the daemon
  ended,     // it is there, but the session has ended or has another id by now
};

// Whose is the pin line that is passed to lookup(), and how are its pins claimed? Clearing is the same for all, from any
// thread. Hits are counted by a plain load and store in a line of one's own, by fetch_add in a shared one.
enum class LineUse : std::uint8_t {
  exclusive,         // the calling thread's alone. Compare-and-swap.
  shared,            // of several threads. Compare-and-swap.
  // The calling thread's alone. Plain stores: only when daemon_fences(), and after this process was registered with
  // MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED. Not in a signal handler that may interrupt a look-up in the same line.
  exclusive_fenced,
};

// What an application was given with a session's id: how its hits are checked.
struct SessionGrant {
  std::uint64_t number = 0;
  std::uint64_t generation = 0;
};

// Of a hit. early: fresh, in the last stretch in which a reader may offer to refresh it; stale: past its time, within its grace.
enum class Freshness : std::uint8_t { fresh, early, stale };

// Two registers' worth, so that it is returned in them (the note on store forwarding below).
struct LookupResult {
  const RecordHeader* record = nullptr;
  std::uint32_t pin = 0;   // pin number in the page
  LookupOutcome outcome = LookupOutcome::miss;
  Freshness freshness = Freshness::fresh;
  bool refreshing = false; // early or stale: somebody is at it, or nobody is wanted just now
  bool copy_only = false;  // the pin is the line's copying pin: copy the value and clear it at once
};
static_assert(sizeof(LookupResult) == 16 && std::is_trivially_copyable_v<LookupResult>);

class SegmentReader {
 public:
  // Checks magic, versions, sizes and that all regions lie inside `segment` in their order. Keeps the span, whose start
  // must be aligned to a cache line (a mapping is).
  static Result<SegmentReader> open(std::span<const std::byte> segment);

  KeyHash hash(std::string_view key) const { return hash_key(key, seed_); }
  // Acquire: what a successor of a dead daemon did before it served is not seen before the death itself.
  bool alive() const { return (header_->life.load(std::memory_order_acquire) & life_owner_died) == 0; }
  // Relaxed: a number to compare with, nothing is ordered by it.
  std::uint64_t time_ms() const { return header_->time_ms.load(std::memory_order_relaxed); }
  std::uint64_t epoch() const;
  // Whether LineUse::exclusive_fenced is allowed here: the daemon issues a barrier before it scans the pins.
  bool daemon_fences() const { return header_->reader_fence == reader_fence_by_daemon; }

  // `line` is a client pin line (below client_pin_lines and below the page's client_lines_used). Claims one of its
  // first seven pins, or the eighth with copy_only; counts the hit in the page. Bounded: lookup_retries_max passes over
  // two buckets.
  LookupResult lookup(std::string_view key, KeyHash hash, PinPage& page, std::uint32_t line,
                      LineUse use = LineUse::exclusive) const {
    return std::bit_cast<LookupResult>(find(key, hash, page, line, use));
  }
  // The same for a key that names the session of this grant (the caller has seen to that): a hit only while the session's entry has the
  // grant's generation, looked at after the slot. So who has the id of before a rotation finds nothing that was stored after it.
  // Marks the session as used.
  LookupResult lookup_in_session(std::string_view key, KeyHash hash, PinPage& page, std::uint32_t line, LineUse use,
                                 const SessionGrant& session) const;
  // What a hit asks.
  bool good(const SessionGrant& session) const;

  // The record at an offset that the daemon has pinned for us (messages.hpp, Value); null when it is no record of
  // `key`. Counts nothing: the daemon knows of this hit.
  const RecordHeader* record_at(std::uint64_t offset, std::string_view key) const;

  // Of an early record: how long it is fresh. 0: not any more.
  std::uint32_t fresh_left_ms(const RecordHeader* record) const;

  // Of a record that lookup() or record_at() gave, while it is pinned.
  std::uint64_t offset_of(const RecordHeader* record) const {
    return static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(record) - base_);
  }
  std::string_view key_of(const RecordHeader* record) const;
  // Part `number` of a pinned record; names and inline bytes live while the pin does, and inline bytes are aligned to
  // value_alignment. A part in a blob has no bytes here: they are `length` bytes at `offset` in blob `blob`.
  struct PartView {
    std::string_view name;
    std::string_view content_type;
    std::span<const std::byte> bytes;
    std::uint64_t blob = 0;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;  // in both cases
  };
  std::optional<PartView> part(const RecordHeader* record, std::size_t number) const;
  // The one part of a plain record: false when the record is damaged.
  bool plain_part(const RecordHeader* record, std::span<const std::byte>& bytes, std::string_view& content_type) const {
    const std::uint64_t record_bytes = record->record_bytes;
    const std::uint64_t at = record->parts_offset;
    const std::uint64_t type = std::uint64_t{sizeof(RecordHeader)} + record->key_bytes;
    if (record_bytes > arena_end_ - offset_of(record) || record->part_count != 1 ||
        type + record->plain_type_bytes > record_bytes || at > record_bytes || record->plain_bytes > record_bytes - at) {
      return false;
    }
    const auto* const start = reinterpret_cast<const std::byte*>(record);
    bytes = {start + at, record->plain_bytes};
    content_type = {reinterpret_cast<const char*>(start) + type, record->plain_type_bytes};
    return true;
  }
  // The number of the part of this name. Linear: a value has at most parts_max of them.
  std::optional<std::size_t> find_part(const RecordHeader* record, std::string_view name) const;

  // Rises when blobs were dropped: then blob_live() of those is false. What is mapped stays readable all the same.
  std::uint64_t blobs_dropped() const;
  bool blob_live(std::uint64_t blob) const;

 private:
  // A LookupResult as the two words that it is returned in. A struct of small fields is taken apart by the compiler inside the function
  // that makes it, and put together again at its end: thirty instructions of a hit.
  struct Packed {
    const RecordHeader* record;
    std::uint64_t fields;
  };
  static_assert(sizeof(Packed) == sizeof(LookupResult));
  Packed find(std::string_view key, KeyHash hash, PinPage& page, std::uint32_t line, LineUse use) const;

  enum class Probe : std::uint8_t { hit, other, expired, changed, no_pin, ended };

  SegmentReader() = default;
  // Whether a record header could stand at `offset`.
  bool plausible(std::uint64_t offset) const {
    return offset % value_alignment == record_phase && offset >= arena_begin_ && offset < arena_end_ &&
           arena_end_ - offset >= sizeof(RecordHeader);
  }
  std::uint64_t buckets_used() const;
  struct Life {
    Freshness freshness = Freshness::fresh;
    bool refreshing = false;
  };
  std::optional<Life> life_of(const RecordHeader& record) const;
  struct NoSession;
  struct InSession;
  template <typename Session>
  Packed look(std::string_view key, KeyHash hash, PinPage& page, std::uint32_t line, LineUse use, Session session) const;
  template <typename Session>
  Probe probe(const std::atomic<std::uint64_t>& slot, std::uint64_t word, std::string_view key, PinPage& page,
              std::uint32_t line, LineUse use, Session session, std::uint64_t& fields) const;
  const std::byte* base_ = nullptr;
  const SegmentHeader* header_ = nullptr;
  const Bucket* buckets_ = nullptr;
  const BlobEntry* blobs_ = nullptr;
  const SessionEntry* sessions_ = nullptr;
  std::uint64_t bucket_count_ = 0;
  std::uint64_t blob_mask_ = 0;
  std::uint64_t session_mask_ = 0;
  std::uint64_t seed_ = 0;
  std::uint64_t arena_begin_ = 0;
  std::uint64_t arena_end_ = 0;
};

inline constexpr int lookup_retries_max = 16;

// `pin` is below client_pins + granted_pins.
inline std::atomic<std::uint64_t>& pin_at(PinPage& page, std::uint32_t pin) {
  return pin < client_pins ? page.client_lines[pin / pins_per_line].pins[pin % pins_per_line]
                           : page.granted_lines[(pin - client_pins) / pins_per_line].pins[pin % pins_per_line];
}
// Release: what was read through the pin happens before the writer that sees it cleared reuses the memory.
inline void release_pin(PinPage& page, std::uint32_t pin) {
  pin_at(page, pin).store(0, std::memory_order_release);
}

}  // namespace onced::protocol
