#include "text_analysis.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <tuple>

namespace onced::demo {

TEST_CASE("words, lines and lengths are counted") {
  Analyzer analyzer;
  analyzer.add("a", "int main\n\nint x2 = 42; // a B\n");
  const Analysis analysis = analyzer.finish();
  CHECK(std::get<FileSizes>(analysis).files == 1);
  CHECK(std::get<LineHistogram>(analysis).lines == 3);
  CHECK(std::get<FileSizes>(analysis).bytes == 30);
  CHECK(std::get<WordFrequencies>(analysis).words == 4);  // int main int x2; numbers and single letters are none
  CHECK(std::get<WordFrequencies>(analysis).distinct_words == 3);
  CHECK(std::get<WordFrequencies>(analysis).most_frequent == std::vector<Counted>{{"int", 2}, {"main", 1}, {"x2", 1}});
  CHECK(std::get<LineHistogram>(analysis).lengths == LineLengths{3, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("line lengths fall into their buckets, the longest into the last") {
  Analyzer analyzer;
  analyzer.add("a", std::string(19, 'x') + "\n" + std::string(20, 'x') + "\n" + std::string(119, 'x') + "\n" + std::string(5000, 'x'));
  CHECK(std::get<LineHistogram>(analyzer.finish()).lengths == LineLengths{1, 1, 0, 0, 0, 1, 1});
}

TEST_CASE("a last line without a newline counts, an empty file has none") {
  Analyzer analyzer;
  analyzer.add("a", "one\ntwo");
  analyzer.add("b", "");
  CHECK(std::get<LineHistogram>(analyzer.finish()).lines == 2);
  CHECK(std::get<FileSizes>(analyzer.finish()).files == 2);
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
  CHECK(std::get<FileSizes>(analysis).largest.size() == Analyzer::ranks);
  CHECK(std::get<FileSizes>(analysis).largest[0].name == "x");
  CHECK(std::get<FileSizes>(analysis).largest[1].name == "file19");
  CHECK(std::get<IncludedHeaders>(analysis).most_included == std::vector<Counted>{{"c", 2}, {"a", 1}, {"b", 1}});
}

template <typename Part>
bool comes_back(const Part& part) {
  msgpack::sbuffer buffer;
  msgpack::pack(buffer, part);
  msgpack::sbuffer again;
  msgpack::pack(again, msgpack::unpack(buffer.data(), buffer.size()).get().as<Part>());
  return std::string_view(buffer.data(), buffer.size()) == std::string_view(again.data(), again.size());
}

TEST_CASE("each part of an analysis comes back from its bytes") {
  Analyzer analyzer;
  analyzer.add("a", "#include <b>\nint main\n");
  std::apply([](const auto&... parts) { CHECK((comes_back(parts) && ...)); }, analyzer.finish());
}

}  // namespace onced::demo
