#include "disk/log.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

namespace onced::disk {
namespace {

constexpr std::uint64_t segment_file_bytes_max = std::uint64_t{1} << 31;  // offsets have 32 bits
constexpr std::size_t buffer_bytes_max = 1 << 20;

}  // namespace

Log::Log(FileSystem& files, std::uint64_t seed, LogOptions options, Aside& aside, const Say& say)
    : files_(files), seed_(seed), options_(options), aside_(aside), say_(say) {}

std::string Log::name(std::uint32_t number, const char* suffix) {
  char text[32];
  std::snprintf(text, sizeof(text), "%08x.%s", number, suffix);
  return text;
}
std::string Log::path(std::uint32_t number, const char* suffix) const { return std::string(log_directory) + "/" + name(number, suffix); }

Result<std::vector<std::uint32_t>> Log::numbers() {
  const auto names = files_.list(log_directory);
  if (!names) return names.error();
  std::vector<std::uint32_t> found;
  for (const std::string& each : *names) {
    std::uint32_t number = 0;
    const char* end = each.data() + std::min<std::size_t>(each.size(), 8);
    const auto [stopped, error] = std::from_chars(each.data(), end, number, 16);
    if (error != std::errc() || stopped != end) number = 0;
    if (number != 0 && each == name(number, "log")) {
      found.push_back(number);
    } else if (number == 0 || (each != name(number, "index") && each != name(number, "index.new"))) {
      return Error{ErrorCode::malformed, "log/" + each + " is no file of this store: not used, and nothing was touched; move it away"};
    }
  }
  std::sort(found.begin(), found.end());
  for (const std::string& each : *names) {  // what a removal that was cut off has left
    const bool whole_name = each.size() == 14 && each.ends_with(".index");
    std::uint32_t number = 0;
    if (whole_name) std::from_chars(each.data(), each.data() + 8, number, 16);
    if (whole_name && std::binary_search(found.begin(), found.end(), number)) continue;
    if (each.ends_with(".log")) continue;
    if (const auto removed = files_.remove(std::string(log_directory) + "/" + each); !removed) return removed.error();
  }
  return found;
}

Result<Log::Recovered> Log::open(const std::function<void(std::uint32_t, const IndexRow&)>& row) {
  Recovered recovered;
  const auto found = numbers();
  if (!found) return found.error();
  // A name that was made before a kill may not be on the disk yet; what follows relies on it.
  if (const auto synced = files_.sync_directory(log_directory); !synced) return synced.error();
  struct Opened {
    std::shared_ptr<Segment> segment;
    std::optional<SegmentHeader> header;
    std::uint64_t file_bytes = 0;
  };
  std::vector<Opened> opened;
  for (const std::uint32_t number : *found) {
    if (const auto access = check_access(files_, path(number, "log"), FileSystem::Kind::file); !access) return access.error();
    auto file = files_.open(path(number, "log"), true);
    if (!file) return file.error();
    const auto size = (*file)->size();
    if (!size) return size.error();
    std::array<std::byte, segment_start> start{};
    const auto n = (*file)->read(start, 0);
    if (!n) return n.error();
    auto header = segment_header_at(start, 0, segment_seed(seed_, number));
    if (!header) header = segment_header_at(start, sizeof(SegmentHeader), segment_seed(seed_, number));
    // Its making was cut off: nothing was ever in it.
    if (number == found->back() && (*size < segment_start || (!header && *size == segment_start))) {
      if (const auto removed = files_.remove(path(number, "log")); !removed) return removed.error();
      continue;
    }
    auto segment = std::make_shared<Segment>();
    segment->number = number;
    segment->file = std::move(*file);
    segment->damaged = !header;
    if (!header) ++recovered.damaged;
    opened.push_back({std::move(segment), header, *size});
  }

  std::uint64_t last_sequence = 0;
  for (std::size_t i = 0; i < opened.size(); ++i) {
    Segment& segment = *opened[i].segment;
    const Opened* next = i + 1 < opened.size() ? &opened[i + 1] : nullptr;
    const std::optional<SegmentHeader>& header = opened[i].header;
    const bool first = i == 0;
    if (header) recovered.newest_time_ms = std::max(recovered.newest_time_ms, header->begun_ms);
    segment.first_sequence = header ? header->first_sequence : last_sequence + 1;
    if (!first && segment.number != opened[i - 1].segment->number + 1) {
      ++recovered.damaged;
      recovered.void_before = std::max(recovered.void_before, segment.first_sequence);
      say_("segments before " + path(segment.number, "log") + " are missing: every older value is void");
    }

    IndexHeader index;
    std::vector<IndexRow> rows;
    const auto has_index = read_index(segment.number, index, rows);
    if (!has_index) return has_index.error();
    std::uint64_t rows_bytes = 0;
    if (*has_index && (!header || header->first_sequence == index.first_sequence)) {
      segment.end = index.end;
      segment.first_sequence = index.first_sequence;
      segment.last_sequence = index.last_sequence;
      rows_bytes = sizeof(IndexHeader) + rows.size() * sizeof(IndexRow);
      if (opened[i].file_bytes < index.end) {
        ++recovered.damaged;
        segment.damaged = true;
        say_(path(segment.number, "log") + " is shorter than it was: what is missing is gone");
      }
    } else {
      ++recovered.scanned;
      const auto bytes = read_whole(*segment.file, segment_file_bytes_max);
      if (!bytes) return bytes.error();
      ScanBounds bounds;
      bounds.segment = segment.number;
      bounds.first_sequence = segment.first_sequence;
      const bool continued = next != nullptr && next->segment->number == segment.number + 1;
      if (continued && next->header) {
        bounds.end = next->header->previous_end;
        bounds.last_sequence = next->header->previous_last_sequence;
      } else if (next != nullptr) {
        bounds.end = bytes->size();
      }
      SegmentScan scan = scan_segment(*bytes, bounds, seed_);
      rows = std::move(scan.rows);
      segment.end = scan.end;
      segment.last_sequence = scan.last_sequence;
      recovered.newest_time_ms = std::max(recovered.newest_time_ms, scan.newest_time_ms);
      recovered.void_before = std::max(recovered.void_before, scan.void_before);
      recovered.damaged += scan.damaged_records + scan.gaps;
      if (scan.damaged_records + scan.gaps != 0) {
        segment.damaged = true;
        say_(path(segment.number, "log") + " is damaged: " + std::to_string(scan.damaged_records) + " values are lost" +
             (scan.gaps != 0 ? ", and so is everything that is older than the damage" : ""));
      }
      if (next == nullptr) {
        if (opened[i].file_bytes > scan.end) {
          recovered.cut_bytes += opened[i].file_bytes - scan.end;
          if (const auto cut = segment.file->truncate(scan.end); !cut) return cut.error();
          opened[i].file_bytes = scan.end;
        }
        if (const auto synced = segment.file->sync(); !synced) return synced.error();
        writing_ = !segment.damaged && opened[i].file_bytes == scan.end && scan.end < options_.segment_bytes;
        if (writing_) rows_ = rows;
      }
      const bool complete = next != nullptr || !writing_;
      if (complete && scan.gaps == 0) {  // a gap has to be found again at the next start
        if (!write_index(segment, rows)) say_("the index of " + path(segment.number, "log") + " could not be written");
        else rows_bytes = sizeof(IndexHeader) + rows.size() * sizeof(IndexRow);
      }
    }
    segment.bytes = opened[i].file_bytes + rows_bytes;
    last_sequence = std::max(last_sequence, segment.last_sequence);
    for (const IndexRow& each : rows) row(segment.number, each);
    segments_.push_back(opened[i].segment);
  }

  if (!segments_.empty()) {
    active_ = segments_.back().get();
    last_number_ = active_->number;
    position_ = written_ = stable_end_ = active_->end;
  }
  next_sequence_ = std::max(last_sequence, recovered.void_before) + 1;
  stable_sequence_ = next_sequence_ - 1;
  // A file that was abandoned, or damaged so that its last number is unknown, ends below this: the next segment says so.
  if (writing_ && active_->last_sequence + 1 != next_sequence_) writing_ = false;
  if (!writing_) rows_.clear();
  return recovered;
}

Result<bool> Log::read_index(std::uint32_t number, IndexHeader& header, std::vector<IndexRow>& rows) const {
  const auto file = files_.open(path(number, "index"), false);
  if (!file) {
    if (file.error().code == ErrorCode::not_found) return false;
    return file.error();
  }
  const auto bytes = read_whole(**file, segment_file_bytes_max);
  if (!bytes) return false;
  const auto read = index_header_at(*bytes, 0, segment_seed(seed_, number));
  if (!read || read->segment != number || read->rows != (bytes->size() - sizeof(IndexHeader)) / sizeof(IndexRow) ||
      bytes->size() != sizeof(IndexHeader) + read->rows * sizeof(IndexRow)) {
    return false;
  }
  if (check_of(Bytes(*bytes).subspan(sizeof(IndexHeader)), segment_seed(seed_, number)) != read->rows_check) return false;
  header = *read;
  rows.resize(static_cast<std::size_t>(read->rows));
  if (!rows.empty()) std::memcpy(rows.data(), bytes->data() + sizeof(IndexHeader), rows.size() * sizeof(IndexRow));
  return true;
}

Result<void> Log::write_index(const Segment& segment, const std::vector<IndexRow>& rows) {
  IndexHeader header;
  header.segment = segment.number;
  header.end = segment.end;
  header.first_sequence = segment.first_sequence;
  header.last_sequence = segment.last_sequence;
  header.rows = rows.size();
  const Bytes row_bytes = std::as_bytes(std::span(rows));
  header.rows_check = check_of(row_bytes, segment_seed(seed_, segment.number));
  seal(header, segment_seed(seed_, segment.number));
  std::vector<std::byte> bytes(sizeof(header) + row_bytes.size());
  std::memcpy(bytes.data(), &header, sizeof(header));
  if (!rows.empty()) std::memcpy(bytes.data() + sizeof(header), row_bytes.data(), row_bytes.size());
  return write_whole(files_, log_directory, name(segment.number, "index"), bytes);
}

// What is left of another segment of this number would speak for the new one.
Result<void> Log::remove_index(std::uint32_t number) {
  const auto removed = files_.remove(path(number, "index"));
  if (removed) return files_.sync_directory(log_directory);
  return removed.error().code == ErrorCode::not_found ? Result<void>() : removed;
}

Result<void> Log::begin() {
  const std::uint32_t number = last_number_ + 1;
  if (const auto stale = remove_index(number); !stale) return stale;
  // Never a second sync on a file for which one failed: what may be left of an earlier try goes first.
  if (const auto removed = files_.remove(path(number, "log")); !removed && removed.error().code != ErrorCode::not_found) return removed;
  auto file = files_.create(path(number, "log"));
  if (!file) return file.error();
  SegmentHeader header;
  header.segment = number;
  header.first_sequence = next_sequence_;
  header.previous_end = active_ != nullptr ? active_->end : 0;
  header.previous_last_sequence = active_ != nullptr ? active_->last_sequence : 0;
  header.begun_ms = now_ms_;
  seal(header, segment_seed(seed_, number));
  const std::array<SegmentHeader, 2> both{header, header};
  if (const auto written = (*file)->write(std::as_bytes(std::span(both)), 0); !written) return written;
  if (const auto synced = (*file)->sync(); !synced) return synced;
  if (const auto synced = files_.sync_directory(log_directory); !synced) return synced;
  auto segment = std::make_shared<Segment>();
  segment->number = number;
  segment->file = std::move(*file);
  segment->first_sequence = next_sequence_;
  segment->last_sequence = next_sequence_ - 1;
  segment->end = segment->bytes = segment_start;
  const std::lock_guard lock(mutex_);
  segments_.push_back(segment);
  active_ = segment.get();
  last_number_ = number;
  writing_ = true;
  position_ = written_ = stable_end_ = segment_start;
  stable_sequence_ = next_sequence_ - 1;
  rows_.clear();
  return {};
}

Result<Log::Place> Log::add(RecordKind kind, const Digest& digest, Bytes body, IndexRow row) {
  const std::uint64_t length = record_bytes(body.size());
  if (writing_ && position_ > segment_start && position_ + length + mark_bytes > options_.segment_bytes) {
    if (const auto rolled = roll(); !rolled) return rolled.error();
  }
  if (!writing_) {
    if (const auto begun = begin(); !begun) return begun.error();
  }
  const std::uint64_t seed = segment_seed(seed_, active_->number);
  RecordHeader header;
  header.kind = kind;
  header.sequence = next_sequence_;
  header.digest = digest;
  header.length = static_cast<std::uint32_t>(length);
  header.body_check = digest_of(body, seed);
  seal(header, seed);
  RecordTrailer trailer;
  trailer.kind = kind;
  trailer.sequence = header.sequence;
  trailer.digest = digest;
  trailer.length = header.length;
  seal(trailer, seed);
  const auto append = [this](Bytes bytes) { buffer_.insert(buffer_.end(), bytes.begin(), bytes.end()); };
  append(image_of(header));
  append(body);
  append(image_of(trailer));

  const Place place{active_->number, static_cast<std::uint32_t>(position_), header.length, header.sequence};
  row.digest = digest;
  row.sequence = place.sequence;
  row.offset = place.offset;
  row.length = place.length;
  row.kind = kind;
  rows_.push_back(row);
  position_ += length;
  ++next_sequence_;
  if (buffer_.size() >= buffer_bytes_max) {
    if (const auto flushed = flush(); !flushed) return flushed.error();
  }
  return place;
}

Result<void> Log::flush() {
  if (buffer_.empty()) return {};
  if (const auto written = active_->file->write(buffer_, written_); !written) return written;
  written_ += buffer_.size();
  active_->bytes = written_;
  buffer_.clear();
  return {};
}

Result<void> Log::sync(std::uint64_t now_ms) {
  now_ms_ = std::max(now_ms_, now_ms);
  if (!writing_) return {};
  if (const auto flushed = flush(); !flushed) return flushed;
  if (stable_end_ == written_) return {};
  if (const auto synced = active_->file->sync(); !synced) return synced;
  stable_end_ = written_;
  stable_sequence_ = next_sequence_ - 1;
  // Says so to a start that has to tell damage from what was never acknowledged. Not synced: it is no promise of its own.
  RecordHeader mark;
  mark.kind = RecordKind::mark;
  mark.sequence = stable_sequence_;
  mark.digest = {stable_end_, now_ms_};
  mark.length = mark_bytes;
  seal(mark, segment_seed(seed_, active_->number));
  if (const auto written = active_->file->write(image_of(mark), written_); !written) return written;
  written_ += mark_bytes;
  position_ += mark_bytes;
  stable_end_ = written_;  // nobody loses anything with the mark
  active_->bytes = written_;
  return {};
}

Result<void> Log::roll() {
  if (!writing_) return {};
  if (const auto flushed = flush(); !flushed) return flushed;
  if (const auto synced = active_->file->sync(); !synced) return synced;
  writing_ = false;
  active_->end = written_;
  active_->last_sequence = stable_sequence_ = next_sequence_ - 1;
  stable_end_ = written_;
  if (const auto indexed = write_index(*active_, rows_); !indexed) return indexed;
  active_->bytes = written_ + sizeof(IndexHeader) + rows_.size() * sizeof(IndexRow);
  rows_.clear();
  return {};
}

void Log::abandon() {
  buffer_.clear();
  if (active_ == nullptr) return;
  rows_.clear();
  if (!std::exchange(writing_, false)) return;
  active_->end = stable_end_;
  active_->last_sequence = stable_sequence_;
  if (stable_end_ > segment_start) return;
  // Nothing of it counts: the next one takes its number, and removes its file. A disk that fails again and again would have one more each time.
  const std::lock_guard lock(mutex_);
  segments_.pop_back();
  --last_number_;
  active_ = segments_.empty() ? nullptr : segments_.back().get();
}

std::uint64_t Log::bytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (const auto& segment : segments_) sum += segment->bytes;
  if (writing_) sum += buffer_.size() + sizeof(IndexHeader) + rows_.size() * sizeof(IndexRow);
  return sum;
}

