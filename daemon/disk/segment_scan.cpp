#include "disk/segment_scan.hpp"

#include <algorithm>
#include <cstring>

#include "disk/sealed_value.hpp"
#include "disk/value.hpp"

namespace onced::disk {
namespace {

// One stretch of the log: a record, or bytes that are none.
struct Stretch {
  IndexRow row;               // known: digest, sequence, kind
  std::uint64_t begin = 0;
  bool known = false;
  bool whole = false;
  std::uint64_t lost = 0;     // unknown: so many records are missing at least
  std::uint64_t next_sequence = 0;  // unknown: of what follows
};

class Scan {
 public:
  Scan(Bytes bytes, const ScanBounds& bounds, std::uint64_t seed)
      : bytes_(bytes), bounds_(bounds), seed_(segment_seed(seed, bounds.segment)), expected_(bounds.first_sequence) {
    if (bounds.end) stable_ = *bounds.end;
    limit_ = bounds.end ? std::min<std::uint64_t>(*bounds.end, bytes.size()) : bytes.size();
  }

  SegmentScan run() {
    std::uint64_t at = segment_start;
    while (at < limit_) at = step(at);
    end_of_sealed();
    return conclude();
  }

 private:
  std::uint64_t step(std::uint64_t at) {
    const std::optional<RecordHeader> header = header_at(at);
    if (!header) return unreadable(at);
    if (header->kind == RecordKind::mark) {
      stable_ = std::max(stable_, header->digest.low);
      newest_time_ms_ = std::max(newest_time_ms_, header->digest.high);
      return at + mark_bytes;
    }
    const Bytes record = bytes_.subspan(static_cast<std::size_t>(at), header->length);
    Stretch stretch{.row = {.digest = header->digest, .sequence = header->sequence, .offset = static_cast<std::uint32_t>(at),
                            .length = header->length, .kind = header->kind},
                    .begin = at, .known = true};
    if (is_whole(*header, record, seed_)) {
      if (!is_value(header->kind)) {
        stretch.whole = true;
      } else if (const std::optional<IndexRow> row = row_of(*header, stretch.row.offset, record)) {
        stretch.row = *row;
        stretch.whole = true;
      }
    }
    add(stretch);
    return at + header->length;
  }

  // There is no header at `at`. What is next: the trailer of the record that begins here, or another header.
  std::uint64_t unreadable(std::uint64_t at) {
    for (std::uint64_t next = at + 8; next < limit_; next += 8) {
      if (const auto trailer = record_trailer_at(bytes_.first(static_cast<std::size_t>(limit_)), static_cast<std::size_t>(next), seed_)) {
        const std::uint64_t end = next + sizeof(RecordTrailer);
        if (end - at == trailer->length && trailer->sequence >= expected_) {
          add(Stretch{.row = {.digest = trailer->digest, .sequence = trailer->sequence, .offset = static_cast<std::uint32_t>(at),
                              .length = trailer->length, .kind = trailer->kind},
                      .begin = at, .known = true});
          return end;
        }
      }
      if (const auto header = header_at(next)) {
        const std::uint64_t sequence = header->kind == RecordKind::mark ? header->sequence + 1 : header->sequence;
        add_gap(at, sequence);
        return next;
      }
    }
    end_of_gap_ = at;
    return limit_;
  }

  std::optional<RecordHeader> header_at(std::uint64_t at) const {
    const auto header = record_header_at(bytes_.first(static_cast<std::size_t>(limit_)), static_cast<std::size_t>(at), seed_);
    if (!header || header->length > limit_ - at) return std::nullopt;
    // Numbers only rise: what does not is a remnant of what was cut off here before.
    if (header->kind == RecordKind::mark ? header->sequence + 1 < expected_ : header->sequence < expected_) return std::nullopt;
    return header;
  }

  void add(const Stretch& stretch) {
    if (stretch.row.sequence > expected_) add_gap(stretch.begin, stretch.row.sequence);
    stretches_.push_back(stretch);
    expected_ = stretch.row.sequence + 1;
  }
  void add_gap(std::uint64_t begin, std::uint64_t next_sequence) {
    stretches_.push_back(Stretch{.row = {}, .begin = begin, .lost = next_sequence - expected_, .next_sequence = next_sequence});
    expected_ = next_sequence;
  }

