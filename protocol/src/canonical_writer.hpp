// Builds one canonical value (WIRE.md, "Keys") from a stream of events, as parsers give them: containers are opened,
// filled and closed; a map's entries may come in any order and are sorted when it is closed.
//
// Bounded: refuses more than `bytes_max` bytes and more than `depth_max` open containers before it stores them.
// Errors: the first mistake is kept; every later call is refused too. Nothing throws on content.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/result.hpp>

#include "pack.hpp"
#include <onced/protocol/utf8.hpp>

namespace onced::protocol {

class CanonicalWriter {
 public:
  explicit CanonicalWriter(std::size_t depth_max = limits::key_depth_max, std::size_t bytes_max = limits::key_bytes_max)
      : depth_max_(depth_max), bytes_max_(bytes_max) {}

  // Every function says whether to go on.
  bool nil() { return begin_value(1) && (pack_nil(out_), true); }
  bool boolean(bool value) { return begin_value(1) && (pack_boolean(out_, value), true); }
  bool signed_integer(std::int64_t value) { return begin_value(9) && (pack_signed(out_, value), true); }
  bool unsigned_integer(std::uint64_t value) { return begin_value(9) && (pack_unsigned(out_, value), true); }
  bool real(double value) { return begin_value(9) && (pack_real(out_, value), true); }
  bool text(std::string_view utf8) {
    if (!is_utf8(utf8)) return fail(ErrorCode::invalid_argument, "text in a key must be UTF-8 (use bytes for other data)");
    return begin_value(utf8.size()) && (pack_text(out_, utf8), true);
  }
  bool bytes(std::string_view value) { return begin_value(value.size()) && (pack_bytes(out_, value), true); }
  bool timestamp(const Timestamp& value) {
    if (value.nanoseconds > nanoseconds_max)
      return fail(ErrorCode::invalid_argument,
                  "a timestamp's nanoseconds " + std::to_string(value.nanoseconds) + " > " + std::to_string(nanoseconds_max));
    return begin_value(15) && (pack_timestamp(out_, value), true);
  }
  bool digest(const std::uint8_t (&value)[32]) { return begin_value(35) && (pack_digest(out_, value), true); }
  // A value that is canonical already.
  bool canonical(std::string_view value) { return begin_value(value.size()) && (out_.append(value), true); }

  bool open_array() { return open(false); }
  bool open_map() { return open(true); }
  // Closes the innermost container.
  bool close() {
    if (error_.has_value()) return false;
    const Level level = levels_.back();
    levels_.pop_back();
    const std::size_t children = starts_.size() - level.first_start;
    if (level.map && !sort_entries(level)) return false;
    starts_.resize(level.first_start);
    head_.clear();
    if (level.map) pack_map_head(head_, children / 2);
    else pack_array_head(head_, children);
    out_.insert(level.begin, head_);
    return fits(0);
  }

  bool fail(ErrorCode code, std::string text) {
    if (!error_.has_value()) error_ = Error{code, std::move(text)};
    return false;
  }
  bool failed() const { return error_.has_value(); }
  // All that was written, once every container is closed.
  Result<std::string> take() && {
    if (error_.has_value()) return *std::move(error_);
    return std::move(out_);
  }

  // The innermost open map's children so far and the bytes of one of them (valid until the next call that writes).
  std::size_t children() const { return starts_.size() - levels_.back().first_start; }
  std::string_view child(std::size_t number) const {
    const std::size_t at = levels_.back().first_start + number;
    const std::size_t end = at + 1 < starts_.size() ? starts_[at + 1] : out_.size();
    return std::string_view(out_).substr(starts_[at], end - starts_[at]);
  }
  // Takes the innermost open container away again, with all that is in it; a value may then stand in its place.
  void discard() {
    const Level level = levels_.back();
    levels_.pop_back();
    starts_.resize(level.first_start);
    if (!levels_.empty()) starts_.pop_back();
    out_.resize(level.begin);
  }

 private:
  struct Level {
    bool map;
    std::size_t begin;        // where its values begin in out_; its head is put there when it is closed
    std::size_t first_start;  // its first child's place in starts_
  };

  bool fits(std::size_t more) {
    if (out_.size() + more <= bytes_max_) return true;
    return fail(ErrorCode::too_large, "a key longer than " + std::to_string(limits::key_bytes_max) +
                                          " bytes (pass the digest of a large argument instead)");
  }
  bool begin_value(std::size_t bytes) {
    if (error_.has_value() || !fits(bytes)) return false;
    if (!levels_.empty()) starts_.push_back(out_.size());
    return true;
  }
  bool open(bool map) {
    if (!begin_value(1)) return false;
    if (levels_.size() == depth_max_)
      return fail(ErrorCode::too_large, "arguments nested deeper than " + std::to_string(limits::key_depth_max));
    levels_.push_back({map, out_.size(), starts_.size()});
    return true;
  }

  // Children of a map are key, value, key, value. Sorted already, as often, nothing moves.
  bool sort_entries(const Level& level) {
    struct Entry {
      std::string_view key;
      std::string_view value;
    };
    const std::string_view all = out_;
    std::vector<Entry> entries;
    entries.reserve((starts_.size() - level.first_start) / 2);
    for (std::size_t at = level.first_start; at + 1 < starts_.size(); at += 2) {
      const std::size_t end = at + 2 < starts_.size() ? starts_[at + 2] : out_.size();
      entries.push_back({all.substr(starts_[at], starts_[at + 1] - starts_[at]), all.substr(starts_[at + 1], end - starts_[at + 1])});
    }
    const auto by_key = [](const Entry& a, const Entry& b) { return a.key < b.key; };
    const bool sorted = std::is_sorted(entries.begin(), entries.end(), by_key);
    if (!sorted) std::sort(entries.begin(), entries.end(), by_key);
    const auto same_key = [](const Entry& a, const Entry& b) { return a.key == b.key; };
    if (std::adjacent_find(entries.begin(), entries.end(), same_key) != entries.end())
      return fail(ErrorCode::invalid_argument, "a map in a key holds the same name twice");
    if (!sorted) {
      std::string ordered;
      ordered.reserve(out_.size() - level.begin);
      for (const Entry& entry : entries) ordered.append(entry.key).append(entry.value);
      out_.replace(level.begin, std::string::npos, ordered);
    }
    return true;
  }

  std::size_t depth_max_;
  std::size_t bytes_max_;
  std::string out_;
  std::string head_;
  std::vector<Level> levels_;
  std::vector<std::size_t> starts_;  // of all children of all open containers, in out_
  std::optional<Error> error_;
};

}  // namespace onced::protocol
