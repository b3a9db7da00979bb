#include "memory/segment_layout.hpp"

#include <algorithm>
#include <bit>
#include <string>

#include "memory/pages.hpp"

namespace onced::memory {

namespace {

constexpr std::uint64_t sessions_min = 8;
constexpr std::uint64_t sessions_max = 65536;
constexpr std::uint64_t blobs_min = 64;
constexpr std::uint64_t blobs_max = 65536;

}  // namespace

Result<SegmentLayout> layout_for(std::uint64_t budget_bytes) {
  if (budget_bytes < segment_bytes_min || budget_bytes > segment_bytes_max) {
    return Error{ErrorCode::invalid_argument,
                 "a segment of " + std::to_string(budget_bytes) + " bytes is not possible; choose between " +
                     std::to_string(segment_bytes_min) + " and " + std::to_string(segment_bytes_max)};
  }
  SegmentLayout layout;
  layout.segment_bytes = budget_bytes / page_bytes * page_bytes;
  layout.sessions_offset = sizeof(protocol::SegmentHeader);
  layout.sessions_count = std::clamp(std::bit_floor(layout.segment_bytes / page_bytes), sessions_min, sessions_max);
  layout.index_offset =
      align_up(layout.sessions_offset + layout.sessions_count * sizeof(protocol::SessionEntry), page_bytes);
  // The power of two between 2.25 % and 4.5 % of the budget: 3.2 % in the geometric mean.
  layout.bucket_count = std::bit_floor(layout.segment_bytes / sizeof(protocol::Bucket) * 9 / 200);
  layout.blobs_offset = align_up(layout.index_offset + layout.bucket_count * sizeof(protocol::Bucket), page_bytes);
  layout.blobs_count = std::clamp(std::bit_floor(layout.segment_bytes / page_bytes), blobs_min, blobs_max);
  layout.arena_offset =
      align_up(layout.blobs_offset + layout.blobs_count * sizeof(protocol::BlobEntry), page_bytes);
  layout.arena_bytes = layout.segment_bytes - layout.arena_offset;
  return layout;
}

protocol::SegmentHeader& format_segment(std::span<std::byte> segment, const SegmentLayout& layout,
                                        std::uint64_t hash_seed, std::uint64_t epoch) {
  ONCED_ASSERT(segment.size() >= layout.segment_bytes);
  ONCED_ASSERT(reinterpret_cast<std::uintptr_t>(segment.data()) % alignof(protocol::SegmentHeader) == 0);
  auto& header = *reinterpret_cast<protocol::SegmentHeader*>(segment.data());
  header.magic = protocol::segment_magic;
  header.layout_version = protocol::segment_layout_version;
  header.header_bytes = sizeof(protocol::SegmentHeader);
  header.segment_bytes = layout.segment_bytes;
  header.hash_seed = hash_seed;
  header.epoch = epoch;
  header.sessions_offset = layout.sessions_offset;
  header.sessions_count = layout.sessions_count;
  header.index_offset = layout.index_offset;
  header.bucket_count = layout.bucket_count;
  header.blobs_offset = layout.blobs_offset;
  header.blobs_count = layout.blobs_count;
  header.arena_offset = layout.arena_offset;
  header.arena_bytes = layout.arena_bytes;
  header.time_ms.store(1, std::memory_order_relaxed);  // nobody reads it yet
  return header;
}

}  // namespace onced::memory
