// Store: room for what comes (DISK.md, "Making room").
#include <algorithm>
#include <cmath>
#include <utility>

#include "disk/store.hpp"

namespace onced::disk {
namespace {

// Of a segment's bytes, so much may be copied when it goes: at most 1.2 bytes are written for each that is stored.
constexpr std::uint64_t copied_share = 6;
constexpr std::uint64_t value_share_max = 4;  // of the budget

}  // namespace

Result<Store::Outcome> Store::make_room(std::uint64_t bytes, std::uint64_t now_ms) {
  if (bytes > options_.budget_bytes / value_share_max) return Outcome::refused;
  // What is copied lies there twice until its segment is gone.
  const std::uint64_t limit = options_.budget_bytes - options_.segment_bytes / copied_share - 4096;
  const auto shortage = [&](std::uint64_t given_back) {
    const std::uint64_t used = used_bytes();
    const std::uint64_t needed = used - std::min(used, given_back) + bytes;
    return needed - std::min(needed, limit);
  };
  const auto is_short = [&](std::uint64_t given_back) { return shortage(given_back) > 0; };
  const auto to_be_given_back = [&] {
    const std::lock_guard lock(mutex_);
    return garbage_bytes_;
  };
  const auto too_many = [&] {
    const std::lock_guard lock(mutex_);
    return index_.size() + pending_.size() >= options_.entries_max;
  };
  while (is_short(to_be_given_back()) || too_many() || has_too_long_a_log()) {
    // First what nobody can read any more.
    if (const std::uint64_t missing = shortage(to_be_given_back()); missing > 0 && aside_.make_room(missing)) continue;
    if (const auto settled = settle(); !settled) return settled.error();
    const std::shared_ptr<Segment> oldest = log_.oldest();
    std::optional<std::pair<float, Digest>> least;
    KeyIndex::Sums sums;
    std::size_t values = 0;
    {
      const std::lock_guard lock(mutex_);
      least = index_.least_with_files();
      values = index_.size();
      if (oldest) sums = index_.sums(oldest->number);
    }
    if (!oldest || (values == 0 && log_.is_written_to(*oldest) && oldest->bytes <= options_.segment_bytes / 2)) return Outcome::refused;
    const double worth_per_byte = sums.worth / static_cast<double>(oldest->bytes + sums.file_bytes);
    if (least && !has_too_long_a_log() && std::exp2(static_cast<double>(least->first)) <= worth_per_byte) {
      if (const auto evicted = evict(least->second); !evicted) return evicted.error();
      continue;
    }
    // Where there are only too many of them, what lives in a short one moves together with what lives in others.
    const std::uint64_t segment_bytes = has_too_long_a_log() ? std::max(oldest->bytes, options_.segment_bytes) : oldest->bytes;
    if (const auto cleaned = clean_oldest(segment_bytes / copied_share, now_ms); !cleaned) return cleaned.error();
  }
  if (is_short(0)) {
    if (const auto synced = sync_all(now_ms); !synced) return synced.error();
  }
  return Outcome::done;
}

// Of dropped labels, each in memory for as long as its record is in the log. And of segments, each with an open file. A failure, a compaction and a clearing end one early, so that bytes alone do not bound them. (The eighth: full
// ones have room at their end.)
bool Store::has_too_long_a_log() const {
  const std::uint64_t segments = options_.budget_bytes / options_.segment_bytes;
  if (log_.segment_count() > segments + segments / 8) return true;
  const std::lock_guard lock(mutex_);
  return fences_.size() > options_.entries_max / 8;
}

// Its tombstone need not be stable: a record whose files are missing is no value.
Result<void> Store::evict(const Digest& digest) {
  const auto place = log_.add(RecordKind::tombstone, digest, {}, {});
  if (!place) return place.error();
  erase(digest);
  const std::lock_guard lock(mutex_);
  ++evicted_;
  return {};
}

// Of its values those that count, the dearest first. Where nobody can read what is in the segment, the index says.
std::vector<Store::Live> Store::live_in(const Segment& segment) const {
  std::vector<Live> live;
  const auto rows = log_.rows(segment);
  const std::lock_guard lock(mutex_);
  if (rows) {
    for (const IndexRow& row : *rows) {
      const IndexEntry* const entry = index_.find(row.digest);
      if (entry != nullptr && entry->sequence == row.sequence) live.push_back({row.digest, *entry});
    }
  } else {
    index_.each([&](const Digest& digest, const IndexEntry& entry) {
      if (entry.segment == segment.number) live.push_back({digest, entry});
    });
  }
  std::sort(live.begin(), live.end(), [](const Live& a, const Live& b) { return a.entry.merit > b.entry.merit; });
  return live;
}

// To the end of the log, if it is whole and counts; the index hears of it with settle(). Otherwise it goes. Returns the bytes of the copy, 0: there is none.
Result<std::uint64_t> Store::copy(const Live& one, Read& read) {
  const auto found = read_record(one.digest, one.entry, read);
  if (!found || *found == Found::damaged) {  // one bad sector must not keep its segment for ever
    found_damaged(one.digest, one.entry, {}, found ? "its record in the log" : found.error().text);
    return std::uint64_t{0};
  }
  if (*found == Found::gone || is_void(read.body.labels, one.entry.sequence)) {
    erase(one.digest);
    return std::uint64_t{0};
  }
  PartFiles files;
  {
    const std::lock_guard lock(mutex_);
    const IndexEntry* const present = index_.find(one.digest);
    if (present == nullptr || present->sequence != one.entry.sequence) return std::uint64_t{0};  // a load found it damaged
    if (const PartFiles* its_files = index_.files(one.digest)) files = *its_files;
  }
  IndexRow row;
  row.usable_until_ms = one.entry.usable_until_ms;
  row.file_bytes = files.bytes;
  row.file_id = files.id;
  row.files = files.count;
  row.merit = one.entry.merit;
  const Bytes body = Bytes(read.record).subspan(sizeof(RecordHeader), read.record.size() - bare_record_bytes);
  const auto place = log_.add(one.entry.is_sealed ? RecordKind::sealed : RecordKind::value, one.digest, body, row);
  if (!place) return place.error();
  IndexEntry moved = one.entry;
  moved.sequence = place->sequence;
  moved.segment = place->segment;
  moved.offset = place->offset;
  moved.length = place->length;
  pending_.push_back({.digest = one.digest, .entry = moved, .files = files, .moved_from = one.entry});
  return std::uint64_t{one.entry.length};
}

Result<void> Store::clean_oldest(std::uint64_t copy_bytes_max, std::uint64_t now_ms) {
  if (const auto settled = settle(); !settled) return settled;
  const std::shared_ptr<Segment> segment = log_.oldest();
  if (log_.is_written_to(*segment)) {
    if (const auto rolled = log_.roll(); !rolled) return rolled;
    if (const auto begun = log_.begin(); !begun) return begun;
  }
  std::uint64_t copied = 0;
  Read read;
  for (const Live& each : live_in(*segment)) {
    const bool expired = each.entry.usable_until_ms <= now_ms;
    if (expired || copied + each.entry.length > copy_bytes_max) {
      erase(each.digest);
      const std::lock_guard lock(mutex_);
      evicted_ += expired ? 0 : 1;
      continue;
    }
    const auto bytes = copy(each, read);
    if (!bytes) return bytes.error();
    copied += *bytes;
  }
  if (const auto synced = sync_all(now_ms); !synced) return synced;
  if (const auto removed = log_.remove_oldest(); !removed) return removed;
  const std::lock_guard lock(mutex_);
  index_.forget_segment(segment->number);
  std::erase_if(fences_, [&](const auto& fence) { return fence.second <= segment->last_sequence; });
  return {};
}

Result<std::uint64_t> Store::begin_compaction() {
  if (degraded()) return Error{ErrorCode::unavailable, degraded_text()};
  const auto end_segment = [&]() -> Result<void> {
    if (const auto settled = settle(); !settled) return settled;
    return log_.roll();
  };
  if (const auto ended = end_segment(); !ended) {
    fail(ended.error());
    return ended.error();
  }
  std::uint64_t last = 0;
  for (const auto& segment : log_.segments()) last = std::max<std::uint64_t>(last, segment->number);
  return last;
}

Result<void> Store::compact(std::uint64_t now_ms) {
  const auto up_to = begin_compaction();
  if (!up_to) return up_to.error();
  for (;;) {
    const auto left = compact_oldest(*up_to, now_ms);
    if (!left) return left.error();
    if (*left == 0) return {};
  }
}

Result<std::uint64_t> Store::compact_oldest(std::uint64_t up_to, std::uint64_t now_ms) {
  if (degraded()) return Error{ErrorCode::unavailable, degraded_text()};
  const auto run = [&]() -> Result<void> {
    if (const auto settled = settle(); !settled) return settled;
    const std::shared_ptr<Segment> oldest = log_.oldest();
    if (!oldest || log_.is_written_to(*oldest) || oldest->number > up_to) return {};
    KeyIndex::Sums sums;
    {
      const std::lock_guard lock(mutex_);
      sums = index_.sums(oldest->number);
    }
    // Its copies need room beside it; a store of an older format goes for it before any value does.
    const auto has_room_for_copies = [&] { return used_bytes() + sums.bytes <= options_.budget_bytes; };
    while (!has_room_for_copies() && aside_.make_room(used_bytes() + sums.bytes - options_.budget_bytes)) continue;
    const bool has_room = has_room_for_copies();
    return clean_oldest(has_room ? oldest->bytes : oldest->bytes / copied_share, now_ms);
  };
  if (const auto done = run(); !done) {
    fail(done.error());
    return done.error();
  }
  const auto& segments = log_.segments();
  return static_cast<std::uint64_t>(
      std::count_if(segments.begin(), segments.end(), [&](const auto& one) { return one->number <= up_to && !log_.is_written_to(*one); }));
}

}  // namespace onced::disk
