#include "memory/arena.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "tests/memory/aligned_memory.hpp"

using namespace onced;
using memory::Arena;

TEST_CASE("pieces stand at one place in their cache lines, inside the span, and do not overlap") {
  test::AlignedMemory memory(256 * 1024);
  auto arena = Arena::create(memory.bytes());
  REQUIRE(arena.ok());
  const unsigned seed = 4711;
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::map<std::byte*, std::size_t> pieces;
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 2 == 0) {
      const std::size_t bytes = 1 + random() % 6400;
      std::byte* const piece = arena->allocate(bytes);
      if (piece == nullptr) continue;
      REQUIRE((piece - memory.bytes().data()) % 64 == protocol::record_phase);
      REQUIRE(piece >= memory.bytes().data());
      REQUIRE(piece + bytes <= memory.bytes().data() + memory.bytes().size());
      const auto next = pieces.lower_bound(piece);
      if (next != pieces.end()) REQUIRE(piece + bytes <= next->first);
      if (next != pieces.begin()) REQUIRE(std::prev(next)->first + std::prev(next)->second <= piece);
      pieces.emplace(piece, bytes);
    } else if (!pieces.empty()) {
      auto victim = pieces.begin();
      std::advance(victim, random() % pieces.size());
      arena->wipe_and_free(victim->first, victim->second);
      pieces.erase(victim);
    }
  }
  for (const auto& [piece, bytes] : pieces) arena->wipe_and_free(piece, bytes);
  CHECK(arena->allocate(arena->largest_piece_bytes()) != nullptr);
}

TEST_CASE("a full arena gives nothing, and a hole of the right size is used again") {
  test::AlignedMemory memory(64 * 1024);
  auto arena = Arena::create(memory.bytes());
  std::vector<std::byte*> pieces;
  while (std::byte* const piece = arena->allocate(1024)) pieces.push_back(piece);
  CHECK(pieces.size() > 50);
  arena->wipe_and_free(pieces[20], 1024);
  CHECK(arena->allocate(1024) == pieces[20]);
  CHECK(arena->allocate(1024) == nullptr);
}

TEST_CASE("the largest piece fits once, and nothing larger ever") {
  test::AlignedMemory memory(64 * 1024);
  auto arena = Arena::create(memory.bytes());
  CHECK(arena->largest_piece_bytes() > 60 * 1024);
  CHECK(arena->allocate(arena->largest_piece_bytes() + 64) == nullptr);
  CHECK(arena->allocate(arena->largest_piece_bytes()) != nullptr);
  CHECK(arena->allocate(64) == nullptr);
}

TEST_CASE("freed bytes are wiped") {
  test::AlignedMemory memory(64 * 1024);
  auto arena = Arena::create(memory.bytes());
  std::byte* const piece = arena->allocate(4096);
  std::fill_n(piece, 4096, std::byte{0xa5});
  arena->wipe_and_free(piece, 4096);
  CHECK(std::count(memory.bytes().begin(), memory.bytes().end(), std::byte{0xa5}) < 16);
}

TEST_CASE("a span without room for a record is refused") {
  test::AlignedMemory memory(4096);
  CHECK(!Arena::create(memory.bytes().first(0)).ok());
  CHECK(!Arena::create(memory.bytes().first(128)).ok());
  CHECK(!Arena::create(memory.bytes().subspan(8)).ok());
}
