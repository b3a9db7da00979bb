#include "memory/record_writer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <onced/protocol/limits.hpp>
#include <vector>

#include "tests/memory/aligned_memory.hpp"

using namespace onced;
using protocol::PartEntry;
using protocol::RecordHeader;

namespace {

// A record where one may stand, in memory that ends with it: AddressSanitizer sees what is written beyond.
struct Written {
  explicit Written(const engine::RecordImage& image)
      : bytes(memory::record_bytes(image)), memory(protocol::record_phase + bytes), at(memory.bytes().data()) {
    std::memset(at, 0xee, protocol::record_phase + bytes);  // a former record
    at += protocol::record_phase;
    memory::write_record(image, at);
    std::memcpy(&header, at, sizeof header);
  }
  std::ptrdiff_t count(char c) const { return std::count(at, at + bytes, static_cast<std::byte>(c)); }

  std::size_t bytes;
  test::AlignedMemory memory;
  std::byte* at;
  RecordHeader header;
};

engine::RecordImage image_of(const std::string& key, const std::vector<protocol::Part>& parts) {
  engine::RecordImage image;
  image.key = key;
  image.parts = &parts;
  image.fresh_until_ms = 17;
  image.early_ms = 3;
  image.grace_ms = 5;
  image.version = 3;
  image.cost_us = 1234;
  image.function_number = 9;
  return image;
}

void check_header(const Written& written, std::size_t key_bytes, std::size_t part_count) {
  const RecordHeader& header = written.header;
  CHECK(header.record_bytes == written.bytes);
  CHECK(written.bytes % protocol::record_unit == 0);
  CHECK(header.key_bytes == key_bytes);
  CHECK(header.fresh_until_ms == 17);
  CHECK(header.early_ms == 3);
  CHECK(header.grace_ms == 5);
  CHECK(header.version == 3);
  CHECK(header.cost_us == 1234);
  CHECK(header.function_number == 9);
  CHECK(header.reserved2[0] == 0);
  CHECK(header.part_count == part_count);
  CHECK(written.count('k') == static_cast<std::ptrdiff_t>(key_bytes));
  CHECK(written.count('\xee') == 0);
}

bool aligned(const std::byte* bytes) {
  return reinterpret_cast<std::uintptr_t>(bytes) % protocol::value_alignment == 0;
}

constexpr std::size_t key_lengths[] = {1, 7, 8, 32, 33, 48, 49, 1000};
constexpr std::size_t value_lengths[] = {0, 1, 63, 64, 65, 5000};

}  // namespace

TEST_CASE("a plain record of any lengths holds key, content type and value, with zeroes between") {
  for (const std::size_t key_bytes : key_lengths) {
    for (const std::size_t value_bytes : value_lengths) {
      CAPTURE(key_bytes);
      CAPTURE(value_bytes);
      const std::string key(key_bytes, 'k');
      const std::vector<protocol::Part> parts{{"", "text/plain", std::string(value_bytes, 'v')}};
      const Written written(image_of(key, parts));
      check_header(written, key_bytes, 1);
      const RecordHeader& header = written.header;
      CHECK(header.flags == protocol::record_plain);
      CHECK(header.plain_type_bytes == 10);
      CHECK(header.plain_bytes == value_bytes);
      CHECK(std::memcmp(written.at + sizeof header + key_bytes, "text/plain", 10) == 0);
      CHECK(aligned(written.at + header.parts_offset));
      CHECK(written.count('v') == static_cast<std::ptrdiff_t>(value_bytes));
      if (value_bytes != 0) CHECK(written.at[header.parts_offset + value_bytes - 1] == std::byte{'v'});
    }
  }
}

TEST_CASE("a record with named parts holds a table, the names and each part's bytes, with zeroes between") {
  for (const std::size_t key_bytes : key_lengths) {
    for (const std::size_t value_bytes : value_lengths) {
      CAPTURE(key_bytes);
      CAPTURE(value_bytes);
      const std::string key(key_bytes, 'k');
      const std::vector<protocol::Part> parts{{"name", "text/plain", std::string(value_bytes, 'v')},
                                              {"x", "", std::string(3, 'w')},
                                              {"big", "image/png", {}, 77, 128, 1'000'000}};
      const Written written(image_of(key, parts));
      check_header(written, key_bytes, 3);
      const RecordHeader& header = written.header;
      CHECK(header.flags == 0);
      CHECK(header.plain_type_bytes == 0);
      CHECK(header.plain_bytes == 0);
      REQUIRE(header.parts_offset % alignof(PartEntry) == 0);
      PartEntry entries[3];
      std::memcpy(entries, written.at + header.parts_offset, sizeof entries);
      CHECK(entries[0].blob == 0);
      CHECK(entries[0].bytes == value_bytes);
      CHECK(entries[1].bytes == 3);
      CHECK(aligned(written.at + entries[1].bytes_offset));
      CHECK(std::memcmp(written.at + entries[1].bytes_offset, "www", 3) == 0);
      CHECK(entries[2].blob == 77);
      CHECK(entries[2].bytes_offset == 128);
      CHECK(entries[2].bytes == 1'000'000);
      CHECK(aligned(written.at + entries[0].bytes_offset));
      CHECK(std::memcmp(written.at + entries[0].name_offset, "nametext/plainxbigimage/png", 27) == 0);
      CHECK(written.count('v') == static_cast<std::ptrdiff_t>(value_bytes));
    }
  }
}

TEST_CASE("a value of 64 bytes with a key of 48 takes three cache lines, what the allocator keeps included") {
  const std::string key(48, 'k');
  const std::vector<protocol::Part> parts{{"", "", std::string(64, 'v')}};
  CHECK(memory::record_bytes(image_of(key, parts)) + protocol::record_phase == 3 * 64);
}

TEST_CASE("the longest key and the largest value make a record") {
  const std::string key(limits::key_bytes_max, 'k');
  const std::vector<protocol::Part> parts{{"", "", std::string(limits::value_bytes_max, 'v')}};
  const Written written(image_of(key, parts));
  CHECK(written.bytes < limits::key_bytes_max + limits::value_bytes_max + 256);
}
