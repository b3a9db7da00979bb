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

TEST_CASE("a record of any lengths holds key, names and value at the offsets that it says, with zeroes between") {
  for (const std::size_t key_bytes : {1U, 7U, 8U, 32U, 33U, 1000U}) {
    for (const std::size_t value_bytes : {0U, 1U, 63U, 64U, 65U, 5000U}) {
      CAPTURE(key_bytes);
      CAPTURE(value_bytes);
      const std::string key(key_bytes, 'k');
      const std::vector<protocol::Part> parts{{"name", "text/plain", std::string(value_bytes, 'v')}};
      engine::RecordImage image;
      image.key = key;
      image.parts = &parts;
      image.fresh_until_ms = 17;
      image.version = 3;
      image.cost_us = 1234;
      image.function_number = 9;
      const std::size_t bytes = memory::record_bytes(image);
      CHECK(bytes % protocol::record_alignment == 0);
      test::AlignedMemory memory(bytes);                // exactly: AddressSanitizer sees what is written beyond
      std::memset(memory.bytes().data(), 0xee, bytes);  // a former record
      memory::write_record(image, memory.bytes().data());

      const std::byte* const at = memory.bytes().data();
      RecordHeader header;
      std::memcpy(&header, at, sizeof header);
      CHECK(header.record_bytes == bytes);
      CHECK(header.key_bytes == key_bytes);
      CHECK(header.fresh_until_ms == 17);
      CHECK(header.usable_until_ms == 17);
      CHECK(header.version == 3);
      CHECK(header.cost_us == 1234);
      CHECK(header.function_number == 9);
      CHECK(header.session_number == 0);
      CHECK(header.part_count == 1);
      CHECK(header.part_table_offset % 8 == 0);
      PartEntry entry;
      std::memcpy(&entry, at + header.part_table_offset, sizeof entry);
      CHECK(entry.blob == 0);
      CHECK(entry.bytes == value_bytes);
      CHECK(entry.bytes_offset % protocol::value_alignment == 0);
      CHECK(std::memcmp(at + entry.name_offset, "nametext/plain", 14) == 0);
      CHECK(std::count(at, at + bytes, std::byte{'k'}) == static_cast<std::ptrdiff_t>(key_bytes));
      CHECK(std::count(at + entry.bytes_offset, at + bytes, std::byte{'v'}) ==
            static_cast<std::ptrdiff_t>(value_bytes));
      CHECK(std::count(at, at + bytes, std::byte{0xee}) == 0);
    }
  }
}

TEST_CASE("the longest key and the largest value make a record") {
  const std::string key(limits::key_bytes_max, 'k');
  const std::vector<protocol::Part> parts{{"", "", std::string(limits::value_bytes_max, 'v')}};
  engine::RecordImage image;
  image.key = key;
  image.parts = &parts;
  const std::size_t bytes = memory::record_bytes(image);
  CHECK(bytes < limits::key_bytes_max + limits::value_bytes_max + 256);
  test::AlignedMemory memory(bytes);
  memory::write_record(image, memory.bytes().data());
}
