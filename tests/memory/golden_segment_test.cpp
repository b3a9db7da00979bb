// The bytes of a small segment, as tests/golden/segment.hex has them and SHM.md explains them.
//
// The file holds the lines of 32 bytes that are not all zero, each with its offset. The arena's own book-keeping is not
// part of the layout (it differs between versions of the allocator), so the records stand at fixed offsets here.
// ONCED_WRITE_GOLDEN=1 writes the file anew: only together with a new layout version.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <onced/protocol/segment_reader.hpp>

#include "memory/index_writer.hpp"
#include "memory/record_writer.hpp"
#include "memory/segment_layout.hpp"
#include "tests/memory/aligned_memory.hpp"

using namespace onced;

namespace {

const std::string path = std::string(ONCED_GOLDEN_DIRECTORY) + "/segment.hex";
constexpr std::size_t line_bytes = 32;
constexpr std::uint64_t seed = 0x0123'4567'89ab'cdefULL;
constexpr std::uint64_t epoch = 0xfedc'ba98'7654'3210ULL;

struct Sample {
  std::string key;
  protocol::Part part;
  std::uint64_t fresh_until_ms;
  std::uint64_t version;
  std::uint64_t cost_us;
  std::uint32_t function_number;
  std::uint32_t early_ms = 0;
  std::uint32_t grace_ms = 0;
};

// ["f", "", [1]] and ["g", "v2", ["x"]] with no session, as canonical MessagePack.
const Sample samples[] = {
    {std::string("\x94\xc0\xa1"
                 "f\xa0\x91\x01",
                 7),
     {"", "text/plain", "hello"},
     protocol::never_expires,
     1,
     250'000,
     0,
     0,
     0},
    {std::string("\x94\xc0\xa1"
                 "g\xa2"
                 "v2\x91\xa1x",
                 10),
     {"", "", std::string(70, '.')},
     60'000,
     2,
     1'000,
     1,
     14,
     30'000},
    // ["f", "", [1]] of session 69.
    {std::string("\x94\x45\xa1"
                 "f\xa0\x91\x01",
                 7),
     {"", "", "mine"},
     protocol::never_expires,
     3,
     250'000,
     0},
};
constexpr protocol::SessionGrant golden_grant{69, 12};

void fill(std::span<std::byte> bytes) {
  const auto layout = memory::layout_for(bytes.size());
  auto& header = memory::format_segment(bytes, *layout, seed, epoch);
  header.life = 4711;
  header.time_ms = 12'345;
  auto* const sessions = reinterpret_cast<protocol::SessionEntry*>(bytes.data() + layout->sessions_offset);
  sessions[golden_grant.number % layout->sessions_count].generation = golden_grant.generation;
  memory::IndexWriter index(
      {reinterpret_cast<protocol::Bucket*>(bytes.data() + layout->index_offset), layout->bucket_count}, header.buckets_used);
  std::uint64_t offset = layout->arena_offset + 1024 + protocol::record_phase;
  for (const Sample& sample : samples) {
    const std::vector<protocol::Part> parts{sample.part};
    engine::RecordImage image{.key = sample.key, .parts = &parts, .fresh_until_ms = sample.fresh_until_ms,
                              .early_ms = sample.early_ms, .grace_ms = sample.grace_ms,
                              .version = sample.version, .cost_us = sample.cost_us,
                              .function_number = sample.function_number};
    memory::write_record(image, bytes.data() + offset);
    const auto hash = protocol::hash_key(sample.key, seed);
    index.store(*index.find_free(hash), protocol::make_slot(protocol::tag_of(hash), offset));
    offset = (offset + memory::record_bytes(image) + 127) / 64 * 64 + protocol::record_phase;
  }
}

std::string dump(std::span<const std::byte> bytes) {
  std::string text;
  for (std::size_t offset = 0; offset < bytes.size(); offset += line_bytes) {
    char digits[32];
    std::string line;
    bool zero = true;
    for (std::size_t i = 0; i < line_bytes; ++i) {
      zero = zero && bytes[offset + i] == std::byte{0};
      std::snprintf(digits, sizeof digits, i % 8 == 0 ? " %02x" : "%02x", static_cast<unsigned>(bytes[offset + i]));
      line += digits;
    }
    std::snprintf(digits, sizeof digits, "%06zx:", offset);
    if (!zero) text += digits + line + "\n";
  }
  return text;
}

std::string read_golden() {
  std::ifstream file(path);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

}  // namespace

TEST_CASE("the writer's bytes are the golden segment's, every one") {
  test::AlignedMemory memory(memory::segment_bytes_min);
  fill(memory.bytes());
  if (std::getenv("ONCED_WRITE_GOLDEN") != nullptr) std::ofstream(path) << dump(memory.bytes());
  CHECK(dump(memory.bytes()) == read_golden());
}

TEST_CASE("the reader finds all values in the golden segment") {
  test::AlignedMemory memory(memory::segment_bytes_min);
  std::istringstream lines(read_golden());
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(line.find(':') + 1));
    std::size_t offset = std::stoul(line, nullptr, 16);
    for (std::string word; words >> word;) {
      for (std::size_t i = 0; i < word.size(); i += 2) {
        memory.bytes()[offset++] = static_cast<std::byte>(std::stoul(word.substr(i, 2), nullptr, 16));
      }
    }
  }
  const auto reader = protocol::SegmentReader::open(memory.bytes());
  REQUIRE(reader.ok());
  CHECK(reader->epoch() == epoch);
  CHECK(reader->alive());
  test::HeapPinPage page;
  for (const Sample& sample : samples) {
    const auto found = sample.version == 3 ? reader->lookup_in_session(sample.key, reader->hash(sample.key), *page, 0, protocol::LineUse::exclusive, golden_grant)
                                           : reader->lookup(sample.key, reader->hash(sample.key), *page, 0);
    REQUIRE(found.outcome == protocol::LookupOutcome::hit);
    CHECK(found.record->version == sample.version);
    CHECK(found.record->cost_us == sample.cost_us);
    const auto part = reader->part(found.record, 0);
    REQUIRE(part.has_value());
    CHECK(part->content_type == sample.part.content_type);
    CHECK(std::string(reinterpret_cast<const char*>(part->bytes.data()), part->bytes.size()) == sample.part.bytes);
  }
}
