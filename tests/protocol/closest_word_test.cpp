#include <doctest/doctest.h>

#include <onced/protocol/closest_word.hpp>

#include <string>
#include <vector>

using namespace onced::protocol;

TEST_CASE("letters that are left out, put in, taken for others or exchanged with their neighbours are one edit each") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("watch", "wach") == 1);
  CHECK(edit_distance("watch", "waatch") == 1);
  CHECK(edit_distance("watch", "wetch") == 1);
  CHECK(edit_distance("watch", "wacth") == 1);
  CHECK(edit_distance("ab", "ba") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("ca", "abc") == 3);  // what was exchanged is not edited again
}

TEST_CASE("a mistyped word finds the one that was meant") {
  const std::vector<std::string> commands{"status", "stats", "put", "get", "run", "wait", "watch", "ls", "invalidate", "doctor"};
  CHECK(closest_word("statu", commands) == "status");
  CHECK(closest_word("staus", commands) == "status");
  CHECK(closest_word("wacth", commands) == "watch");
  CHECK(closest_word("lst", commands) == "ls");
  CHECK(closest_word("invaldate", commands) == "invalidate");
  CHECK(closest_word("inv", commands) == "invalidate");
  CHECK(closest_word("dcotor", commands) == "doctor");
  CHECK_FALSE(closest_word("frobnicate", commands).has_value());
  CHECK_FALSE(closest_word("xy", commands).has_value());
}

TEST_CASE("of the words that found no place an option is what is wrong, and its value is not") {
  const std::vector<std::string> options{"--json", "--socket"};
  CHECK(mistyped({"x", "--jsno=1"}, options).word == "--jsno=1");
  CHECK(mistyped({"x", "--jsno=1"}, options).meant == "--json");
  CHECK(mistyped({"-j", "x"}, options).word == "-j");
  CHECK(mistyped({"x", "y"}, options).word == "x");
  CHECK_FALSE(mistyped({"x", "y"}, options).meant.has_value());
}
