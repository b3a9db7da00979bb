// The layout of a namespace's shared memory: [header][sessions][index][blobs][arena]. SHM.md is its document; the
// static_asserts below are what it rests on.
//
// Ownership: the daemon alone writes; clients map it read-only (the memfd is sealed FUTURE_WRITE).
// Rules:     little-endian, offsets from the start of the segment, never pointers, reserved bytes zero.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace onced::protocol {

inline constexpr std::uint64_t segment_magic = 0x4745'5344'4543'4e4fULL;  // "ONCEDSEG"
inline constexpr std::uint32_t segment_layout_version = 5;
inline constexpr std::size_t value_alignment = 64;
// A record starts this far behind a multiple of 64: the bytes before it are the allocator's, and a small value with a
// key of up to 48 bytes ends with the third cache line instead of filling five.
inline constexpr std::size_t record_phase = 16;
inline constexpr std::size_t record_unit = 16;  // record_bytes is a multiple of it
inline constexpr std::size_t slots_per_bucket = 8;

// Life word: a robust futex. 0 before the daemon serves; the owner's thread id while it lives; the kernel sets
// life_owner_died when that thread is gone, the daemon sets it itself on a clean exit.
inline constexpr std::uint32_t life_owner_died = 0x4000'0000U;  // FUTEX_OWNER_DIED
inline constexpr std::uint32_t life_tid_mask = 0x3fff'ffffU;    // FUTEX_TID_MASK

// Who puts the fence between a reader's pin store and its second slot load (SHM.md, "Who fences").
inline constexpr std::uint32_t reader_fence_own = 0;        // the reader: every pin is claimed by compare-and-swap
inline constexpr std::uint32_t reader_fence_by_daemon = 1;  // the daemon's membarrier(), for pins in a thread's own line

