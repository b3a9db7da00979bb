// What the demo computes: a small summary of a large amount of text. Pure: text in, numbers out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
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

// What is computed, in four parts: each chart needs one of them, under the name that stands in it.
struct WordFrequencies {
  static constexpr std::string_view part_name = "words";
  std::uint64_t words = 0;
  std::uint64_t distinct_words = 0;
  std::vector<Counted> most_frequent;  // the most frequent first; ties by name
  MSGPACK_DEFINE(words, distinct_words, most_frequent)
};
struct LineHistogram {
  static constexpr std::string_view part_name = "line lengths";
  std::uint64_t lines = 0;
  LineLengths lengths{};
  MSGPACK_DEFINE(lines, lengths)
};
struct IncludedHeaders {
  static constexpr std::string_view part_name = "headers";
  std::vector<Counted> most_included;  // by #include lines
  MSGPACK_DEFINE(most_included)
};
struct FileSizes {
  static constexpr std::string_view part_name = "files";
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::vector<Counted> largest;  // in bytes
  MSGPACK_DEFINE(files, bytes, largest)
};
using Analysis = std::tuple<WordFrequencies, LineHistogram, IncludedHeaders, FileSizes>;

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

  WordFrequencies word_sums_;  // the lists in these are made by finish()
  LineHistogram lines_;
  FileSizes file_sums_;
  Counts words_;
  Counts headers_;
  std::vector<Counted> files_;
};

}  // namespace onced::demo
