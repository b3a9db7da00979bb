#include "part_words.hpp"

#include <doctest/doctest.h>

#include <onced/protocol/limits.hpp>

namespace onced::cli {
namespace {

std::vector<PartSource> sources_of(const PartWords& words) {
  const Result<std::vector<PartSource>> sources = part_sources(words);
  REQUIRE(sources.ok());
  return *sources;
}

bool refused(const PartWords& words) {
  const Result<std::vector<PartSource>> sources = part_sources(words);
  return !sources && sources.error().code == ErrorCode::invalid_argument;
}

}  // namespace

TEST_CASE("without words a value is standard input, in a part without a name") {
  const auto sources = sources_of({.content_type = "text/plain"});
  REQUIRE(sources.size() == 1);
  CHECK(sources[0].name.empty());
  CHECK(sources[0].path == "-");
  CHECK(sources[0].content_type == "text/plain");
}

TEST_CASE("a name ends at the first equals sign, files and types may hold more of them and anything else") {
  const auto sources = sources_of({.parts = {"a=x=y:z", "b=/tmp/c", "=unnamed"}, .types = {"a=text/plain; charset=utf-8"}, .content_type = "x/y"});
  REQUIRE(sources.size() == 3);
  CHECK(sources[0].name == "a");
  CHECK(sources[0].path == "x=y:z");
  CHECK(sources[0].content_type == "text/plain; charset=utf-8");
  CHECK(sources[1].content_type == "x/y");
  CHECK(sources[2].name.empty());
}

TEST_CASE("--file is the part without a name, and first") {
  const auto sources = sources_of({.file = "f", .parts = {"a=g"}});
  REQUIRE(sources.size() == 2);
  CHECK(sources[0].name.empty());
  CHECK(sources[0].path == "f");
  CHECK(refused({.file = "f", .parts = {"=g"}}));
}

TEST_CASE("standard input is one part at most") {
  CHECK(sources_of({.parts = {"a=-", "b=f"}})[0].path == "-");
  CHECK(refused({.parts = {"a=-", "b=-"}}));
  CHECK(refused({.file = "-", .parts = {"b=-"}}));
}

TEST_CASE("what names no file, no such part, twice the same, too much or no text is refused") {
  CHECK(refused({.parts = {"name"}}));
  CHECK(refused({.parts = {"name="}}));
  CHECK(refused({.parts = {"a=f", "a=g"}}));
  CHECK(refused({.parts = {"a=f"}, .types = {"b=x/y"}}));
  CHECK(refused({.parts = {"a=f"}, .types = {"x/y"}}));
  CHECK(refused({.parts = {"\xff=f"}}));
  CHECK(refused({.content_type = std::string(limits::content_type_bytes_max + 1, 'x')}));
  CHECK(refused({.parts = {std::string(limits::part_name_bytes_max + 1, 'x') + "=f"}}));
  CHECK_FALSE(refused({.parts = {std::string(limits::part_name_bytes_max, 'x') + "=f"}}));
  PartWords many;
  for (std::size_t i = 0; i < limits::parts_max; ++i) many.parts.push_back(std::to_string(i) + "=f");
  CHECK_FALSE(refused(many));
  many.parts.push_back("more=f");
  CHECK(refused(many));
}

}  // namespace onced::cli
