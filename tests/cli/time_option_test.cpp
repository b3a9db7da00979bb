#include "time_option.hpp"

#include "count_option.hpp"

#include <doctest/doctest.h>

namespace onced::cli {

TEST_CASE("a time that is none is told with its option, and one of nothing as what it is") {
  CHECK(time_option("--ttl", "90s")->count() == 90'000);
  CHECK(time_option("--ttl", "soon").error().text == "--ttl soon: not a time such as 500ms, 90s, 5m or 2h");
  CHECK(time_option("--timeout", "0s").error().text == "--timeout 0s: must be longer than nothing");
  CHECK(time_option("--ttl", "5").error().text == "--ttl 5: a time needs its unit, as in 500ms, 90s, 5m or 2h");
  CHECK(time_option("--ttl", "9999999999d").error().text.starts_with("--ttl 9999999999d: too long; at most "));
  CHECK(time_option("--interval", "5ms", {.least = Milliseconds(100)}).error().text == "--interval 5ms: too short; at least 100.0 ms");
  CHECK(time_option("--interval", "100ms", {.least = Milliseconds(100)})->count() == 100);
  CHECK(time_option("--grace", "60d", {.most = Milliseconds(0xffff'ffff)}).error().text.starts_with("--grace 60d: too long; at most 49 d"));
  CHECK(time_option("--ttl", "0").error().code == ErrorCode::invalid_argument);
}

TEST_CASE("a count is a whole number from 1 on, or nothing") {
  CHECK(*count_option("--limit", "") == 0);
  CHECK(*count_option("--limit", "10") == 10);
  for (const char* wrong : {"0", "-1", "x", "1.5", " 1", "99999999999999999999"}) {
    CAPTURE(wrong);
    CHECK(count_option("--limit", wrong).error().text == "--limit " + std::string(wrong) + ": not a whole number from 1 on; without it there is no bound");
  }
}

}  // namespace onced::cli
