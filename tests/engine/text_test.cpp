#include "engine/text.hpp"

#include <doctest/doctest.h>

using namespace onced::engine;
using namespace std::chrono_literals;

TEST_CASE("durations and sizes are written as people read them") {
  CHECK(duration_text(850us) == "850 us");
  CHECK(duration_text(0ns) == "0.0 us");
  CHECK(duration_text(64ms) == "64 ms");
  CHECK(duration_text(3400ms) == "3.4 s");
  CHECK(duration_text(119s) == "119 s");
  CHECK(duration_text(12min) == "12 min");
  CHECK(duration_text(5h) == "5.0 h");
  CHECK(bytes_text(900) == "900 bytes");
  CHECK(bytes_text(1229) == "1.2 KiB");
  CHECK(bytes_text(64 * 1024) == "64 KiB");
  CHECK(bytes_text(3 * 1024 * 1024) == "3.0 MiB");
  CHECK(bytes_text(std::uint64_t{4} << 30) == "4.0 GiB");
}

TEST_CASE("a size above a limit is told in units, and to the byte where units hide the difference") {
  CHECK(exceeds_text(std::uint64_t{5} << 30, std::uint64_t{4} << 30) == "5.0 GiB > 4.0 GiB");
  CHECK(exceeds_text((std::uint64_t{4} << 30) + 1, std::uint64_t{4} << 30) == "4294967297 bytes > 4294967296 bytes");
}

TEST_CASE("one of something has no plural") {
  CHECK(count_text(1, "request") == "1 request");
  CHECK(count_text(0, "request") == "0 requests");
}

TEST_CASE("a text is cut between characters") {
  CHECK(cut("abc", 3) == "abc");
  CHECK(cut("abcd", 3) == "abc");
  CHECK(cut("ab\xc3\xa4", 3) == "ab");
  CHECK(cut("\xc3\xa4", 1).empty());
}
