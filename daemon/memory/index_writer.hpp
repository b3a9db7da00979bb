// The daemon's side of the index: which slot a record gets, and the one store that makes it found or not found.
//
// Invariants: a key is in at most one slot, which lies in one of its two candidate buckets; every change is one seq_cst
//             store to one slot (SHM.md, "Unlinking"). The index grows by one bucket at a time (linear hashing,
//             segment.hpp): it is as large as its entries need, so that the lines and pages that hits touch are few.
//             A word that moves is stored in its new slot before readers know of the new bucket, and cleared in
//             its old one after it: there is no moment at which they cannot find it.
// Ownership:  borrows the buckets. Threads: the strand is the only writer; any number of readers beside it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <onced/protocol/segment.hpp>

namespace onced::memory {

// Counts slots through all buckets, from 0.
enum class SlotNumber : std::uint64_t {};

class IndexWriter {
 public:
  // Room for a power of two of buckets, 2 at least; `used`, in the segment's header, becomes the number in use.
  IndexWriter(std::span<protocol::Bucket> buckets, std::atomic<std::uint64_t>& used);

  // So few buckets for so many entries that one more is due.
  bool is_dense(std::uint64_t entries) const { return used() < buckets_.size() && entries * 2 > used() * 5; }
  // One bucket more. Eight words at most move: hash_of(word) gives their keys' hashes, moved(word, slot) is told where they are now.
  template <typename HashOf, typename Moved>
  void split(HashOf hash_of, Moved moved) {
    const std::uint64_t before = used();
    const std::uint64_t from = protocol::split_bucket(before);
    std::array<SlotNumber, protocol::slots_per_bucket> left;
    std::size_t moving = 0;
    for (std::size_t i = 0; i < protocol::slots_per_bucket; ++i) {
      const SlotNumber slot{from * protocol::slots_per_bucket + i};
      const std::uint64_t word = load(slot);
      if (word == 0) continue;
      const protocol::KeyHash hash = hash_of(word);
      if (protocol::first_bucket(hash, before + 1) == from || protocol::second_bucket(hash, before + 1) == from) continue;
      const SlotNumber to{before * protocol::slots_per_bucket + moving};
      store(to, word);
      moved(word, to);
      left[moving++] = slot;
    }
    // Release: pairs with SegmentReader::buckets_used(); who counts the new bucket finds what is in it.
    used_.store(before + 1, std::memory_order_release);
    for (std::size_t i = 0; i < moving; ++i) store(left[i], 0);
  }

  // A free slot for a key, or nothing when both candidate buckets are full. The first candidate while it has room to
  // spare (readers look there first), then the emptier one.
  std::optional<SlotNumber> find_free(const protocol::KeyHash& hash) const;

  // Makes `word` what readers find in this slot, in place of whatever they found before; 0 frees the slot.
  void store(SlotNumber slot, std::uint64_t word);
  std::uint64_t load(SlotNumber slot) const;

  // The words of a key's candidate buckets that are in use; at most two buckets of them.
  std::vector<std::uint64_t> candidates(const protocol::KeyHash& hash) const;

  // As many as there can be.
  std::uint64_t slot_count() const { return buckets_.size() * protocol::slots_per_bucket; }
  std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }  // its only writer reads it

  static constexpr std::uint64_t used_at_first = 64;  // a page of them

 private:
  std::array<std::uint64_t, 2> candidate_buckets(const protocol::KeyHash& hash) const;

  std::span<protocol::Bucket> buckets_;
  std::atomic<std::uint64_t>& used_;
};

}  // namespace onced::memory
