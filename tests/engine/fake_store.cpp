#include "fake_store.hpp"

namespace onced::engine {

FakeStore::FakeStore(FakeBlobStore& blobs) : blobs_(blobs) {}

FakeStore::~FakeStore() = default;

std::optional<RecordRef> FakeStore::find(const std::string& key) const {
  for (const auto& [ref, record] : records)
    if (record.key == key) return ref;
  return std::nullopt;
}

bool FakeStore::visible(const std::string& key) const {
  const auto found = find(key);
  return found && time_ms < records.at(*found).fresh_until_ms;
}

FakeStore::Placement FakeStore::place(const RecordImage& image, std::optional<RecordRef> replaces) {
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

void FakeStore::set_life(RecordRef record, std::uint64_t fresh_until_ms, std::uint32_t grace_ms) {
  records.at(record).fresh_until_ms = fresh_until_ms;
  records.at(record).grace_ms = grace_ms;
}

void FakeStore::set_refreshing(RecordRef record, bool refreshing) { records.at(record).refreshing = refreshing; }

void FakeStore::set_session(std::uint64_t number, std::uint64_t generation) { generations[number % places] = generation; }

std::size_t FakeStore::session_places() const { return places; }

bool FakeStore::take_session_use(std::uint64_t number) {
  ++session_looks;
  return used_sessions.erase(number) != 0;
}

void FakeStore::unlink(RecordRef record) {
  retired_of_sessions_ += records.at(record).of_session ? 1U : 0U;
  if (const auto blobs = blobs_of(records.at(record).parts); !blobs.empty()) retired_blobs_.push_back(blobs);
  records.erase(record);
  ++retired;
  full_buckets.clear();
}

std::size_t FakeStore::reclaim() {
  ++reclaims;
  if (pinned) return 0;
  for (const auto& blobs : std::exchange(retired_blobs_, {}))
    for (const BlobId blob : blobs) blobs_.release(blob);
  retired_of_sessions_ = 0;
  return std::exchange(retired, 0);
}

std::optional<std::uint32_t> FakeStore::grant_pin(ConnectionId connection, RecordRef) {
  if (!mapped.contains(connection)) return std::nullopt;
  return ++last_pin_;
}

std::uint64_t FakeStore::pinned_bytes(ConnectionId connection) const {
  const auto found = kept.find(connection);
  return found == kept.end() ? 0 : found->second;
}

std::vector<std::uint32_t> FakeStore::pins(std::span<const RecordRef> asked) const {
  ++pin_scans;
  std::vector<std::uint32_t> counts;
  for (const RecordRef record : asked) counts.push_back(pin_counts.contains(record) ? pin_counts.at(record) : 0);
  return counts;
}

std::vector<BlobId> FakeStore::blobs_in(RecordRef record) const {
  const std::set<BlobId> blobs = blobs_of(records.at(record).parts);
  return {blobs.begin(), blobs.end()};
}

std::vector<protocol::Part> FakeStore::read(RecordRef record) const { return records.at(record).parts; }

void FakeStore::harvest_hits(const std::function<void(RecordRef)>& seen) {
  ++harvests;
  for (const RecordRef ref : std::exchange(hits, {})) seen(ref);
}

std::vector<FakeStore::HitTotals> FakeStore::hit_totals() const { return totals; }

FakeStore::Usage FakeStore::usage() const {
  return {.arena_bytes = records_max * record_bytes, .used_bytes = records.size(), .retired_with_blobs = retired_blobs_.size(),
          .retired_of_sessions = retired_of_sessions_};
}

void FakeStore::set_time_ms(std::uint64_t now_ms) { time_ms = now_ms; }

std::set<BlobId> FakeStore::blobs_of(const std::vector<protocol::Part>& parts) {
  std::set<BlobId> blobs;
  for (const protocol::Part& part : parts)
    if (part.blob != 0) blobs.insert(BlobId{part.blob});
  return blobs;
}

}  // namespace onced::engine
