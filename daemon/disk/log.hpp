// The log: segments in a row, records appended to the last one, the oldest removed (DISK.md, "Segments and records", "Writing").
//
// Ownership: the segments' files; who reads shares one, so that it stays readable after its removal.
// Threads:   one writer; find(), segments(), segment_count() and oldest() from any thread.
// Errors:    after any failure of add(), flush() or sync(): abandon(), and nothing but begin() until that succeeds.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <onced/protocol/result.hpp>

#include "disk/aside.hpp"
#include "disk/directory.hpp"
#include "disk/files.hpp"
#include "disk/format.hpp"
#include "disk/segment_scan.hpp"

namespace onced::disk {

struct Segment {
  std::uint32_t number = 0;
  std::shared_ptr<File> file;
  std::uint64_t first_sequence = 0;
  std::uint64_t last_sequence = 0;  // of its stable records, once it is complete
  std::uint64_t end = 0;            // of the same
  std::uint64_t bytes = 0;          // on the disk, with its index
  std::atomic<bool> damaged{false};  // relaxed: only decides where the file goes when it is removed
};

struct LogOptions {
  std::uint64_t segment_bytes = 32 << 20;
};

class Log {
 public:
  Log(FileSystem& files, std::uint64_t seed, LogOptions options, Aside& aside, const Say& say);

  struct Recovered {
    std::uint64_t void_before = 0;     // what is older in sequence is void
    std::uint64_t newest_time_ms = 0;
    std::uint64_t damaged = 0;         // records and gaps
    std::uint64_t cut_bytes = 0;       // never acknowledged
    std::uint64_t scanned = 0;         // segments that were read for want of an index
  };
  // Every row of the log, in its order.
  Result<Recovered> open(const std::function<void(std::uint32_t segment, const IndexRow& row)>& row);

  struct Place {
    std::uint32_t segment = 0;
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
    std::uint64_t sequence = 0;
  };
  void note_time(std::uint64_t now_ms) { now_ms_ = std::max(now_ms_, now_ms); }

  // Into the buffer; where the segment is full it is completed first. `row` says what the segment's index will say; digest, sequence,
  // offset and length are filled in here.
  Result<Place> add(RecordKind kind, const Digest& digest, Bytes body, IndexRow row);
  // What was added can be read.
  Result<void> flush();
  // What was added is stable.
  Result<void> sync(std::uint64_t now_ms);
  // Completes the segment that is written to; the next add() begins another.
  Result<void> roll();
  // Begins a segment where there is none to write to.
  Result<void> begin();
  // Nothing more goes to the present segment, and what is not stable in it does not count. If nothing is, it is no segment any more.
  void abandon();

  std::uint64_t next_sequence() const { return next_sequence_; }
  std::uint64_t stable_sequence() const { return stable_sequence_; }
  // All of it on the disk, and what is in the buffer.
  std::uint64_t bytes() const;
  static std::uint64_t record_bytes(std::size_t body_bytes) { return bare_record_bytes + body_bytes; }

  std::shared_ptr<Segment> find(std::uint32_t number) const;
  std::vector<std::shared_ptr<Segment>> segments() const;
  std::size_t segment_count() const;
  std::shared_ptr<Segment> oldest() const;
  bool is_written_to(const Segment& segment) const { return writing_ && active_ == &segment; }
  // What is in a complete segment.
  Result<std::vector<IndexRow>> rows(const Segment& segment) const;
  // Removes its oldest, complete segment; a damaged one is moved aside as far as there is room.
  Result<void> remove_oldest();

 private:
  static std::string name(std::uint32_t number, const char* suffix);
  std::string path(std::uint32_t number, const char* suffix) const;
  Result<bool> read_index(std::uint32_t number, IndexHeader& header, std::vector<IndexRow>& rows) const;
  Result<void> write_index(const Segment& segment, const std::vector<IndexRow>& rows);
  Result<void> remove_index(std::uint32_t number);
  Result<std::vector<std::uint32_t>> numbers();

  FileSystem& files_;
  std::uint64_t seed_;
  LogOptions options_;
  Aside& aside_;
  const Say& say_;

  mutable std::mutex mutex_;  // of segments_
  std::deque<std::shared_ptr<Segment>> segments_;
  Segment* active_ = nullptr;
  bool writing_ = false;               // active_ may be written to
  std::uint32_t last_number_ = 0;
  std::uint64_t position_ = 0;         // of the next record, with what is in the buffer
  std::uint64_t written_ = 0;          // of the next byte to be written
  std::uint64_t stable_end_ = 0;
  std::uint64_t stable_sequence_ = 0;
  std::uint64_t next_sequence_ = 1;
  std::uint64_t now_ms_ = 0;           // the latest that was heard of
  std::vector<std::byte> buffer_;
  std::vector<IndexRow> rows_;         // of the active segment
};

}  // namespace onced::disk
