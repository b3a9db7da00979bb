// Terminal charts: pure functions from numbers to lines of text.
//
// Every line of a chart has exactly the style's width in columns, colour codes not counted, so that charts can stand
// side by side.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "text_analysis.hpp"

namespace onced::demo {

struct ChartStyle {
  std::size_t width = 38;
  bool unicode = false;  // blocks with eighths of a column; otherwise '#'
  bool colour = false;
};

using Lines = std::vector<std::string>;

struct Bar {
  std::string label;
  std::uint64_t value = 0;
  std::string shown;  // the value as text
};

// A title, then one bar a line: label, bar, value. The longest bar fills what is left.
Lines bar_chart(std::string_view title, const std::vector<Bar>& bars, const ChartStyle& style);

// What the demo's four callbacks draw, each from its part of an analysis.
Lines chart_of(const WordFrequencies& words, const ChartStyle& style);
Lines chart_of(const LineHistogram& lines, const ChartStyle& style);
Lines chart_of(const IncludedHeaders& headers, const ChartStyle& style);
Lines chart_of(const FileSizes& files, const ChartStyle& style);

// Two charts with a gap of `gap` columns; the shorter one is filled up with blank lines.
Lines side_by_side(const Lines& left, const Lines& right, std::size_t left_width, std::size_t gap);

// A bar of `columns` columns, filled up to a fraction in [0, 1].
std::string bar(double fraction, std::size_t columns, bool unicode);

}  // namespace onced::demo
