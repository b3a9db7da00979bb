// Foreign bytes as what the disk tier reads back: a value's body, its attributes, a whole segment. Whatever they say, nothing is read
// outside of them, and what is accepted is inside.
//
// Input: its first byte says which of the three; for a segment the next 8 bytes are the store's seed.
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "disk/segment_scan.hpp"
#include "disk/value.hpp"
#include "fuzz.hpp"
#include "tiers/attributes.hpp"

namespace {

using namespace onced;

void read_body(std::span<const std::byte> bytes) {
  const auto body = disk::decode_body(bytes);
  if (!body) return;
  const auto inside = [&](const void* at, std::size_t size) {
    const auto* const begin = static_cast<const std::byte*>(at);
    return size == 0 || (begin >= bytes.data() && begin + size <= bytes.data() + bytes.size());
  };
  FUZZ_CHECK(inside(body->key.data(), body->key.size()));
  FUZZ_CHECK(inside(body->attributes.data(), body->attributes.size()));
  for (const disk::PartView& part : body->parts) {
    FUZZ_CHECK(inside(part.name.data(), part.name.size()) && inside(part.type.data(), part.type.size()));
    FUZZ_CHECK(inside(part.stored.data(), part.stored.size()));
    if (part.in_file || part.bytes > 1 << 20) continue;
    std::vector<std::byte> into(static_cast<std::size_t>(part.bytes));
    static_cast<void>(disk::unpack(part, into));
  }
}

void read_attributes(std::string_view bytes) {
  const auto attributes = tiers::decode_attributes(bytes);
  if (attributes) FUZZ_CHECK(tiers::encode(*attributes) == bytes);
}

void read_segment(std::span<const std::byte> bytes) {
  std::uint64_t seed = 0;
  if (bytes.size() < sizeof(seed)) return;
  std::memcpy(&seed, bytes.data(), sizeof(seed));
  const auto segment = bytes.subspan(sizeof(seed));
  if (segment.size() < disk::segment_start) return;
  for (const bool complete : {false, true}) {
    disk::ScanBounds bounds{.segment = 1, .first_sequence = 1, .end = std::nullopt, .last_sequence = 0};
    if (complete) {
      bounds.end = segment.size();
      bounds.last_sequence = 1000;
    }
    const disk::SegmentScan scan = disk::scan_segment(segment, bounds, seed);
    FUZZ_CHECK(scan.end <= segment.size());
    for (const disk::IndexRow& row : scan.rows) FUZZ_CHECK(std::uint64_t{row.offset} + row.length <= segment.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::vector<std::byte> bytes(reinterpret_cast<const std::byte*>(data) + 1, reinterpret_cast<const std::byte*>(data) + size);
  switch (data[0] % 3) {
    case 0: read_body(bytes); break;
    case 1: read_attributes({reinterpret_cast<const char*>(bytes.data()), bytes.size()}); break;
    case 2: read_segment(bytes); break;
  }
  return 0;
}
