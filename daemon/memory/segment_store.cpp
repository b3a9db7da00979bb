#include "memory/segment_store.hpp"

#include <algorithm>
#include <utility>

#include "memory/record_writer.hpp"

namespace onced::memory {

using engine::RecordRef;
using protocol::KeyHash;
using protocol::RecordHeader;

namespace {

std::uint64_t offset_of(RecordRef record) {
  return static_cast<std::uint64_t>(record);
}

std::span<protocol::Bucket> buckets_of(std::span<std::byte> segment, const protocol::SegmentHeader& header) {
  return {reinterpret_cast<protocol::Bucket*>(segment.data() + header.index_offset), header.bucket_count};
}

std::span<protocol::SessionEntry> sessions_of(std::span<std::byte> segment, const protocol::SegmentHeader& header) {
  return {reinterpret_cast<protocol::SessionEntry*>(segment.data() + header.sessions_offset), header.sessions_count};
}

BlobTable blob_table_of(std::span<std::byte> segment, protocol::SegmentHeader& header) {
  return {{reinterpret_cast<protocol::BlobEntry*>(segment.data() + header.blobs_offset), header.blobs_count},
          header.blobs_dropped};
}

}  // namespace

Result<std::unique_ptr<SegmentStore>> SegmentStore::create(std::span<std::byte> segment, std::uint64_t hash_seed,
                                                           std::uint64_t epoch, BlobOptions blobs, ReaderBarrier barrier) {
  const auto layout = layout_for(segment.size());
  if (!layout) return layout.error();
  segment = segment.first(layout->segment_bytes);
  protocol::SegmentHeader& header = format_segment(segment, *layout, hash_seed, epoch);
  header.reader_fence = barrier ? protocol::reader_fence_by_daemon : protocol::reader_fence_own;
  auto arena = Arena::create(segment.subspan(layout->arena_offset, layout->arena_bytes));
  if (!arena) return arena.error();
  const auto reader = protocol::SegmentReader::open(segment);
  if (!reader) return reader.error();
  return std::unique_ptr<SegmentStore>(new SegmentStore(segment, header, std::move(*arena), *reader, std::move(blobs), std::move(barrier)));
}

SegmentStore::SegmentStore(std::span<std::byte> segment, protocol::SegmentHeader& header, Arena arena,
                           protocol::SegmentReader reader, BlobOptions blobs, ReaderBarrier barrier)
    : segment_(segment),
      header_(header),
      sessions_(sessions_of(segment, header)),
      arena_(std::move(arena)),
      index_(buckets_of(segment, header), header.buckets_used),
      blobs_(blob_table_of(segment, header), std::move(blobs)),
      reclaimer_(segment.data(), arena_, pins_, std::move(barrier), [this](std::uint64_t offset) { give_blobs_back(offset); }),
      reader_(reader) {}

SegmentStore::Placement SegmentStore::place(const engine::RecordImage& image, std::optional<RecordRef> replaces) {
  const std::size_t bytes = record_bytes(image);
  if (bytes > arena_.largest_piece_bytes()) return {Outcome::never, {}, {}};
  const KeyHash hash = protocol::hash_key(image.key, header_.hash_seed);

  SlotNumber slot{};
  if (replaces) {
    slot = live(*replaces).slot;
    ONCED_ASSERT(reader_.key_of(header_of(offset_of(*replaces))) == image.key);
  } else {
    ONCED_ASSERT(!holds_key(hash, image.key));
    for (int splits = 0; splits < splits_per_place_max && index_.is_dense(records_.size() + 1); ++splits) split_index();
    const auto free = index_.find_free(hash);
    if (!free) {
      Placement full{Outcome::bucket_full, {}, {}};
      for (const std::uint64_t word : index_.candidates(hash)) {
        full.candidates.push_back(RecordRef{word & protocol::slot_offset_mask});
      }
      return full;
    }
    slot = *free;
  }

  std::byte* const at = allocate(bytes);
  if (at == nullptr) return {Outcome::arena_full, {}, {}};
  write_record(image, at);
  const auto offset = static_cast<std::uint64_t>(at - segment_.data());
  take_blobs(offset, *image.parts);
  index_.store(slot, protocol::make_slot(protocol::tag_of(hash), offset));
  if (replaces) retire(*replaces);
  records_.emplace(offset, Live{bytes, slot, image.of_session});
  live_bytes_ += bytes;
  return {Outcome::placed, RecordRef{offset}, {}};
}

void SegmentStore::split_index() {
  const auto hash_of = [&](std::uint64_t word) {
    return protocol::hash_key(reader_.key_of(header_of(word & protocol::slot_offset_mask)), header_.hash_seed);
  };
  index_.split(hash_of, [&](std::uint64_t word, SlotNumber slot) { records_.at(word & protocol::slot_offset_mask).slot = slot; });
}

void SegmentStore::unlink(RecordRef record) {
  index_.store(live(record).slot, 0);
  retire(record);
}

void SegmentStore::set_life(RecordRef record, std::uint64_t fresh_until_ms, std::uint32_t grace_ms) {
  (void)live(record);
  const RecordHeader& header = *header_of(offset_of(record));
  protocol::live_field(header.grace_ms).store(grace_ms, std::memory_order_relaxed);
  // Release: pairs with fresh_until_ms() in the reader, who then finds the grace that belongs to it.
  protocol::live_field(header.fresh_until_ms).store(fresh_until_ms, std::memory_order_release);
}

void SegmentStore::set_refreshing(RecordRef record, bool refreshing) {
  (void)live(record);
  // Relaxed: a hint; who acts on it asks the daemon.
  protocol::live_field(header_of(offset_of(record))->refreshing).store(refreshing ? 1 : 0, std::memory_order_relaxed);
}

void SegmentStore::set_session(std::uint64_t number, std::uint64_t generation) {
  // Seq_cst: stands before the slot store of whatever is placed later. A reader that finds that (acquire) sees this too: pairs with
  // InSession::good() (segment_reader.cpp).
  sessions_[number % sessions_.size()].generation.store(generation, std::memory_order_seq_cst);
}

std::size_t SegmentStore::reclaim() {
  return reclaimer_.reclaim();
}

std::optional<std::uint32_t> SegmentStore::grant_pin(engine::ConnectionId connection, RecordRef record) {
  (void)live(record);
  return pins_.grant(connection, offset_of(record));
}

std::vector<std::uint32_t> SegmentStore::pins(std::span<const RecordRef> records) const {
  std::unordered_map<std::uint64_t, std::size_t> numbers;
  for (std::size_t i = 0; i < records.size(); ++i) numbers.emplace(offset_of(records[i]), i);
  std::vector<std::uint32_t> counts(records.size());
  pins_.for_each_pin([&](std::uint64_t offset) {
    if (const auto found = numbers.find(offset); found != numbers.end()) ++counts[found->second];
  });
  return counts;
}

std::vector<engine::BlobId> SegmentStore::blobs_in(RecordRef record) const {
  (void)live(record);
  const auto found = record_blobs_.find(offset_of(record));
  return found == record_blobs_.end() ? std::vector<engine::BlobId>() : found->second;
}

std::vector<protocol::Part> SegmentStore::read(RecordRef record) const {
  (void)live(record);
  std::vector<protocol::Part> parts;
  const RecordHeader* const header = header_of(offset_of(record));
  for (std::size_t number = 0; number < header->part_count; ++number) {
    const auto part = reader_.part(header, number);
    ONCED_ASSERT(part.has_value());
    parts.push_back({std::string(part->name), std::string(part->content_type),
                     std::string(reinterpret_cast<const char*>(part->bytes.data()), part->bytes.size()), part->blob,
                     part->offset, part->blob == 0 ? 0 : part->length});
  }
  return parts;
}

void SegmentStore::harvest_hits(const std::function<void(RecordRef)>& seen) {
  pins_.harvest([&](std::uint64_t word) {
    const std::uint64_t offset = word & protocol::slot_offset_mask;
    const auto found = records_.find(offset);
    if (found != records_.end() && index_.load(found->second.slot) == word) seen(RecordRef{offset});
  });
}

std::vector<HitTotals> SegmentStore::hit_totals() const {
  return pins_.hit_totals();
}

SegmentStore::Usage SegmentStore::usage() const {
  Usage usage;
  usage.arena_bytes = arena_.capacity_bytes();
  usage.retired_bytes = reclaimer_.retired_bytes();
  usage.retired_records = reclaimer_.retired_records();
  usage.retired_with_blobs = retired_with_blobs_;
  usage.pinned_bytes = reclaimer_.kept_bytes();
  usage.pinned_most_bytes = reclaimer_.kept_most().bytes;
  usage.pinned_most_by = reclaimer_.kept_most().by;
  usage.retired_of_sessions = reclaimer_.retired_of_sessions();
  usage.used_bytes = live_bytes_ + usage.retired_bytes;
  usage.index_slots = index_.slot_count();
  return usage;
}

void SegmentStore::set_time_ms(std::uint64_t time_ms) {
  // Relaxed: pairs with SegmentReader::time_ms(); readers compare it and order nothing by it.
  if (time_ms > header_.time_ms.load(std::memory_order_relaxed)) {
    header_.time_ms.store(time_ms, std::memory_order_relaxed);
  }
}

const RecordHeader* SegmentStore::header_of(std::uint64_t offset) const {
  return reinterpret_cast<const RecordHeader*>(segment_.data() + offset);
}

bool SegmentStore::holds_key(const KeyHash& hash, std::string_view key) const {
  for (const std::uint64_t word : index_.candidates(hash)) {
    if (word >> 48 == protocol::tag_of(hash) && reader_.key_of(header_of(word & protocol::slot_offset_mask)) == key) {
      return true;
    }
  }
  return false;
}

// A piece of the arena, after one attempt to get retired memory back when there is none.
std::byte* SegmentStore::allocate(std::size_t bytes) {
  if (std::byte* const at = arena_.allocate(bytes); at != nullptr) return at;
  return reclaimer_.reclaim() > 0 ? arena_.allocate(bytes) : nullptr;
}

const SegmentStore::Live& SegmentStore::live(RecordRef record) const {
  const auto found = records_.find(offset_of(record));
  ONCED_ASSERT(found != records_.end());
  return found->second;
}

// A hold for the record on each blob that its parts name.
void SegmentStore::take_blobs(std::uint64_t offset, const std::vector<protocol::Part>& parts) {
  std::vector<engine::BlobId> blobs;
  for (const protocol::Part& part : parts) {
    if (part.blob != 0) blobs.push_back(engine::BlobId{part.blob});
  }
  if (blobs.empty()) return;
  std::sort(blobs.begin(), blobs.end());
  blobs.erase(std::unique(blobs.begin(), blobs.end()), blobs.end());  // one may hold several parts
  for (const engine::BlobId blob : blobs) {
    blobs_.hold(blob);
    blobs_.enlist(blob);
  }
  record_blobs_.emplace(offset, std::move(blobs));
}

void SegmentStore::give_blobs_back(std::uint64_t offset) {
  const auto found = record_blobs_.find(offset);
  if (found == record_blobs_.end()) return;
  for (const engine::BlobId blob : found->second) blobs_.release(blob);
  record_blobs_.erase(found);
  --retired_with_blobs_;
}

// Its slot has been stored over. Its blobs stay for those who pin the record, and go when nobody does any more.
void SegmentStore::retire(RecordRef record) {
  const auto found = records_.find(offset_of(record));
  auto holds = Reclaimer::Holds::bytes;
  std::uint64_t blob_bytes = 0;
  if (const auto blobs = record_blobs_.find(found->first); blobs != record_blobs_.end()) {
    holds = Reclaimer::Holds::blobs;
    for (const engine::BlobId blob : blobs->second) {
      blobs_.delist(blob);
      blob_bytes += blobs_.charged(blob);
    }
    ++retired_with_blobs_;
  }
  reclaimer_.retire(found->first, found->second.bytes, holds, blob_bytes, found->second.of_session);
  live_bytes_ -= found->second.bytes;
  records_.erase(found);
}

}  // namespace onced::memory
