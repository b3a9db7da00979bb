#include "service/quantities.hpp"

#include <doctest/doctest.h>

#include "support/quantities.hpp"

using namespace onced::service;
using namespace std::chrono_literals;

TEST_CASE("sizes are bytes or whole numbers with a unit") {
  CHECK(parse_size("0").value() == 0);
  CHECK(parse_size("4096").value() == 4096);
  CHECK(parse_size("1B").value() == 1);
  CHECK(parse_size("64KiB").value() == 65536);
  CHECK(parse_size("256MiB").value() == std::uint64_t{256} << 20);
  CHECK(parse_size("16777215TiB").value() == std::uint64_t{16777215} << 40);
  for (const char* text : {"", " 1", "1 ", "1 MiB", "-1", "+1", "1.5GiB", "64MB", "64mib", "MiB", "0x10", "1e3",
                           "16777216TiB", "18446744073709551616", "1MiB1"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_size(text).ok());
  }
}

TEST_CASE("durations are whole numbers with a unit") {
  CHECK(parse_duration("0s").value() == 0ms);
  CHECK(parse_duration("250ms").value() == 250ms);
  CHECK(parse_duration("5s").value() == 5s);
  CHECK(parse_duration("5min").value() == 5min);
  CHECK(parse_duration("5m").value() == 5min);  // as oncectl has it
  CHECK(parse_duration("2h").value() == 2h);
  CHECK(parse_duration("1d").value() == 24h);
  for (const char* text : {"", "5", "5M", "5 s", "-5s", "1.5s", "s", "5sec", "5S", "3651d", "99999999999999999999s"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration(text).ok());
  }
}

TEST_CASE("sizes and durations are written as for oncectl") {
  for (const auto& [text, bytes] : onced::testing::sizes_for_all()) {
    CAPTURE(text);
    CHECK(parse_size(text).value() == bytes);
  }
  for (const auto& [text, duration] : onced::testing::durations_for_all()) {
    CAPTURE(text);
    CHECK(parse_duration(text).value() == duration);
  }
}

TEST_CASE("factors have at most three digits behind the point") {
  CHECK(parse_factor("0").value() == 0);
  CHECK(parse_factor("2").value() == 2000);
  CHECK(parse_factor("1.5").value() == 1500);
  CHECK(parse_factor("0.025").value() == 25);
  for (const char* text : {"", ".5", "1.", "1.2345", "1,5", "-1", "1.5x", "1.-5", "99999999999999999999", "18446744073709551615"})
    CHECK_FALSE(parse_factor(text).ok());
  for (const std::uint64_t permille : {0U, 1U, 10U, 250U, 1000U, 1001U, 2500U, 100000U}) CHECK(parse_factor(print_factor(permille)).value() == permille);
  CHECK(print_factor(1500) == "1.5");
  CHECK(print_factor(0) == "0");
}

TEST_CASE("modes are octal permission bits") {
  CHECK(parse_mode("0660").value() == 0660);
  CHECK(parse_mode("777").value() == 0777);
  for (const char* text : {"", "6", "66", "0888", "01777", "4755", "rw-", "00660", "0o660"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_mode(text).ok());
  }
}

TEST_CASE("what is printed is read as the same") {
  for (const std::uint64_t bytes : {0ULL, 1ULL, 1023ULL, 1024ULL, 1536ULL, 1ULL << 20, 3ULL << 30, 5ULL << 40}) {
    CHECK(parse_size(print_size(bytes)).value() == bytes);
  }
  for (const auto duration : {0ms, 1ms, 1500ms, 90'000ms, 3'600'000ms, 86'400'000ms}) {
    CHECK(parse_duration(print_duration(duration)).value() == duration);
  }
  CHECK(print_size(std::uint64_t{256} << 20) == "256MiB");
  CHECK(print_duration(90s) == "90s");
  CHECK(print_mode(0660) == "0660");
}
