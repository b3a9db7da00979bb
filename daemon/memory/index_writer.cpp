#include "memory/index_writer.hpp"

#include <algorithm>
#include <bit>

#include <onced/protocol/result.hpp>

namespace onced::memory {

using protocol::slots_per_bucket;

namespace {

// The writer reads its own stores: relaxed everywhere in this file but in store().
struct Room {
  std::size_t free = 0;
  std::size_t first_free = slots_per_bucket;
};

Room room_in(const protocol::Bucket& bucket) {
  Room room;
  for (std::size_t i = slots_per_bucket; i-- > 0;) {
    if (bucket.slots[i].load(std::memory_order_relaxed) != 0) continue;
    ++room.free;
    room.first_free = i;
  }
  return room;
}

// With so many free slots the first candidate is taken without a look at the second: most hits then end in their first
// bucket, and at four fifths full still less than 0.1 % of keys find both full (index_writer_test.cpp measures it).
constexpr std::size_t room_to_spare = 4;

}  // namespace

IndexWriter::IndexWriter(std::span<protocol::Bucket> buckets, std::atomic<std::uint64_t>& used) : buckets_(buckets), used_(used) {
  ONCED_ASSERT(std::has_single_bit(buckets.size()) && buckets.size() >= 2);
  used_.store(std::min<std::uint64_t>(buckets.size(), used_at_first), std::memory_order_relaxed);  // nobody reads it yet
}

std::array<std::uint64_t, 2> IndexWriter::candidate_buckets(const protocol::KeyHash& hash) const {
  return {protocol::first_bucket(hash, used()), protocol::second_bucket(hash, used())};
}

std::optional<SlotNumber> IndexWriter::find_free(const protocol::KeyHash& hash) const {
  const auto [first, second] = candidate_buckets(hash);
  const Room first_room = room_in(buckets_[first]);
  if (first_room.free < room_to_spare) {
    const Room second_room = room_in(buckets_[second]);
    if (second_room.free > first_room.free) return SlotNumber{second * slots_per_bucket + second_room.first_free};
  }
  if (first_room.free == 0) return std::nullopt;
  return SlotNumber{first * slots_per_bucket + first_room.first_free};
}

void IndexWriter::store(SlotNumber slot, std::uint64_t word) {
  const auto number = static_cast<std::uint64_t>(slot);
  // Seq_cst: stands before the next pin scan in the one order of all seq_cst operations; pairs with the second slot
  // load in SegmentReader::probe(). Release: the record's bytes before its word.
  buckets_[number / slots_per_bucket].slots[number % slots_per_bucket].store(word, std::memory_order_seq_cst);
}

std::uint64_t IndexWriter::load(SlotNumber slot) const {
  const auto number = static_cast<std::uint64_t>(slot);
  return buckets_[number / slots_per_bucket].slots[number % slots_per_bucket].load(std::memory_order_relaxed);
}

std::vector<std::uint64_t> IndexWriter::candidates(const protocol::KeyHash& hash) const {
  std::vector<std::uint64_t> words;
  const auto [first, second] = candidate_buckets(hash);
  const auto collect = [&](const protocol::Bucket& bucket) {
    for (const auto& slot : bucket.slots) {
      if (const std::uint64_t word = slot.load(std::memory_order_relaxed); word != 0) words.push_back(word);
    }
  };
  collect(buckets_[first]);
  if (second != first) collect(buckets_[second]);
  return words;
}

}  // namespace onced::memory
