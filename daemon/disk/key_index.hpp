// Where the latest record of each key is, in memory: 80 bytes a key, and more for those with part files and of sessions.
//
// Threads:   none of its own; its owner locks.
// Invariant: sums() of a segment are those of the entries that point into it; in_order has exactly the entries with files,
//            of_session() exactly the sealed ones.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "disk/format.hpp"
#include "disk/log.hpp"
#include "disk/part_files.hpp"

namespace onced::disk {

struct IndexEntry {
  std::uint64_t sequence = 0;
  std::uint64_t usable_until_ms = 0;
  std::uint32_t segment = 0;
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  float merit = 0;
  bool has_files = false;
  bool is_sealed = false;  // of a session: its number is the digest's high half
};

class KeyIndex {
 public:
  struct Removed {
    IndexEntry entry;
    std::optional<PartFiles> files;
  };
  struct Sums {
    std::uint64_t bytes = 0;       // of records
    std::uint64_t file_bytes = 0;  // as charged
    double worth = 0;              // what they save, in the unit of merit
  };

  void reserve(std::size_t entries) { entries_.reserve(entries); }

  const IndexEntry* find(const Digest& digest) const {
    const auto found = entries_.find(digest);
    return found == entries_.end() ? nullptr : &found->second;
  }
  const PartFiles* files(const Digest& digest) const {
    const auto found = files_.find(digest);
    return found == files_.end() ? nullptr : &found->second;
  }

  // What was there before, with the files that nobody names now.
  std::optional<Removed> put(const Digest& digest, const IndexEntry& entry, const PartFiles& files) {
    std::optional<Removed> before = erase(digest);
    entries_[digest] = entry;
    if (entry.is_sealed) sessions_[digest.high].insert(digest.low);
    if (entry.has_files) {
      files_[digest] = files;
      in_order_.emplace(entry.merit, digest);
      file_bytes_ += files.charged();
    }
    count(entry, files.charged(), true);
    return before;
  }

  std::optional<Removed> erase(const Digest& digest) {
    const auto found = entries_.find(digest);
    if (found == entries_.end()) return std::nullopt;
    Removed removed{found->second, std::nullopt};
    std::uint64_t charged = 0;
    if (removed.entry.has_files) {
      const auto files = files_.find(digest);
      charged = files->second.charged();
      removed.files = files->second;
      files_.erase(files);
      in_order_.erase({removed.entry.merit, digest});
      file_bytes_ -= charged;
    }
    if (removed.entry.is_sealed) {
      const auto session = sessions_.find(digest.high);
      session->second.erase(digest.low);
      if (session->second.empty()) sessions_.erase(session);
    }
    count(removed.entry, charged, false);
    entries_.erase(found);
    return removed;
  }

  // Unless other files have taken their place.
  void set_checked(const Digest& digest, std::uint64_t file_id) {
    const auto found = files_.find(digest);
    if (found != files_.end() && found->second.id == file_id) found->second.checked = true;
  }

  void set_merit(const Digest& digest, float merit) {
    const auto found = entries_.find(digest);
    if (found == entries_.end()) return;
    IndexEntry& entry = found->second;
    const PartFiles* const its_files = files(digest);
    const std::uint64_t charged = its_files == nullptr ? 0 : its_files->charged();
    count(entry, charged, false);
    if (entry.has_files) {
      in_order_.erase({entry.merit, digest});
      in_order_.emplace(merit, digest);
    }
    entry.merit = merit;
    count(entry, charged, true);
  }

  std::vector<Digest> of_session(std::uint64_t number) const {
    std::vector<Digest> digests;
    if (const auto found = sessions_.find(number); found != sessions_.end()) {
      for (const std::uint64_t low : found->second) digests.push_back({low, number});
    }
    return digests;
  }

  // Of all with files, the one that is worth least.
  std::optional<std::pair<float, Digest>> least_with_files() const {
    if (in_order_.empty()) return std::nullopt;
    return *in_order_.begin();
  }

  Sums sums(std::uint32_t segment) const {
    const auto found = sums_.find(segment);
    return found == sums_.end() ? Sums{} : found->second;
  }
  void forget_segment(std::uint32_t segment) { sums_.erase(segment); }
  std::size_t size() const { return entries_.size(); }
  std::uint64_t file_bytes() const { return file_bytes_; }
  std::uint64_t record_bytes() const { return record_bytes_; }

  template <typename Visit>
  void each(Visit visit) const {
    for (const auto& [digest, entry] : entries_) visit(digest, entry);
  }
  // A walk in pieces, between which anything may change. What is there from the walk's beginning to its end is visited once, whatever becomes of it;
  // what comes or goes meanwhile is visited once or not at all. Where the table was built anew since the piece before, it begins again.
  struct Walk {
    std::size_t buckets = 0;  // of the table that is walked; 0: it has not begun
    std::size_t next = 0;
  };
  enum class Walked : std::uint8_t { some, all, again };  // again: nothing was visited, and what was before is to be forgotten
  // `most`: entries and empty places, and what lies in one place with the last of them.
  template <typename Visit>
  Walked walk(Walk& walk, std::size_t most, Visit visit) const {
    const bool again = walk.buckets != 0 && walk.buckets != entries_.bucket_count();
    if (walk.buckets != entries_.bucket_count()) walk = {entries_.bucket_count(), 0};
    if (again) return Walked::again;
    for (std::size_t looked_at = 0; walk.next < walk.buckets && looked_at < most; ++walk.next, ++looked_at)
      for (auto at = entries_.begin(walk.next); at != entries_.end(walk.next); ++at, ++looked_at) visit(at->first, at->second);
    return walk.next < walk.buckets ? Walked::some : Walked::all;
  }
  template <typename Visit>
  void each_with_files(Visit visit) const {
    for (const auto& [digest, files] : files_) visit(digest, files);
  }

 private:
  struct Hash {  // a digest is one already
    std::size_t operator()(const Digest& digest) const { return static_cast<std::size_t>(digest.low); }
  };

  void count(const IndexEntry& entry, std::uint64_t charged, bool more) {
    Sums& sums = sums_[entry.segment];
    const double worth = std::exp2(static_cast<double>(entry.merit)) * static_cast<double>(entry.length + charged);
    if (more) {
      sums.bytes += entry.length;
      sums.file_bytes += charged;
      sums.worth += worth;
      record_bytes_ += entry.length;
    } else {
      sums.bytes -= entry.length;
      sums.file_bytes -= charged;
      sums.worth = sums.bytes == 0 ? 0 : sums.worth - worth;
      record_bytes_ -= entry.length;
    }
  }

  std::unordered_map<Digest, IndexEntry, Hash> entries_;
  std::unordered_map<Digest, PartFiles, Hash> files_;
  std::set<std::pair<float, Digest>> in_order_;
  std::unordered_map<std::uint64_t, std::unordered_set<std::uint64_t>> sessions_;  // low halves, by number
  std::unordered_map<std::uint32_t, Sums> sums_;
  std::uint64_t file_bytes_ = 0;
  std::uint64_t record_bytes_ = 0;
};

}  // namespace onced::disk
