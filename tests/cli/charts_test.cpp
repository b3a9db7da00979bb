#include "charts.hpp"

#include <doctest/doctest.h>

#include <tuple>

#include "text_format.hpp"

namespace onced::demo {
namespace {

const Analysis sample = [] {
  Analyzer analyzer;
  analyzer.add("include/a_file_with_a_rather_long_name.hpp", "#include <vector>\nint main vector vector\n");
  analyzer.add("b\x1b[31m", std::string(200, 'y'));
  return analyzer.finish();
}();

}  // namespace

TEST_CASE("a bar is as long as its share, to an eighth of a column where the terminal can show it") {
  CHECK(bar(0.5, 10, false) == "#####     ");
  CHECK(bar(1, 4, true) == "████");
  CHECK(bar(0.5, 3, true) == "█▌ ");
  CHECK(bar(7, 4, false) == "####");
  CHECK(bar(-1, 4, false) == "    ");
}

TEST_CASE("every line of every chart has the chart's width") {
  for (const bool unicode : {false, true}) {
    for (const std::size_t width : {30U, 39U, 60U}) {
      const ChartStyle style{width, unicode, false};
      const auto check = [&](const auto& part) {
        const Lines lines = chart_of(part, style);
        CHECK(lines.size() > 1);
        for (const std::string& line : lines) CHECK(cli::columns_of(line) == width);
      };
      std::apply([&](const auto&... parts) { (check(parts), ...); }, sample);
    }
  }
}

TEST_CASE("the longest bar is the highest value's, and nothing is drawn for zero") {
  const Lines lines = bar_chart("t", {{"a", 10, "10"}, {"b", 5, "5"}, {"c", 0, "0"}}, {20, false, false});
  CHECK(lines == Lines{"t                   ", "a ############### 10", "b #######          5", "c                  0"});
}

TEST_CASE("names from files cannot paint the terminal") {
  for (const std::string& line : chart_of(std::get<FileSizes>(sample), {39, false, false})) CHECK(line.find('\x1b') == std::string::npos);
}

TEST_CASE("colours are there only when wanted") {
  CHECK(chart_of(std::get<WordFrequencies>(sample), {39, false, true})[0].find("\x1b[") != std::string::npos);
  CHECK(chart_of(std::get<WordFrequencies>(sample), {39, false, false})[0].find('\x1b') == std::string::npos);
}

TEST_CASE("two charts stand side by side, the shorter one filled up") {
  CHECK(side_by_side({"aa", "bb"}, {"c"}, 2, 1) == Lines{"aa c", "bb"});
  CHECK(side_by_side({"aa"}, {"c", "d"}, 2, 1) == Lines{"aa c", "   d"});
}

}  // namespace onced::demo
