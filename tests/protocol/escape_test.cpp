#include <onced/protocol/escape.hpp>

#include <string>

#include <doctest/doctest.h>

using onced::protocol::escape_controls;

TEST_CASE("what steers a terminal is escaped, byte by byte, and nothing else") {
  CHECK(escape_controls("a\nb\x1b[31m\x7f") == "a\\x0ab\\x1b[31m\\x7f");
  CHECK(escape_controls("\xc2\x80\xc2\x9f") == "\\xc2\\x80\\xc2\\x9f");
  CHECK(escape_controls("\xc2\xa0\xc3\xa4") == "\xc2\xa0\xc3\xa4");
  CHECK(escape_controls("no UTF-8: \xff\xc2") == "no UTF-8: \xff\xc2");
  CHECK(escape_controls(std::string("\0", 1)) == "\\x00");
  CHECK(escape_controls("") == "");
}
