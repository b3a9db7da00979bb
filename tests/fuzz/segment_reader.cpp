// Foreign bytes as a segment: open() and lookup() read nothing outside of it, whatever it says, and leave no pin behind
// for what is no hit. The memory has exactly the segment's size, so AddressSanitizer sees every byte beyond.
//
// Input: its first byte even: the rest is the segment. Odd: the rest is a list of changes to a whole little segment, of
// 5 bytes each: where (u32) and the new byte.
#include <cstring>
#include <string>
#include <vector>

#include <onced/protocol/segment_reader.hpp>

#include "fuzz.hpp"
#include "memory/index_writer.hpp"
#include "memory/record_writer.hpp"
#include "memory/segment_layout.hpp"
#include "tests/memory/aligned_memory.hpp"

namespace {

using namespace onced;

constexpr std::size_t change_bytes = 5;
constexpr const char* keys[] = {"first", "second key", ""};

// Two buckets, so that most keys share them, and two records with 64 bytes between.
void fill(std::span<std::byte> bytes) {
  const memory::SegmentLayout layout{8192, 4096, 8, 4160, 2, 4288, 8, 4352, 8192 - 4352};
  auto& header = memory::format_segment(bytes, layout, 1, 1);
  memory::IndexWriter index({reinterpret_cast<protocol::Bucket*>(bytes.data() + layout.index_offset), 2}, header.buckets_used);
  // The first has a part table, the second is plain.
  std::vector<protocol::Part> parts{{"name", "text/plain", std::string(100, 'v')}};
  std::uint64_t offset = layout.arena_offset + protocol::record_phase;
  for (const char* key : {keys[0], keys[1]}) {
    engine::RecordImage image;
    image.key = key;
    image.parts = &parts;
    memory::write_record(image, bytes.data() + offset);
    const auto hash = protocol::hash_key(key, 1);
    index.store(*index.find_free(hash), protocol::make_slot(protocol::tag_of(hash), offset));
    offset = (offset + memory::record_bytes(image) + 127) / 64 * 64 + protocol::record_phase;
    parts = {{"", "text/plain", std::string(100, 'v')}};
  }
}

std::uint64_t sum_of(const protocol::SegmentReader& reader, const protocol::RecordHeader* record) {
  std::uint64_t sum = record->version;
  for (const char c : reader.key_of(record)) sum += static_cast<std::uint8_t>(c);
  for (std::size_t number = 0; number < record->part_count; ++number) {
    const auto part = reader.part(record, number);
    if (!part) continue;
    for (const char c : part->name) sum += static_cast<std::uint8_t>(c);
    FUZZ_CHECK(part->blob != 0 ? part->bytes.empty() : part->bytes.size() == part->length);
    for (const char c : part->content_type) sum += static_cast<std::uint8_t>(c);
    for (const std::byte b : part->bytes) sum += static_cast<std::uint8_t>(b);
  }
  return sum;
}

void read(std::span<const std::byte> segment) {
  static test::HeapPinPage page;
  const auto reader = protocol::SegmentReader::open(segment);
  if (!reader) {
    FUZZ_CHECK(!reader.error().text.empty());
    return;
  }
  std::uint64_t sum = reader->epoch() + reader->time_ms() + reader->blobs_dropped() + (reader->blob_live(7) ? 1 : 0);
  for (const char* key : keys) {
    const auto found = reader->lookup(key, reader->hash(key), *page, 0);
    FUZZ_CHECK((found.outcome == protocol::LookupOutcome::hit) == (found.record != nullptr));
    if (found.record != nullptr) {
      FUZZ_CHECK(reader->key_of(found.record) == key);
      FUZZ_CHECK(page->client_lines[0].pins[found.pin].load() == reader->offset_of(found.record));
      sum += sum_of(*reader, found.record) + (reader->find_part(found.record, "b") ? 1 : 0);
      protocol::release_pin(*page, found.pin);
    }
    for (const std::uint64_t number : {std::uint64_t{9}, ~std::uint64_t{0}}) {
      const protocol::SessionGrant grant{number, 0};
      const auto in_session = reader->lookup_in_session(key, reader->hash(key), *page, 0, protocol::LineUse::exclusive, grant);
      FUZZ_CHECK((in_session.outcome == protocol::LookupOutcome::hit) == (in_session.record != nullptr));
      FUZZ_CHECK(in_session.record == nullptr || (found.record == in_session.record && reader->good(grant)));
      if (in_session.record != nullptr) protocol::release_pin(*page, in_session.pin);
    }
    for (const auto& pin : page->client_lines[0].pins) FUZZ_CHECK(pin.load() == 0);
    for (std::uint64_t offset = 0; offset < segment.size() + 128; offset += 16) {
      if (const auto* record = reader->record_at(offset, key)) sum += sum_of(*reader, record);
    }
  }
  asm volatile("" : : "r"(sum));  // what was read counts as used
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool changes = data[0] % 2 != 0;
  ++data, --size;
  test::AlignedMemory memory(changes ? 8192 : size);
  if (!changes) {
    if (size != 0) std::memcpy(memory.bytes().data(), data, size);
  } else {
    fill(memory.bytes());
    for (; size >= change_bytes; data += change_bytes, size -= change_bytes) {
      std::uint32_t where = 0;
      std::memcpy(&where, data, sizeof where);
      // Three of four fall on what the reader goes by: the header's first 192 bytes, the index, the records' headers.
      constexpr std::uint32_t regions[][2] = {{0, 192}, {4160, 128}, {4368, 512}, {0, 8192}};
      const auto& region = regions[where % 4];
      memory.bytes()[region[0] + where / 4 % region[1]] = static_cast<std::byte>(data[4]);
    }
  }
  read(memory.bytes());
  return 0;
}
