#include "engine/parts.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace onced;
using namespace onced::engine;
using protocol::Part;

namespace {
std::vector<Part> numbered_parts(std::size_t count) {
  std::vector<Part> parts(count);
  for (std::size_t i = 0; i < count; ++i) parts[i].name = std::to_string(i);
  return parts;
}
ErrorCode code_of(const std::vector<Part>& parts, const Settings& settings = {}) {
  const auto problem = problem_of(parts, settings);
  REQUIRE(problem);
  CHECK(problem->text.size() > 20);
  return problem->code;
}
}  // namespace

TEST_CASE("sums tell inline bytes from those in blobs, and name each blob once") {
  const PartSums sums = sums_of({{"a", "", "12345"}, {"b", "", "", 9, 0, 100}, {"c", "", "", 7, 64, 10}, {"d", "", "", 9, 128, 1}});
  CHECK(sums.inline_bytes == 5);
  CHECK(sums.blob_bytes == 111);
  CHECK(sums.bytes() == 116);
  CHECK(sums.blobs == std::vector{BlobId{7}, BlobId{9}});
}

TEST_CASE("a value has from one to the most allowed parts, with different names") {
  CHECK_FALSE(problem_of(numbered_parts(limits::parts_max), {}));
  CHECK(code_of({}) == ErrorCode::invalid_argument);
  CHECK(code_of(numbered_parts(limits::parts_max + 1)) == ErrorCode::limit_reached);
  CHECK(code_of({{"a", "", "1"}, {"", "", "2"}, {"a", "", "3"}}) == ErrorCode::invalid_argument);
  CHECK_FALSE(problem_of({{"a", "", "1"}, {"", "", "2"}, {"A", "", "3"}}, {}));
}

TEST_CASE("a part has bytes or a place in a blob") {
  CHECK(code_of({{"", "", "bytes", 0, 64, 0}}) == ErrorCode::invalid_argument);
  CHECK(code_of({{"", "", "bytes", 0, 0, 5}}) == ErrorCode::invalid_argument);
  CHECK(code_of({{"", "", "bytes", 7, 0, 5}}) == ErrorCode::invalid_argument);
  CHECK_FALSE(problem_of({{"", "", "", 7, 0, 5}}, {}));
}

TEST_CASE("inline bytes, one part and the whole value have limits, and each text names its own") {
  const std::string half(limits::value_bytes_max / 2, 'x');
  CHECK_FALSE(problem_of({{"a", "", half}, {"b", "", half}, {"c", "", "", 7, 0, 1 << 30}}, {}));
  CHECK(code_of({{"a", "", half}, {"b", "", half}, {"c", "", "x"}}) == ErrorCode::too_large);
  CHECK(code_of({{"a", "", "", 7, 0, limits::part_bytes_max + 1}}) == ErrorCode::too_large);
  CHECK(code_of({{"a", "", "", 7, 0, ~std::uint64_t{0}}, {"b", "", "", 8, 0, 2}}) == ErrorCode::too_large);
  Settings settings;
  settings.stored_value_bytes_max = 1000;
  CHECK_FALSE(problem_of({{"a", "", "x"}, {"b", "", "", 7, 0, 999}}, settings));
  CHECK(problem_of({{"a", "", "xx"}, {"b", "", "", 7, 0, 999}}, settings)->text.find("stored_value_bytes_max") != std::string::npos);
}
