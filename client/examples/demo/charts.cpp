#include "charts.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "text_format.hpp"

namespace onced::demo {
namespace {

// Of a column of its own each: a chart is read by its outline.
constexpr std::array<std::string_view, 8> eighths{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

std::string repeated(std::string_view piece, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += piece;
  return out;
}

std::string filled(std::string text, std::size_t columns) {
  const std::size_t have = cli::columns_of(text);
  if (have < columns) text.append(columns - have, ' ');
  return text;
}

std::string painted(std::string_view code, std::string_view text, bool colour) {
  return colour ? "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m" : std::string(text);
}

// The end of a path says more than its beginning.
std::string cut_front(const std::string& text, std::size_t columns) {
  if (cli::columns_of(text) <= columns || text.size() <= columns) return text;
  return ".." + text.substr(text.size() - (columns - 2));
}

std::vector<Bar> counted_bars(const std::vector<Counted>& all, std::string (*show)(std::uint64_t)) {
  std::vector<Bar> bars;
  for (const Counted& one : all) bars.push_back({cli::escape(one.name), one.count, show(one.count)});
  return bars;
}

}  // namespace

std::string bar(double fraction, std::size_t columns, bool unicode) {
  const double exact = std::clamp(fraction, 0.0, 1.0) * static_cast<double>(columns);
  const auto whole = static_cast<std::size_t>(exact);
  std::string text = repeated(unicode ? "█" : "#", whole);
  if (unicode && whole < columns) text += eighths[static_cast<std::size_t>((exact - std::floor(exact)) * 8)];
  return filled(std::move(text), columns);
}

Lines bar_chart(std::string_view title, const std::vector<Bar>& bars, const ChartStyle& style) {
  Lines lines{painted("1", filled(cli::cut_to(title, style.width), style.width), style.colour)};
  std::size_t label_width = 0;
  std::size_t value_width = 0;
  std::uint64_t highest = 1;
  for (const Bar& one : bars) {
    label_width = std::max(label_width, cli::columns_of(one.label));
    value_width = std::max(value_width, cli::columns_of(one.shown));
    highest = std::max(highest, one.value);
  }
  label_width = std::min(label_width, style.width * 2 / 5);
  const std::size_t taken = label_width + value_width + 2;
  const std::size_t bar_width = style.width > taken ? style.width - taken : 1;
  for (const Bar& one : bars) {
    std::string line = filled(cut_front(one.label, label_width), label_width) + " ";
    const std::string drawn = bar(static_cast<double>(one.value) / static_cast<double>(highest), bar_width, style.unicode);
    line += painted("36", drawn, style.colour) + " ";
    line += std::string(value_width - cli::columns_of(one.shown), ' ') + one.shown;
    lines.push_back(std::move(line));
  }
  return lines;
}

Lines chart_of(const WordFrequencies& words, const ChartStyle& style) {
  return bar_chart("Most frequent words", counted_bars(words.most_frequent, cli::human_count), style);
}

Lines chart_of(const LineHistogram& lines, const ChartStyle& style) {
  std::vector<Bar> bars;
  for (std::size_t i = 0; i < line_length_buckets; ++i) {
    const std::size_t from = i * line_length_step;
    const bool last = i + 1 == line_length_buckets;
    bars.push_back({last ? std::to_string(from) + " and more" : std::to_string(from) + "-" + std::to_string(from + line_length_step - 1),
                    lines.lengths[i], cli::human_count(lines.lengths[i])});
  }
  return bar_chart("Lines by length", bars, style);
}

Lines chart_of(const IncludedHeaders& headers, const ChartStyle& style) {
  return bar_chart("Most included headers", counted_bars(headers.most_included, cli::human_count), style);
}

Lines chart_of(const FileSizes& files, const ChartStyle& style) {
  return bar_chart("Largest files", counted_bars(files.largest, cli::human_bytes), style);
}

Lines side_by_side(const Lines& left, const Lines& right, std::size_t left_width, std::size_t gap) {
  Lines lines;
  for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
    std::string line = i < left.size() ? left[i] : std::string(left_width, ' ');
    if (i < right.size()) line += std::string(gap, ' ') + right[i];
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace onced::demo
