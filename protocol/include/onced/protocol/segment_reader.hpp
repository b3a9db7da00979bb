// Finding a value in a mapped segment without a system call, a lock or a copy (SHM.md, "Lookup").
//
// Contract, threads first:
//   - lookup() may run in any number of threads of any number of processes beside one writer (daemon/memory/).
//   - A hit leaves its pin set. The record cannot change or be reused until that pin is cleared (release_pin), from
//     any thread.
// Invariants it rests on: (1) slot load, pin store, slot load again are all seq_cst, as are the writer's slot store and
// pin scan: either the writer sees the pin or the reader sees the slot gone. (2) Record bytes are written before their
// slot is stored (release) and never change while a slot or a pin names them. (3) A key is in at most one slot.
// Errors: the segment is written by a trusted daemon, the pin page by this very process. Offsets are checked all the
// same, so that a damaged or foreign segment gives `malformed` at open() or a miss, never a wild read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <onced/protocol/pin_page.hpp>
#include <onced/protocol/result.hpp>
#include <onced/protocol/segment.hpp>

namespace onced::protocol {

enum class LookupOutcome : std::uint8_t {
  hit,       // `record` and `pin` are set; the caller clears the pin
  miss,      // not there, or expired by the time word
  dead,      // the daemon that owns this segment is gone: reconnect
  no_pin,    // it is there but every pin of this thread's line is taken (the copying pin included)
  unstable,  // the slot changed under every retry: ask the daemon
};

struct LookupResult {
  LookupOutcome outcome = LookupOutcome::miss;
  bool copy_only = false;              // the pin is the line's copying pin: copy the value and clear it at once
  std::uint32_t pin = 0;               // pin number in the page
  const RecordHeader* record = nullptr;
};

class SegmentReader {
 public:
  // Checks magic, versions, sizes and that all regions lie inside `segment` without overlap. Keeps the span.
  static Result<SegmentReader> open(std::span<const std::byte> segment);

  KeyHash hash(std::string_view key) const { return hash_key(key, seed_); }
  bool alive() const;
  std::uint64_t time_ms() const;
  std::uint64_t epoch() const;

  // `line` is the client pin line of the calling thread. Bounded: lookup_retries_max passes over two buckets.
  LookupResult lookup(std::string_view key, const KeyHash& hash, PinPage& page, std::uint32_t line) const;

  // The record at an offset that the daemon has pinned for us (messages.hpp, Value); null when it is no record of
  // `key`.
  const RecordHeader* record_at(std::uint64_t offset, std::string_view key) const;

  std::uint64_t offset_of(const RecordHeader* record) const;
  std::string_view key_of(const RecordHeader* record) const;
  // Part `number` of a pinned record; bytes are aligned to value_alignment and live while the pin does.
  struct PartView {
    std::string_view name;
    std::string_view content_type;
    std::span<const std::byte> bytes;
  };
  std::optional<PartView> part(const RecordHeader* record, std::size_t number) const;

 private:
  SegmentReader() = default;
  const std::byte* base_ = nullptr;
  std::size_t bytes_ = 0;
  const SegmentHeader* header_ = nullptr;
  const Bucket* buckets_ = nullptr;
  std::uint64_t bucket_mask_ = 0;
  std::uint64_t seed_ = 0;
  std::uint64_t arena_begin_ = 0;
  std::uint64_t arena_end_ = 0;
};

inline constexpr int lookup_retries_max = 16;

inline std::atomic<std::uint64_t>& pin_at(PinPage& page, std::uint32_t pin) {
  return pin < client_pins ? page.client_lines[pin / pins_per_line].pins[pin % pins_per_line]
                           : page.granted_lines[(pin - client_pins) / pins_per_line].pins[pin % pins_per_line];
}
// Release: what was read through the pin happens before the writer that sees it cleared reuses the memory.
inline void release_pin(PinPage& page, std::uint32_t pin) { pin_at(page, pin).store(0, std::memory_order_release); }

}  // namespace onced::protocol
