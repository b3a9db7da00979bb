#include "text_analysis.hpp"

#include <algorithm>
#include <utility>

namespace onced::demo {
namespace {

constexpr bool starts_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
constexpr bool continues_word(char c) { return starts_word(c) || (c >= '0' && c <= '9'); }

std::string_view without_blanks(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

}  // namespace

std::optional<std::string_view> included_header(std::string_view line) {
  constexpr std::string_view directive = "include";
  line = without_blanks(line);
  if (line.empty() || line.front() != '#') return std::nullopt;
  line = without_blanks(line.substr(1));
  if (!line.starts_with(directive)) return std::nullopt;
  line = without_blanks(line.substr(directive.size()));
  if (line.size() < 2 || (line.front() != '<' && line.front() != '"')) return std::nullopt;
  const char closing = line.front() == '<' ? '>' : '"';
  const std::size_t end = line.find(closing, 1);
  if (end == std::string_view::npos) return std::nullopt;
  return line.substr(1, end - 1);
}

void Analyzer::count(Counts& counts, std::string_view name) {
  const auto found = counts.find(name);
  if (found != counts.end()) ++found->second;
  else counts.emplace(name, 1);
}

void Analyzer::add_line(std::string_view line) {
  ++lines_.lines;
  ++lines_.lengths[std::min(line.size() / line_length_step, line_length_buckets - 1)];
  if (const auto header = included_header(line)) count(headers_, *header);
  for (std::size_t at = 0; at < line.size();) {
    if (!continues_word(line[at])) {
      ++at;
      continue;
    }
    const std::size_t begin = at;
    while (at < line.size() && continues_word(line[at])) ++at;
    if (!starts_word(line[begin]) || at - begin < 2) continue;  // a number, a single letter
    ++word_sums_.words;
    count(words_, line.substr(begin, at - begin));
  }
}

void Analyzer::add(std::string_view name, std::string_view content) {
  ++file_sums_.files;
  file_sums_.bytes += content.size();
  files_.push_back({std::string(name), content.size()});
  while (!content.empty()) {
    const std::size_t end = content.find('\n');
    add_line(content.substr(0, end));
    if (end == std::string_view::npos) break;
    content.remove_prefix(end + 1);
  }
}

std::vector<Counted> Analyzer::highest(std::vector<Counted> all) {
  const std::size_t kept = std::min(ranks, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(kept), all.end(), [](const auto& a, const auto& b) {
    return a.count != b.count ? a.count > b.count : a.name < b.name;
  });
  all.resize(kept);
  return all;
}

std::vector<Counted> Analyzer::highest(const Counts& counts) {
  std::vector<Counted> all;
  all.reserve(counts.size());
  for (const auto& [name, number] : counts) all.push_back({name, number});
  return highest(std::move(all));
}

Analysis Analyzer::finish() const {
  WordFrequencies words = word_sums_;
  words.distinct_words = words_.size();
  words.most_frequent = highest(words_);
  FileSizes files = file_sums_;
  files.largest = highest(files_);
  return {std::move(words), lines_, {highest(headers_)}, std::move(files)};
}

}  // namespace onced::demo
