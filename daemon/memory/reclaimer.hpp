// Records that no reader finds any more, until their memory is wiped and free.
//
//   retire() -> waiting -> a pin scan that begins later finds no pin -> unpinned: its blobs go -> wiped and freed
//
// Invariant: a record is freed only after a scan that began after its slot was stored over and saw no pin on it. Such a
//            record stays unpinned: a reader that pins it later sees at its second slot load that the slot has changed.
//            A scan begins with the reader barrier (reader_barrier.hpp): a pin whose reader saw the slot unchanged is
//            visible from then on, however it was claimed.
// Bounds:    one call of reclaim() makes at most one scan, with one barrier, none when nothing waits for it, and wipes at most wipe_bytes_per_call (and one record more).
//            Records with blobs and those of sessions are scanned in each call, however much is still to be wiped: nobody's budget
//            for blobs, and no secret, waits for the wiping of other records.
// Ownership: borrows the arena and the pin table. Threads: the strand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "memory/arena.hpp"
#include "memory/pin_table.hpp"
#include "memory/reader_barrier.hpp"

namespace onced::memory {

class Reclaimer {
 public:
  // About a millisecond of work.
  static constexpr std::size_t wipe_bytes_per_call = 8 * 1024 * 1024;

  // `base` is the segment's start, from which offsets count. `blobs_unpinned` is told, once, the offset of each
  // record with blobs that nobody reads any more; its own memory is wiped later. Without a `barrier` all readers fence
  // themselves (no LineUse::exclusive_fenced).
  Reclaimer(std::byte* base, Arena& arena, const PinTable& pins, ReaderBarrier barrier = {},
            std::function<void(std::uint64_t)> blobs_unpinned = {})
      : base_(base), arena_(arena), pins_(pins), barrier_(std::move(barrier)), blobs_unpinned_(std::move(blobs_unpinned)) {}

  enum class Holds : std::uint8_t { bytes, blobs };
  // The record's slot has been stored over already. `blob_bytes`: what its blobs are charged. Of a session: it is looked after in each
  // call, as those with blobs are, and wiped before all others.
  void retire(std::uint64_t offset, std::size_t bytes, Holds holds = Holds::bytes, std::uint64_t blob_bytes = 0, bool of_session = false);

  // Frees what it can within the bounds; returns bytes freed. Costs nothing when nothing is retired.
  std::size_t reclaim();

  std::size_t retired_bytes() const { return retired_bytes_; }
  // What pins kept from reuse when they were last looked at, blobs with it: of one connection's page, of the page that keeps most,
  // and together. A record that several pin counts for each of them.
  struct Kept {
    engine::ConnectionId by{};
    std::uint64_t bytes = 0;
  };
  std::uint64_t kept_by(engine::ConnectionId connection) const {
    const auto found = kept_.find(connection);
    return found == kept_.end() ? 0 : found->second;
  }
  Kept kept_most() const { return kept_most_; }
  std::uint64_t kept_bytes() const { return kept_bytes_; }

  std::size_t retired_records() const { return waiting_.size() + urgent_.size() + unpinned_.size() + unpinned_of_sessions_.size(); }
  // Not wiped yet.
  std::size_t retired_of_sessions() const { return retired_of_sessions_; }

 private:
  struct Retired {
    std::uint64_t offset;
    std::size_t bytes;
    std::uint64_t blob_bytes = 0;
    std::size_t page = 0;  // the last one that pins it in the present scan, from 1; 0: none does
    bool of_session = false;
    bool holds_blobs = false;
  };
  std::size_t wipe_unpinned(std::size_t bytes_max);
  void scan();
  void move_unpinned(std::vector<Retired>& waiting);

  std::byte* base_;
  Arena& arena_;
  const PinTable& pins_;
  ReaderBarrier barrier_;
  std::function<void(std::uint64_t)> blobs_unpinned_;
  std::vector<Retired> waiting_;
  std::vector<Retired> urgent_;  // with blobs, or of sessions
  std::vector<Retired> unpinned_;
  std::vector<Retired> unpinned_of_sessions_;
  std::size_t retired_bytes_ = 0;
  std::unordered_map<engine::ConnectionId, std::uint64_t> kept_;  // by the last scan; pages that keep nothing are not in it
  Kept kept_most_;
  std::uint64_t kept_bytes_ = 0;
  std::size_t retired_of_sessions_ = 0;
};

}  // namespace onced::memory