struct SegmentHeader {
  std::uint64_t magic;
  std::uint32_t layout_version;
  std::uint32_t header_bytes;      // sizeof(SegmentHeader)
  std::uint64_t segment_bytes;
  std::uint64_t hash_seed;         // of XXH3-128, drawn at every daemon start
  std::uint64_t epoch;             // of this daemon start: tokens and signals carry the same one
  std::uint64_t sessions_offset;   // SessionEntry[sessions_count]
  std::uint64_t sessions_count;    // a power of two
  std::uint64_t index_offset;      // Bucket[bucket_count]
  std::uint64_t bucket_count;      // a power of two, 2 at least: as many as there can be; buckets_used of them are in use
  std::uint64_t arena_offset;
  std::uint64_t arena_bytes;
  std::uint64_t blobs_offset;      // BlobEntry[blobs_count]
  std::uint64_t blobs_count;       // a power of two
  std::uint32_t reader_fence;      // reader_fence_own or reader_fence_by_daemon
  std::uint8_t reserved0[20];
  // A line of its own, read on every hit: written when the daemon dies and when something may have expired.
  alignas(64) std::atomic<std::uint32_t> life;
  std::uint32_t reserved1;
  std::atomic<std::uint64_t> time_ms;  // coarse monotonic milliseconds since the daemon's start, never 0 once it serves
  std::atomic<std::uint64_t> blobs_dropped;  // rises after entries of the blob table were cleared
  std::atomic<std::uint64_t> buckets_used;   // 2 to bucket_count; grows one by one with the number of records
  std::uint8_t reserved2[32];
  std::uint8_t reserved3[4096 - 192];
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(sizeof(SegmentHeader) == 4096);
static_assert(offsetof(SegmentHeader, arena_bytes) == 80);
static_assert(offsetof(SegmentHeader, blobs_offset) == 88);
static_assert(offsetof(SegmentHeader, reader_fence) == 104);
static_assert(offsetof(SegmentHeader, life) == 128);
static_assert(offsetof(SegmentHeader, time_ms) == 136);
static_assert(offsetof(SegmentHeader, blobs_dropped) == 144);
static_assert(offsetof(SegmentHeader, buckets_used) == 152);

// Entry number % sessions_count: the generation that whoever hits a key of the session of this number must have been given with
// its id. No two sessions ever have the same generation, and no session has one twice: an entry that another session has by
// now is never mistaken for the former one. 0: of no session.
struct SessionEntry {
  std::atomic<std::uint64_t> generation;
};
static_assert(sizeof(SessionEntry) == 8);

// Entry id % blobs_count holds a blob's id while a live record names it, else another id or 0. A reader that keeps
// mappings of blobs drops those whose entry has changed and that nobody views. It decides nothing else by it.
struct BlobEntry {
  std::atomic<std::uint64_t> id;
};
static_assert(sizeof(BlobEntry) == 8);

// Index word: tag in the upper 16 bits, record offset in the lower 48; 0 is free.
inline constexpr std::uint64_t slot_offset_mask = 0x0000'ffff'ffff'ffffULL;
struct alignas(64) Bucket {
  std::atomic<std::uint64_t> slots[slots_per_bucket];
};
static_assert(sizeof(Bucket) == 64);

// A record, record_phase behind a multiple of 64. *Plain* is what most are: one part, unnamed, inline; then come header,
// key bytes, content type, padding, value. Others: header, key bytes, padding to 8, part table, part names and content
// types, padding, the parts' bytes. Every part's bytes start at a multiple of value_alignment of the segment.
// Immutable from the moment its slot is stored until it is retired and nobody pins it, but for the three marked *live*,
// which the daemon changes and readers load through the functions below; then wiped and freed.
struct RecordHeader {
  std::uint32_t record_bytes;        // all of it, a multiple of record_unit
  std::uint32_t key_bytes;
  std::uint64_t fresh_until_ms;      // live. By the time word; never_expires: no time-to-live. Fresh while time_ms < this.
  std::uint32_t early_ms;            // in its last so many milliseconds as fresh a reader may offer to refresh it (XFetch)
  std::uint32_t grace_ms;            // live. Stale, and usable, for so long after fresh_until_ms
  std::uint64_t version;             // of the key
  std::uint64_t cost_us;             // what computing it took
  std::uint16_t function_number;     // which counters of the pin page it belongs to
  std::uint8_t refreshing;           // live. 1: nobody else is wanted to refresh it
  std::uint8_t reserved;
  std::uint32_t reserved2[2];        // the session is in the key
  std::uint16_t part_count;
  std::uint8_t flags;                // record_plain or 0
  std::uint8_t plain_type_bytes;     // plain: of the content type, which follows the key directly. Else 0.
  std::uint32_t parts_offset;        // from the record's start: plain: of the value; else of the part table
  std::uint32_t plain_bytes;         // plain: of the value. Else 0.
};
inline constexpr std::uint8_t record_plain = 1;
inline constexpr std::uint64_t never_expires = ~std::uint64_t{0};
static_assert(sizeof(RecordHeader) == 64);
static_assert(offsetof(RecordHeader, early_ms) == 16);
static_assert(offsetof(RecordHeader, grace_ms) == 20);
static_assert(offsetof(RecordHeader, function_number) == 40);
static_assert(offsetof(RecordHeader, refreshing) == 42);
static_assert(offsetof(RecordHeader, flags) == 54);
static_assert(offsetof(RecordHeader, parts_offset) == 56);

// The live fields. grace_ms is stored before the fresh_until_ms that it belongs to (release) and loaded after it (acquire).
template <typename Number>
inline std::atomic_ref<Number> live_field(const Number& field) {
  return std::atomic_ref<Number>(const_cast<Number&>(field));  // const: a reader's mapping is read-only, and it only loads
}
inline std::uint64_t fresh_until_ms(const RecordHeader& record) {
  return live_field(record.fresh_until_ms).load(std::memory_order_acquire);
}

// The first offset in a record, from `offset` on, at which a part's bytes may start.
inline constexpr std::size_t value_offset_from(std::size_t offset) {
  return (offset + record_phase + value_alignment - 1) / value_alignment * value_alignment - record_phase;
}

struct PartEntry {
  std::uint64_t blob;                // 0: inline in this record; else the blob's id
  std::uint32_t bytes_offset;        // from the record's start, or in the blob; a multiple of value_alignment there
  std::uint32_t name_offset;         // from the record's start; the content type follows the name directly
  std::uint64_t bytes;
  std::uint16_t name_bytes;
  std::uint16_t content_type_bytes;
  std::uint32_t reserved;
};
static_assert(sizeof(PartEntry) == 32);

// The table hash of a key. Never identity.
struct KeyHash {
  std::uint64_t low;
  std::uint64_t high;
};
KeyHash hash_key(std::string_view key, std::uint64_t seed);  // XXH3_128bits_withSeed

inline std::uint16_t tag_of(const KeyHash& hash) { return static_cast<std::uint16_t>(hash.low >> 48); }
// Linear hashing (W. Litwin, VLDB 1980): which of the `used` buckets (2 at least) a hash belongs to. One more bucket
// takes what belongs to it from split_bucket(used) and concerns no other.
inline std::uint64_t bucket_of(std::uint64_t hash, std::uint64_t used) {
  const std::uint64_t mask = ~std::uint64_t{0} >> std::countl_zero(used - 1);
  const std::uint64_t bucket = hash & mask;
  // Without a branch, which no processor could predict: which way it goes depends on the hash alone.
  const std::uint64_t beyond = std::uint64_t{0} - static_cast<std::uint64_t>(bucket >= used);
  return bucket & ~(beyond & (mask ^ (mask >> 1)));
}
inline std::uint64_t split_bucket(std::uint64_t used) { return used - std::bit_floor(used); }
// The two candidate buckets (they may be the same one).
inline std::uint64_t first_bucket(const KeyHash& hash, std::uint64_t used) { return bucket_of(hash.low, used); }
inline std::uint64_t second_bucket(const KeyHash& hash, std::uint64_t used) { return bucket_of(hash.high, used); }
inline std::uint64_t make_slot(std::uint16_t tag, std::uint64_t record) { return (std::uint64_t{tag} << 48) | record; }

}  // namespace onced::protocol
