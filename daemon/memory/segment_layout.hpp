// Where the regions of a segment lie, computed once from the configured budget, and the header that says so.
//
// Regions in this order, each aligned to a cache line, without overlap (SHM.md, "Regions"):
//   [header][sessions][index][blobs][arena]
// The index gets about 3 % of the budget, rounded to a power of two of buckets; that is one slot for every 256 bytes.
//
// Threads: pure functions; format_segment() before any reader has the segment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <onced/protocol/result.hpp>
#include <onced/protocol/segment.hpp>

namespace onced::memory {

// Below this a segment holds no record of the largest size that the protocol allows.
inline constexpr std::uint64_t segment_bytes_min = 256 * 1024;
inline constexpr std::uint64_t segment_bytes_max = std::uint64_t{1} << 46;  // offsets have 48 bits

struct SegmentLayout {
  std::uint64_t segment_bytes = 0;  // a multiple of the page size (4096), at most the budget
  std::uint64_t sessions_offset = 0;
  std::uint64_t sessions_count = 0;
  std::uint64_t index_offset = 0;
  std::uint64_t bucket_count = 0;  // a power of two
  std::uint64_t blobs_offset = 0;
  std::uint64_t blobs_count = 0;   // a power of two
  std::uint64_t arena_offset = 0;
  std::uint64_t arena_bytes = 0;
};

// Fails with invalid_argument when the budget is outside [segment_bytes_min, segment_bytes_max].
Result<SegmentLayout> layout_for(std::uint64_t budget_bytes);

// Writes the header into zeroed memory of at least layout.segment_bytes, aligned to a cache line. The life word stays 0
// (a LifeKeeper sets it) and the time word becomes 1. Touches the first page only.
protocol::SegmentHeader& format_segment(std::span<std::byte> segment, const SegmentLayout& layout,
                                        std::uint64_t hash_seed, std::uint64_t epoch);

}  // namespace onced::memory
