// Values in a segment: the engine's RecordStore over a span of bytes that clients map read-only.
//
// Ownership: borrows the segment and the pin pages, which outlive it. What it decides by (size and slot of every
// record)
//            lies on the daemon's heap, keyed by offset: nothing that a client can write is trusted.
// Threads:   the strand; readers in any process beside it, by the rules of SHM.md.
// Invariant: every live record is named by exactly one slot, and that slot by records_; a retired one by none.
// Errors:    full and busy are outcomes; a RecordRef that is not live is a defect of the caller (asserted).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include <onced/protocol/pin_page.hpp>
#include <onced/protocol/result.hpp>
#include <onced/protocol/segment.hpp>
#include <onced/protocol/segment_reader.hpp>

#include "engine/record_store.hpp"
#include "memory/arena.hpp"
#include "memory/index_writer.hpp"
#include "memory/memfd_blob_store.hpp"
#include "memory/pin_table.hpp"
#include "memory/reader_barrier.hpp"
#include "memory/reclaimer.hpp"
#include "memory/segment_layout.hpp"

namespace onced::memory {

class SegmentStore final : public engine::RecordStore {
 public:
  // Formats zeroed memory, aligned to a cache line. The budget is the span's size. `hash_seed` and `epoch` are random,
  // drawn anew at every start. With a `barrier` the header says that readers may leave the fence to it.
  static Result<std::unique_ptr<SegmentStore>> create(std::span<std::byte> segment, std::uint64_t hash_seed,
                                                      std::uint64_t epoch, BlobOptions blobs = {}, ReaderBarrier barrier = {});
  SegmentStore(const SegmentStore&) = delete;
  SegmentStore& operator=(const SegmentStore&) = delete;

  // The connection's pins count from now on, until remove_page(): when its client end is closed in every process. Call
  // add_page() before the client gets the page.
  void add_page(engine::ConnectionId connection, protocol::PinPage& page) { pins_.add(connection, page); }
  void remove_page(engine::ConnectionId connection) { pins_.remove(connection, session_places()); }

  // For the LifeKeeper.
  std::atomic<std::uint32_t>& life_word() { return header_.life; }
  MemfdBlobStore& blobs() { return blobs_; }
  // What clients must map.
  std::span<const std::byte> segment() const { return segment_; }

  Placement place(const engine::RecordImage& image, std::optional<engine::RecordRef> replaces) override;
  void unlink(engine::RecordRef record) override;
  void set_life(engine::RecordRef record, std::uint64_t fresh_until_ms, std::uint32_t grace_ms) override;
  void set_refreshing(engine::RecordRef record, bool refreshing) override;
  void set_session(std::uint64_t number, std::uint64_t generation) override;
  std::size_t session_places() const override { return sessions_.size(); }
  bool take_session_use(std::uint64_t number) override { return pins_.take_session_use(number % sessions_.size()); }
  // Bounded (reclaimer.hpp): call again while it returns more than 0 to free everything.
  std::size_t reclaim() override;
  std::optional<std::uint32_t> grant_pin(engine::ConnectionId connection, engine::RecordRef record) override;
  std::uint64_t pinned_bytes(engine::ConnectionId connection) const override { return reclaimer_.kept_by(connection); }
  // Without the barrier: for reports and for choosing whom to evict, not to decide that memory is free.
  std::vector<std::uint32_t> pins(std::span<const engine::RecordRef> records) const override;
  std::vector<engine::BlobId> blobs_in(engine::RecordRef record) const override;
  std::vector<protocol::Part> read(engine::RecordRef record) const override;
  // Bounded: PinTable::harvest_pages_per_call pages per call. `seen` must not change the store.
  void harvest_hits(const std::function<void(engine::RecordRef)>& seen) override;
  std::vector<HitTotals> hit_totals() const override;
  Usage usage() const override;
  void set_time_ms(std::uint64_t time_ms) override;

 private:
  // Two for each new record: the index grows faster than its entries, and no step does much of it.
  static constexpr int splits_per_place_max = 2;

  struct Live {
    std::size_t bytes;
    SlotNumber slot;
    bool of_session = false;
  };
  SegmentStore(std::span<std::byte> segment, protocol::SegmentHeader& header, Arena arena,
               protocol::SegmentReader reader, BlobOptions blobs, ReaderBarrier barrier);

  const protocol::RecordHeader* header_of(std::uint64_t offset) const;
  bool holds_key(const protocol::KeyHash& hash, std::string_view key) const;
  void split_index();
  std::byte* allocate(std::size_t bytes);
  const Live& live(engine::RecordRef record) const;
  void retire(engine::RecordRef record);
  void take_blobs(std::uint64_t offset, const std::vector<protocol::Part>& parts);
  void give_blobs_back(std::uint64_t offset);

  std::span<std::byte> segment_;
  protocol::SegmentHeader& header_;
  std::span<protocol::SessionEntry> sessions_;
  Arena arena_;
  IndexWriter index_;
  MemfdBlobStore blobs_;
  PinTable pins_;
  Reclaimer reclaimer_;
  protocol::SegmentReader reader_;
  std::unordered_map<std::uint64_t, Live> records_;  // by offset
  std::unordered_map<std::uint64_t, std::vector<engine::BlobId>> record_blobs_;  // by offset; live, retired and pinned or not yet scanned
  std::uint64_t live_bytes_ = 0;
  std::uint64_t retired_with_blobs_ = 0;
};

}  // namespace onced::memory
