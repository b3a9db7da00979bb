#include <memory>

#include <doctest/doctest.h>

#include <onced/protocol/result.hpp>

using onced::Error;
using onced::ErrorCode;
using onced::Result;

TEST_CASE("a result holds a value or an error") {
  Result<int> good = 7;
  REQUIRE(good.ok());
  CHECK(*good == 7);
  *good = 8;
  CHECK(good.value() == 8);

  const Result<int> bad = Error{ErrorCode::too_large, "7 > 6"};
  REQUIRE_FALSE(bad);
  CHECK(bad.error().code == ErrorCode::too_large);
  CHECK(bad.error().text == "7 > 6");
}

TEST_CASE("a result gives away what can only be moved") {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
  const std::unique_ptr<int> value = *std::move(result);
  CHECK(*value == 7);
}

TEST_CASE("a result of nothing is good unless it holds an error") {
  CHECK(Result<void>().ok());
  const Result<void> bad = Error{ErrorCode::cancelled, "by somebody"};
  CHECK_FALSE(bad.ok());
  CHECK(bad.error().code == ErrorCode::cancelled);
}

TEST_CASE("every error code has a name of its own and keeps its number") {
  const char* names[] = {"invalid_argument", "malformed", "version_mismatch", "too_large", "limit_reached", "not_permitted",
                         "unknown_token", "recursion", "deadlock", "timed_out", "cancelled", "computation_failed",
                         "unavailable", "not_found", "out_of_memory", "internal"};
  std::uint16_t number = 0;
  for (const char* name : names) CHECK(onced::name_of(static_cast<ErrorCode>(++number)) == name);
  CHECK(number == static_cast<std::uint16_t>(ErrorCode::internal));
  CHECK(onced::name_of(static_cast<ErrorCode>(999)) == "unknown");
}
