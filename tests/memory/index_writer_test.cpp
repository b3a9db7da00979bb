#include "memory/index_writer.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

#include "tests/memory/aligned_memory.hpp"

using namespace onced;
using memory::IndexWriter;
using memory::SlotNumber;

namespace {
struct Index {
  explicit Index(std::size_t bucket_count)
      : memory(bucket_count * sizeof(protocol::Bucket)),
        buckets(reinterpret_cast<protocol::Bucket*>(memory.bytes().data()), bucket_count),
        writer(buckets) {}
  test::AlignedMemory memory;
  std::span<protocol::Bucket> buckets;
  IndexWriter writer;
};
}  // namespace

TEST_CASE("a key gets a slot in one of its two buckets, until both are full") {
  Index index(16);
  const protocol::KeyHash hash{3, 7};
  std::set<std::uint64_t> slots;
  for (std::uint64_t i = 0; i < 16; ++i) {
    const auto slot = index.writer.find_free(hash);
    REQUIRE(slot.has_value());
    const auto bucket = static_cast<std::uint64_t>(*slot) / 8;
    CHECK((bucket == 3 || bucket == 7));
    CHECK(slots.insert(static_cast<std::uint64_t>(*slot)).second);
    index.writer.store(*slot, 1000 + i);
    CHECK(index.writer.load(*slot) == 1000 + i);
    CHECK(index.buckets[bucket].slots[static_cast<std::uint64_t>(*slot) % 8].load() == 1000 + i);
  }
  CHECK(!index.writer.find_free(hash).has_value());
  CHECK(index.writer.candidates(hash).size() == 16);
  index.writer.store(SlotNumber{3 * 8 + 5}, 0);
  CHECK(index.writer.find_free(hash) == SlotNumber{3 * 8 + 5});
}

TEST_CASE("a key whose two buckets are the same one has eight slots and eight candidates") {
  Index index(4);
  const protocol::KeyHash hash{2, 2};
  for (std::uint64_t i = 0; i < 8; ++i) index.writer.store(*index.writer.find_free(hash), i + 1);
  CHECK(!index.writer.find_free(hash).has_value());
  CHECK(index.writer.candidates(hash).size() == 8);
}

TEST_CASE("at four fifths full, less than one key in a thousand finds both buckets full") {
  Index index(4096);
  const std::uint64_t keys = index.writer.slot_count() * 4 / 5;
  std::mt19937_64 random(1);
  std::uint64_t refused = 0;
  for (std::uint64_t i = 0; i < keys; ++i) {
    const auto slot = index.writer.find_free({random(), random()});
    if (slot)
      index.writer.store(*slot, i + 1);
    else
      ++refused;
  }
  MESSAGE(refused << " of " << keys << " keys found both buckets full");
  CHECK(refused * 1000 < keys);
}
