// The bytes of a small store's files, as tests/golden/disk-store.hex has them and DISK.md explains them.
//
// Each file's name, then its lines of 32 bytes that are not all zero, each with its offset. ONCED_WRITE_GOLDEN=1 writes it anew: only
// together with a new format version.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "session_workload.hpp"

namespace onced::testing {
namespace {

const std::string golden = std::string(ONCED_GOLDEN_DIRECTORY) + "/disk-store.hex";
constexpr std::size_t line_bytes = 32;

std::string hex_of(const Image& image) {
  std::string text;
  for (const auto& [path, node] : image) {
    if (node.directory || node.content.empty()) continue;
    text += path + " (" + std::to_string(node.content.size()) + " bytes)\n";
    for (std::size_t at = 0; at < node.content.size(); at += line_bytes) {
      const std::string_view line = std::string_view(node.content).substr(at, line_bytes);
      if (line.find_first_not_of('\0') == std::string_view::npos) continue;
      char number[24];
      std::snprintf(number, sizeof(number), "%06zx", at);
      text += number;
      for (std::size_t i = 0; i < line.size(); ++i) {
        std::snprintf(number, sizeof(number), i % 8 == 0 ? "  %02x" : " %02x", static_cast<unsigned char>(line[i]));
        text += number;
      }
      text += '\n';
    }
  }
  return text;
}

// Everything that the format knows: a value with a part here and one in a file, a tombstone, a fence, marks, a complete segment with its index,
// a session and a value of it, an audience.
Image example() {
  const auto disk = std::make_shared<MemoryDisk>();
  disk::StoreOptions options = small_store();
  options.segment_bytes = 4 << 10;
  options.session_of = session_of_key;
  options.body.compress = false;  // what zstd writes is its own affair
  auto store = open_store(disk, options, 1'000);
  REQUIRE(store.ok());
  disk::ValueInput value;
  value.key = "a key";
  value.facts = {.version = 3, .cost_us = 250'000, .stored_ms = 1'000, .fresh_until_ms = 61'000, .early_ms = 5'000, .grace_ms = 10'000, .merit = 1.5F};
  value.labels = {0x1111};
  value.attributes = "attributes";
  const std::string large(310, 'L');
  value.parts = {{"text", "text/plain", disk::bytes_of(std::string_view("hello")), nullptr},
                 {"large", "", disk::bytes_of(std::string_view(large)), nullptr}};
  const disk::Store::Operation first[] = {disk::Store::Put{value}, disk::Store::Drop{"another key"}};
  for (const auto outcome : (*store)->write(first, true, 2'000)) REQUIRE(outcome == disk::Store::Outcome::done);
  const disk::Store::Operation second[] = {disk::Store::DropLabel{0x2222}};
  REQUIRE((*store)->write(second, true, 3'000)[0] == disk::Store::Outcome::done);
  // Enough to complete the segment.
  for (int i = 0; i < 12; ++i) {
    disk::ValueInput more;
    more.key = "key " + std::to_string(i);
    const std::string filler(250, static_cast<char>('a' + i));
    more.parts = {{"", "", disk::bytes_of(std::string_view(filler)), nullptr}};
    const disk::Store::Operation put[] = {disk::Store::Put{more}};
    REQUIRE((*store)->write(put, i == 11, 4'000)[0] == disk::Store::Outcome::done);
  }
  REQUIRE((*store)->status().segments == 2);
  disk::ValueInput sealed;
  sealed.key = session_key(65'537, 1);
  sealed.parts = {{"", "text/plain", disk::bytes_of(std::string_view("only for this user")), nullptr}};
  const disk::Store::Operation third[] = {disk::Store::KeepSession{session_facts(65'537, 3, 5'000)}, disk::Store::Put{sealed}};
  for (const auto outcome : (*store)->write(third, true, 5'000)) REQUIRE(outcome == disk::Store::Outcome::done);
  const disk::Store::Operation fourth[] = {disk::Store::KeepAudience{"whoever comes"}};
  REQUIRE((*store)->write(fourth, true, 6'000)[0] == disk::Store::Outcome::done);
  return disk->image();
}

}  // namespace

TEST_CASE("a store's files are the bytes that DISK.md explains") {
  const std::string text = hex_of(example());
  if (std::getenv("ONCED_WRITE_GOLDEN") != nullptr) std::ofstream(golden, std::ios::binary) << text;
  std::ifstream in(golden, std::ios::binary);
  const std::string wanted(std::istreambuf_iterator<char>(in), {});
  REQUIRE_FALSE(wanted.empty());
  CHECK(text == wanted);
}

}  // namespace onced::testing