std::shared_ptr<Segment> Log::find(std::uint32_t number) const {
  const std::lock_guard lock(mutex_);
  if (segments_.empty() || number < segments_.front()->number || number > segments_.back()->number) return nullptr;
  // Without holes: but after damage there may be some.
  const auto found = std::lower_bound(segments_.begin(), segments_.end(), number,
                                      [](const std::shared_ptr<Segment>& segment, std::uint32_t n) { return segment->number < n; });
  return (*found)->number == number ? *found : nullptr;
}

std::vector<std::shared_ptr<Segment>> Log::segments() const {
  const std::lock_guard lock(mutex_);
  return {segments_.begin(), segments_.end()};
}

std::size_t Log::segment_count() const {
  const std::lock_guard lock(mutex_);
  return segments_.size();
}

std::shared_ptr<Segment> Log::oldest() const {
  const std::lock_guard lock(mutex_);
  return segments_.empty() ? nullptr : segments_.front();
}

Result<std::vector<IndexRow>> Log::rows(const Segment& segment) const {
  IndexHeader header;
  std::vector<IndexRow> rows;
  const auto has_index = read_index(segment.number, header, rows);
  if (has_index && *has_index && header.first_sequence == segment.first_sequence) return rows;
  const auto bytes = read_whole(*segment.file, segment_file_bytes_max);
  if (!bytes) return bytes.error();
  const ScanBounds bounds{segment.number, segment.first_sequence, segment.end, segment.last_sequence};
  return scan_segment(*bytes, bounds, seed_).rows;
}

Result<void> Log::remove_oldest() {
  const std::shared_ptr<Segment> segment = oldest();
  const std::string log = path(segment->number, "log");
  const bool keep = segment->damaged && aside_.has_room_for_damaged(segment->bytes);
  if (const auto removed = files_.remove(path(segment->number, "index")); !removed && removed.error().code != ErrorCode::not_found) return removed;
  const auto gone = keep ? files_.rename(log, std::string(aside_directory) + "/" + name(segment->number, "log")) : files_.remove(log);
  if (!gone && gone.error().code != ErrorCode::not_found) return gone;
  if (const auto synced = files_.sync_directory(log_directory); !synced) return synced;
  if (segment->damaged) say_(log + " was damaged, and " + (keep ? "was moved to aside/" : "is removed now: aside/ is full"));
  if (keep) aside_.count_damaged(segment->bytes);
  const std::lock_guard lock(mutex_);
  segments_.pop_front();
  if (active_ == segment.get()) active_ = segments_.empty() ? nullptr : segments_.back().get();
  return {};
}

}  // namespace onced::disk
