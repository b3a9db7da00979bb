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
  explicit FakeStore(FakeBlobStore& blobs) : blobs_(blobs) {}

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

  std::optional<RecordRef> find(const std::string& key) const {
    for (const auto& [ref, record] : records)
      if (record.key == key) return ref;
    return std::nullopt;
  }
  // As a reader finds it: by the slot and the time word.
  bool visible(const std::string& key) const {
    const auto found = find(key);
    return found && time_ms < records.at(*found).fresh_until_ms;
  }

  Placement place(const RecordImage& image, std::optional<RecordRef> replaces) override {
    ++place_calls;
    if (too_large) return {Outcome::never, {}, {}};
    if (!replaces && full_buckets.contains(std::string(image.key))) {
      Placement full{Outcome::bucket_full, {}, {}};
      for (const auto& [ref, record] : records) full.candidates.push_back(ref);
      return full;
    }
    if (records.size() + (pinned ? retired : 0) >= records_max) return {Outcome::arena_full, {}, {}};
    const RecordRef ref{last_ += 64};
    for (const BlobId blob : blobs_of(*image.parts)) blobs_.hold(blob);
    records[ref] = Record{.key = std::string(image.key), .parts = *image.parts, .version = image.version,
                           .fresh_until_ms = image.fresh_until_ms, .early_ms = image.early_ms, .grace_ms = image.grace_ms,
                           .cost_us = image.cost_us, .of_session = image.of_session};
    if (replaces) unlink(*replaces);
    return {Outcome::placed, ref, {}};
  }
  void set_life(RecordRef record, std::uint64_t fresh_until_ms, std::uint32_t grace_ms) override {
    records.at(record).fresh_until_ms = fresh_until_ms;
    records.at(record).grace_ms = grace_ms;
  }
  void set_refreshing(RecordRef record, bool refreshing) override { records.at(record).refreshing = refreshing; }
  void set_session(std::uint64_t number, std::uint64_t generation) override { generations[number % places] = generation; }
  std::size_t session_places() const override { return places; }
  bool take_session_use(std::uint64_t number) override {
    ++session_looks;
    return used_sessions.erase(number) != 0;
  }
  void unlink(RecordRef record) override {
    retired_of_sessions_ += records.at(record).of_session ? 1U : 0U;
    if (const auto blobs = blobs_of(records.at(record).parts); !blobs.empty()) retired_blobs_.push_back(blobs);
    records.erase(record);
    ++retired;
    full_buckets.clear();
  }
  std::size_t reclaim() override {
    ++reclaims;
    if (pinned) return 0;
    for (const auto& blobs : std::exchange(retired_blobs_, {}))
      for (const BlobId blob : blobs) blobs_.release(blob);
    retired_of_sessions_ = 0;
    return std::exchange(retired, 0);
  }
  std::optional<std::uint32_t> grant_pin(ConnectionId connection, RecordRef) override {
    if (!mapped.contains(connection)) return std::nullopt;
    return ++last_pin_;
  }
  std::uint64_t pinned_bytes(ConnectionId connection) const override {
    const auto found = kept.find(connection);
    return found == kept.end() ? 0 : found->second;
  }
  std::vector<std::uint32_t> pins(std::span<const RecordRef> asked) const override {
    ++pin_scans;
    std::vector<std::uint32_t> counts;
    for (const RecordRef record : asked) counts.push_back(pin_counts.contains(record) ? pin_counts.at(record) : 0);
    return counts;
  }
  std::vector<BlobId> blobs_in(RecordRef record) const override {
    const std::set<BlobId> blobs = blobs_of(records.at(record).parts);
    return {blobs.begin(), blobs.end()};
  }
  std::vector<protocol::Part> read(RecordRef record) const override { return records.at(record).parts; }
  void harvest_hits(const std::function<void(RecordRef)>& seen) override {
    ++harvests;
    for (const RecordRef ref : std::exchange(hits, {})) seen(ref);
  }
  std::vector<HitTotals> hit_totals() const override { return totals; }
  Usage usage() const override {
    return {.arena_bytes = records_max * record_bytes, .used_bytes = records.size(), .retired_with_blobs = retired_blobs_.size(),
            .retired_of_sessions = retired_of_sessions_};
  }
  void set_time_ms(std::uint64_t now_ms) override { time_ms = now_ms; }

 private:
  static std::set<BlobId> blobs_of(const std::vector<protocol::Part>& parts) {
    std::set<BlobId> blobs;
    for (const protocol::Part& part : parts)
      if (part.blob != 0) blobs.insert(BlobId{part.blob});
    return blobs;
  }

  FakeBlobStore& blobs_;
  std::vector<std::set<BlobId>> retired_blobs_;  // by record
  std::size_t retired_of_sessions_ = 0;
  std::uint64_t last_ = 0;
  std::uint32_t last_pin_ = 511;
};

}  // namespace onced::engine
