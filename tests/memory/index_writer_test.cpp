#include "memory/index_writer.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <map>
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
        writer(buckets, used) {
    used = bucket_count;
  }
  test::AlignedMemory memory;
  std::span<protocol::Bucket> buckets;
  std::atomic<std::uint64_t> used{0};
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

TEST_CASE("a bucket more takes from one other bucket, and nothing else changes place") {
  for (std::uint64_t used = 2; used < 600; ++used) {
    const std::uint64_t from = protocol::split_bucket(used);
    CHECK(from < used);
    for (std::uint64_t hash = 0; hash < 4096; ++hash) {
      const std::uint64_t before = protocol::bucket_of(hash, used);
      const std::uint64_t after = protocol::bucket_of(hash, used + 1);
      CHECK(before < used);
      if (after != before) {
        CHECK(before == from);
        CHECK(after == used);
      }
    }
  }
}

TEST_CASE("while the index grows every key is found in one of its two buckets, and in one slot when it has grown") {
  Index index(1024);
  index.used = 2;
  std::mt19937_64 random(2);
  std::map<std::uint64_t, protocol::KeyHash> hash_of;  // by word
  std::map<std::uint64_t, SlotNumber> slot_of;
  const auto found = [&](std::uint64_t word, const protocol::KeyHash& hash) {
    std::size_t times = 0;
    for (const std::uint64_t candidate : index.writer.candidates(hash)) times += candidate == word ? 1U : 0U;
    return times;
  };
  std::uint64_t moves = 0;
  for (std::uint64_t word = 1; word <= 3000; ++word) {
    while (index.writer.is_dense(word)) {
      const std::uint64_t used = index.writer.used();
      std::size_t moved = 0;
      index.writer.split([&](std::uint64_t moving) { return hash_of.at(moving); },
                         [&](std::uint64_t moving, SlotNumber slot) {
                           // Readers still count the old buckets: they must find it there.
                           CHECK(index.used == used);
                           CHECK(index.writer.load(slot_of.at(moving)) == moving);
                           CHECK(index.writer.load(slot) == moving);
                           slot_of[moving] = slot;
                           ++moved;
                         });
      CHECK(index.writer.used() == used + 1);
      CHECK(moved <= protocol::slots_per_bucket);
      moves += moved;
    }
    const protocol::KeyHash hash{random(), random()};
    const auto slot = index.writer.find_free(hash);
    REQUIRE(slot.has_value());
    index.writer.store(*slot, word);
    hash_of[word] = hash;
    slot_of[word] = *slot;
  }
  CHECK(moves > 0);
  CHECK(index.writer.used() > 1000);
  std::size_t taken = 0;
  for (const auto& bucket : index.buckets)
    for (const auto& one : bucket.slots) taken += one.load() != 0 ? 1U : 0U;
  CHECK(taken == 3000);
  for (const auto& [word, hash] : hash_of) {
    CHECK(found(word, hash) == 1);
    CHECK(index.writer.load(slot_of.at(word)) == word);
  }
}
