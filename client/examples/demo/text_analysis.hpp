// What the demo computes: a small summary of a large amount of text. Pure: text in, numbers out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <msgpack.hpp>

namespace onced::demo {

struct Counted {
  std::string name;
  std::uint64_t count = 0;
  MSGPACK_DEFINE(name, count)
  friend bool operator==(const Counted&, const Counted&) = default;
};

// Lines by length: bucket i holds lengths [i * 20, i * 20 + 19], the last one everything longer.
inline constexpr std::size_t line_length_step = 20;
inline constexpr std::size_t line_length_buckets = 7;
using LineLengths = std::array<std::uint64_t, line_length_buckets>;

struct Analysis {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t lines = 0;
  std::uint64_t words = 0;
  std::uint64_t distinct_words = 0;
  LineLengths line_lengths{};
  std::vector<Counted> frequent_words;    // the most frequent first; ties by name
  std::vector<Counted> included_headers;  // by #include lines
  std::vector<Counted> largest_files;     // in bytes
  MSGPACK_DEFINE(files, bytes, lines, words, distinct_words, line_lengths, frequent_words, included_headers, largest_files)
  friend bool operator==(const Analysis&, const Analysis&) = default;
};

// A few kilobytes of MessagePack, far below what one value may take.
std::string encode(const Analysis& analysis);
std::optional<Analysis> decode(std::string_view bytes);

// "vector" of `#include <vector>`, nothing of any other line.
std::optional<std::string_view> included_header(std::string_view line);

class Analyzer {
 public:
  static constexpr std::size_t ranks = 8;  // how many of each list are kept

  // A word is a letter or underscore, then at least one letter, digit or underscore.
  void add(std::string_view name, std::string_view content);
  Analysis finish() const;

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Counts = std::unordered_map<std::string, std::uint64_t, TextHash, std::equal_to<>>;

  static void count(Counts& counts, std::string_view name);
  static std::vector<Counted> highest(std::vector<Counted> all);
  static std::vector<Counted> highest(const Counts& counts);
  void add_line(std::string_view line);

  Analysis sums_;
  Counts words_;
  Counts headers_;
  std::vector<Counted> files_;
};

}  // namespace onced::demo
