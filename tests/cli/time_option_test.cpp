#include "time_option.hpp"

#include <doctest/doctest.h>

namespace onced::cli {

TEST_CASE("a time that is none is told with its option, and one of nothing as what it is") {
  CHECK(time_option("--ttl", "90s")->count() == 90'000);
  CHECK(time_option("--ttl", "soon").error().text == "--ttl soon: not a time such as 500ms, 90s, 5m or 2h");
  CHECK(time_option("--timeout", "0s").error().text == "--timeout 0s: must be longer than nothing");
  CHECK(time_option("--ttl", "0").error().code == ErrorCode::invalid_argument);
}

}  // namespace onced::cli
