// The daemon's side of the index: which slot a record gets, and the one store that makes it found or not found.
//
// Invariants: a key is in at most one slot, which lies in one of its two candidate buckets; nothing is ever moved;
// every
//             change is one seq_cst store to one slot (SHM.md, "Unlinking").
// Ownership:  borrows the buckets. Threads: the strand is the only writer; any number of readers beside it.
#pragma once

#include <array>
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
  // The number of buckets is a power of two.
  explicit IndexWriter(std::span<protocol::Bucket> buckets);

  // A free slot for a key, or nothing when both candidate buckets are full. The first candidate while it has room to
  // spare (readers look there first), then the emptier one.
  std::optional<SlotNumber> find_free(const protocol::KeyHash& hash) const;

  // Makes `word` what readers find in this slot, in place of whatever they found before; 0 frees the slot.
  void store(SlotNumber slot, std::uint64_t word);
  std::uint64_t load(SlotNumber slot) const;

  // The words of a key's candidate buckets that are in use; at most two buckets of them.
  std::vector<std::uint64_t> candidates(const protocol::KeyHash& hash) const;

  std::uint64_t slot_count() const { return buckets_.size() * protocol::slots_per_bucket; }

 private:
  std::array<std::uint64_t, 2> candidate_buckets(const protocol::KeyHash& hash) const;

  std::span<protocol::Bucket> buckets_;
};

}  // namespace onced::memory
