// A record store of maps: its room, its full buckets and its readers' hits are what a test says they are.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/record_store.hpp"
#include "fake_blob_store.hpp"

namespace onced::engine {

class FakeStore final : public RecordStore {
 public:
  explicit FakeStore(FakeBlobStore& blobs);
  ~FakeStore() override;

  // What a test sets --------------------------------------------------------------------------------------------------
  std::size_t records_max = 1000;         // more: arena_full
  std::uint64_t record_bytes = 4096;      // of the arena, for each of them
  std::set<std::string> full_buckets;     // keys whose buckets are full until a value has been evicted
  bool pinned = false;                    // retired records keep their room and their blobs
  bool too_large = false;
  std::set<ConnectionId> mapped;          // connections with a pin page
  std::map<ConnectionId, std::uint64_t> kept;  // bytes of retired records that connections pin
  std::vector<RecordRef> hits;            // reported by the next harvest
  std::vector<HitTotals> totals;
  std::map<RecordRef, std::uint32_t> pin_counts;
  std::set<std::uint64_t> used_sessions;  // numbers that readers have marked
  std::size_t places = 64;                // of sessions

  // What a test looks at ----------------------------------------------------------------------------------------------
  struct Record {
    std::string key;
    std::vector<protocol::Part> parts;
    std::uint64_t version = 0;
    std::uint64_t fresh_until_ms = 0;
    std::uint64_t early_ms = 0;
    std::uint64_t grace_ms = 0;
    bool refreshing = false;
    std::uint64_t cost_us = 0;
    bool of_session = false;
  };
  std::map<RecordRef, Record> records;
  std::map<std::uint64_t, std::uint64_t> generations;  // by the place of a session
  std::size_t session_looks = 0;
  std::uint64_t time_ms = 0;
  std::size_t retired = 0;
  int harvests = 0;
  int reclaims = 0;
  mutable int pin_scans = 0;  // made to report or to choose
  int place_calls = 0;        // each of them one scan of pins at most

  std::optional<RecordRef> find(const std::string& key) const;
  // As a reader finds it: by the slot and the time word.
  bool visible(const std::string& key) const;

  Placement place(const RecordImage& image, std::optional<RecordRef> replaces) override;
  void set_life(RecordRef record, std::uint64_t fresh_until_ms, std::uint32_t grace_ms) override;
  void set_refreshing(RecordRef record, bool refreshing) override;
  void set_session(std::uint64_t number, std::uint64_t generation) override;
  std::size_t session_places() const override;
  bool take_session_use(std::uint64_t number) override;
  void unlink(RecordRef record) override;
  std::size_t reclaim() override;
  std::optional<std::uint32_t> grant_pin(ConnectionId connection, RecordRef) override;
  std::uint64_t pinned_bytes(ConnectionId connection) const override;
  std::vector<std::uint32_t> pins(std::span<const RecordRef> asked) const override;
  std::vector<BlobId> blobs_in(RecordRef record) const override;
  std::vector<protocol::Part> read(RecordRef record) const override;
  void harvest_hits(const std::function<void(RecordRef)>& seen) override;
  std::vector<HitTotals> hit_totals() const override;
  Usage usage() const override;
  void set_time_ms(std::uint64_t now_ms) override;

 private:
  static std::set<BlobId> blobs_of(const std::vector<protocol::Part>& parts);

  FakeBlobStore& blobs_;
  std::vector<std::set<BlobId>> retired_blobs_;  // by record
  std::size_t retired_of_sessions_ = 0;
  std::uint64_t last_ = 0;
  std::uint32_t last_pin_ = 511;
};

}  // namespace onced::engine
