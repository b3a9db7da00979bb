#include "memory/segment_layout.hpp"

#include <doctest/doctest.h>
#include <bit>

#include "tests/memory/aligned_memory.hpp"

using namespace onced;
using memory::layout_for;

TEST_CASE("regions follow each other without overlap, for every budget") {
  for (std::uint64_t budget = memory::segment_bytes_min; budget < (std::uint64_t{1} << 41);
       budget = budget * 5 / 3 + 777) {
    CAPTURE(budget);
    const auto layout = layout_for(budget);
    REQUIRE(layout.ok());
    CHECK(layout->segment_bytes <= budget);
    CHECK(layout->segment_bytes > budget - 4096);
    CHECK(layout->sessions_offset >= sizeof(protocol::SegmentHeader));
    CHECK(layout->index_offset >= layout->sessions_offset + layout->sessions_count * sizeof(protocol::SessionEntry));
    CHECK(layout->blobs_offset >= layout->index_offset + layout->bucket_count * sizeof(protocol::Bucket));
    CHECK(layout->arena_offset >= layout->blobs_offset + layout->blobs_count * sizeof(protocol::BlobEntry));
    CHECK(std::has_single_bit(layout->blobs_count));
    CHECK(layout->arena_offset + layout->arena_bytes == layout->segment_bytes);
    CHECK(layout->index_offset % 64 == 0);
    CHECK(layout->arena_offset % 64 == 0);
    CHECK(std::has_single_bit(layout->bucket_count));
    // About 3 %: a power of two is at most a factor of the square root of two away.
    const double share = static_cast<double>(layout->bucket_count * 64) / static_cast<double>(budget);
    CHECK(share > 0.022);
    CHECK(share < 0.046);
    CHECK(layout->arena_bytes > budget / 100 * 90);
  }
}

TEST_CASE("a budget that is too small or too large is refused by its number") {
  for (const std::uint64_t budget : {std::uint64_t{0}, memory::segment_bytes_min - 1, memory::segment_bytes_max + 1}) {
    const auto layout = layout_for(budget);
    REQUIRE(!layout.ok());
    CHECK(layout.error().code == ErrorCode::invalid_argument);
    CHECK(layout.error().text.find(std::to_string(budget)) != std::string::npos);
  }
}

TEST_CASE("a formatted header says what the layout says") {
  const auto layout = layout_for(300'000);
  test::AlignedMemory memory(layout->segment_bytes);
  const auto& header = memory::format_segment(memory.bytes(), *layout, 11, 22);
  CHECK(header.magic == protocol::segment_magic);
  CHECK(header.layout_version == protocol::segment_layout_version);
  CHECK(header.segment_bytes == layout->segment_bytes);
  CHECK(header.hash_seed == 11);
  CHECK(header.epoch == 22);
  CHECK(header.arena_offset == layout->arena_offset);
  CHECK(header.life.load() == 0);
  CHECK(header.time_ms.load() == 1);
}
