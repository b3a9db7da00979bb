#include "text_analysis.hpp"

#include <doctest/doctest.h>

#include <onced/protocol/limits.hpp>

namespace onced::demo {

TEST_CASE("words, lines and lengths are counted") {
  Analyzer analyzer;
  analyzer.add("a", "int main\n\nint x2 = 42; // a B\n");
  const Analysis analysis = analyzer.finish();
  CHECK(analysis.files == 1);
  CHECK(analysis.lines == 3);
  CHECK(analysis.bytes == 30);
  CHECK(analysis.words == 4);  // int main int x2; numbers and single letters are none
  CHECK(analysis.distinct_words == 3);
  CHECK(analysis.frequent_words == std::vector<Counted>{{"int", 2}, {"main", 1}, {"x2", 1}});
  CHECK(analysis.line_lengths == LineLengths{3, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("line lengths fall into their buckets, the longest into the last") {
  Analyzer analyzer;
  analyzer.add("a", std::string(19, 'x') + "\n" + std::string(20, 'x') + "\n" + std::string(119, 'x') + "\n" + std::string(5000, 'x'));
  CHECK(analyzer.finish().line_lengths == LineLengths{1, 1, 0, 0, 0, 1, 1});
}

TEST_CASE("a last line without a newline counts, an empty file has none") {
  Analyzer analyzer;
  analyzer.add("a", "one\ntwo");
  analyzer.add("b", "");
  CHECK(analyzer.finish().lines == 2);
  CHECK(analyzer.finish().files == 2);
}

TEST_CASE("include lines are recognised as the preprocessor does") {
  CHECK(included_header("#include <vector>") == "vector");
  CHECK(included_header("  #  include \"a/b.hpp\" // why") == "a/b.hpp");
  for (const char* line : {"", "#", "include <x>", "#include", "#include <x", "#include MACRO", "// #include <x>", "#define include <x>"}) {
    CAPTURE(line);
    CHECK_FALSE(included_header(line).has_value());
  }
}

TEST_CASE("the ranks are by count, ties by name, and no more than are kept") {
  Analyzer analyzer;
  for (int i = 0; i < 20; ++i) analyzer.add("file" + std::to_string(i), std::string(static_cast<std::size_t>(i), '\n'));
  analyzer.add("x", "#include <b>\n#include <a>\n#include <c>\n#include <c>\n");
  const Analysis analysis = analyzer.finish();
  CHECK(analysis.largest_files.size() == Analyzer::ranks);
  CHECK(analysis.largest_files[0].name == "x");
  CHECK(analysis.largest_files[1].name == "file19");
  CHECK(analysis.included_headers == std::vector<Counted>{{"c", 2}, {"a", 1}, {"b", 1}});
}

TEST_CASE("an analysis comes back from its bytes, which fit into a value however long the names") {
  Analyzer analyzer;
  for (int i = 0; i < 20; ++i) analyzer.add(std::string(255, static_cast<char>('a' + i)), std::string(255, static_cast<char>('a' + i)));
  const Analysis analysis = analyzer.finish();
  const std::string bytes = encode(analysis);
  CHECK(bytes.size() < limits::value_bytes_max / 4);
  CHECK(decode(bytes) == analysis);
  CHECK_FALSE(decode("").has_value());
  CHECK_FALSE(decode("nonsense").has_value());
  CHECK_FALSE(decode(std::string_view(bytes).substr(0, bytes.size() / 2)).has_value());
}

}  // namespace onced::demo
