// Reads a segment that has no index: which records are in it, where it ends, and what can be said of damaged places
// (DISK.md, "Start"). Pure: works on the segment's bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "disk/format.hpp"

namespace onced::disk {

struct SegmentScan {
  // In the order of the log. A value whose record is damaged is a tombstone here.
  std::vector<IndexRow> rows;
  std::uint64_t end = segment_start;    // what follows was never acknowledged, and has to go
  std::uint64_t last_sequence = 0;      // of the last record before that; one less than the first where there is none
  std::uint64_t newest_time_ms = 0;     // of marks and values
  // Everything older than this is void: records are missing of which nobody knows what they were. 0: nothing is.
  std::uint64_t void_before = 0;
  std::uint64_t damaged_records = 0;    // known ones
  std::uint64_t gaps = 0;
};

struct ScanBounds {
  std::uint32_t segment = 0;
  std::uint64_t first_sequence = 1;
  // Of a segment that is not the last: all of it up to here is stable, and was written up to this sequence. Otherwise its
  // marks say how much is stable.
  std::optional<std::uint64_t> end;
  std::uint64_t last_sequence = 0;
};

SegmentScan scan_segment(Bytes segment, const ScanBounds& bounds, std::uint64_t seed);

// The row of a value's record whose check is right; nothing when its body does not follow the format.
std::optional<IndexRow> row_of(const RecordHeader& header, std::uint32_t offset, Bytes record);
// Whether header, body and trailer of the record are whole. `record` begins with this header and has its length.
bool is_whole(const RecordHeader& header, Bytes record, std::uint64_t segment_seed);

}  // namespace onced::disk