  // A segment that is complete must have all that was written to it.
  void end_of_sealed() {
    if (bounds_.end && expected_ <= bounds_.last_sequence) add_gap(end_of_gap_.value_or(limit_), bounds_.last_sequence + 1);
    else if (!bounds_.end && end_of_gap_ && *end_of_gap_ < stable_) add_gap(*end_of_gap_, expected_ + 1);
    else if (!bounds_.end && limit_ < stable_) add_gap(limit_, expected_ + 1);
  }

  SegmentScan conclude() const {
    SegmentScan scan;
    scan.newest_time_ms = newest_time_ms_;
    scan.last_sequence = bounds_.first_sequence - 1;
    scan.end = bounds_.end ? *bounds_.end : end_of_gap_ && *end_of_gap_ >= stable_ ? *end_of_gap_ : limit_;
    for (const Stretch& stretch : stretches_) {
      // A mark that cannot be read is no loss.
      const bool bad = stretch.known ? !stretch.whole : stretch.lost != 0;
      if (bad && stretch.begin >= stable_) {
        scan.end = stretch.begin;
        break;
      }
      if (!stretch.known) {
        if (!bad) continue;
        ++scan.gaps;
        scan.void_before = stretch.next_sequence;
        scan.last_sequence = stretch.next_sequence - 1;
        continue;
      }
      scan.last_sequence = stretch.row.sequence;
      IndexRow row = stretch.row;
      if (bad) {
        ++scan.damaged_records;
        if (is_value(row.kind)) row.kind = RecordKind::tombstone;
      }
      scan.rows.push_back(row);
    }
    return scan;
  }

  Bytes bytes_;
  const ScanBounds& bounds_;
  std::uint64_t seed_;
  std::uint64_t limit_ = 0;
  std::uint64_t expected_;
  std::uint64_t stable_ = 0;
  std::uint64_t newest_time_ms_ = 0;
  std::optional<std::uint64_t> end_of_gap_;  // from here to the limit nothing can be read
  std::vector<Stretch> stretches_;
};

}  // namespace

SegmentScan scan_segment(Bytes segment, const ScanBounds& bounds, std::uint64_t seed) { return Scan(segment, bounds, seed).run(); }

std::optional<IndexRow> row_of(const RecordHeader& header, std::uint32_t offset, Bytes record) {
  const Bytes whole = record.subspan(sizeof(RecordHeader), record.size() - bare_record_bytes);
  IndexRow row;
  row.digest = header.digest;
  row.sequence = header.sequence;
  row.offset = offset;
  row.length = header.length;
  row.kind = header.kind;
  if (header.kind == RecordKind::sealed) {
    const std::optional<SealedHead> head = sealed_head(whole);
    if (!head || head->session != header.digest.high) return std::nullopt;
    row.usable_until_ms = head->usable_until_ms;
    row.file_bytes = head->file_bytes;
    row.file_id = head->file_id;
    row.merit = head->merit;
    row.files = head->files;
    return row;
  }
  const Result<BodyView> body = decode_body(whole);
  if (!body) return std::nullopt;
  row.usable_until_ms = body->facts.usable_until_ms();
  row.file_bytes = body->file_bytes;
  row.file_id = body->file_id;
  row.merit = body->facts.merit;
  row.files = static_cast<std::uint16_t>(std::count_if(body->parts.begin(), body->parts.end(), [](const PartView& p) { return p.in_file; }));
  return row;
}

bool is_whole(const RecordHeader& header, Bytes record, std::uint64_t seed) {
  const auto trailer = record_trailer_at(record, record.size() - sizeof(RecordTrailer), seed);
  if (!trailer || trailer->kind != header.kind || trailer->sequence != header.sequence || trailer->digest != header.digest ||
      trailer->length != header.length) {
    return false;
  }
  return digest_of(record.subspan(sizeof(RecordHeader), record.size() - bare_record_bytes), seed) == header.body_check;
}

}  // namespace onced::disk
