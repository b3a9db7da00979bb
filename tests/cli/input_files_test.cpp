#include "input_files.hpp"

#include <doctest/doctest.h>

#include "support/temp_directory.hpp"

namespace onced::demo {

TEST_CASE("progress begins with nothing done, rises, and ends with everything done") {
  const testing::TempDirectory directory;
  for (int i = 0; i < 200; ++i) testing::write_file(directory / ("file" + std::to_string(i)), "int x;\n");
  std::vector<std::size_t> told;
  analyze(find_files(directory.path()), [&](std::size_t done) { told.push_back(done); });
  REQUIRE(told.size() > 2);
  CHECK(told.front() == 0);
  CHECK(told.back() == 200);
  for (std::size_t i = 1; i < told.size(); ++i) CHECK(told[i - 1] < told[i]);
}

}  // namespace onced::demo
