#include <doctest/doctest.h>

#include <onced/protocol/limits.hpp>

#include "run_key.hpp"
#include "run_result.hpp"

namespace onced::cli {
namespace {

Key key_of(const RunIdentity& identity) {
  const Result<Key> key = run_key(identity);
  REQUIRE(key.ok());
  return *key;
}

}  // namespace

TEST_CASE("the same words are the same run; every chosen part of the surroundings makes another") {
  RunIdentity plain;
  plain.words = {"make", "report"};
  const Key key = key_of(plain);
  CHECK(key == key_of(plain));
  CHECK(key.function() == "run:make");
  CHECK(key.arguments_json() == R"({"words":["make","report"]})");

  RunIdentity other = plain;
  other.words = {"make report"};
  CHECK_FALSE(key_of(other) == key);
  other = plain;
  other.name = "nightly";
  CHECK(key_of(other).function() == "run:nightly");
  other = plain;
  other.environment = {{"LANG", "C"}};
  const Key with_variable = key_of(other);
  other.environment = {{"LANG", std::nullopt}};
  CHECK_FALSE(key_of(other) == with_variable);  // unset is not a value
  CHECK_FALSE(key_of(other) == key);
  other = plain;
  other.directory = "/home";
  CHECK_FALSE(key_of(other) == key);
  other = plain;
  other.inputs = {content_digest({})};
  const Key with_input = key_of(other);
  CHECK_FALSE(with_input == key);
  other.inputs = {};
  other.standard_input = content_digest({});
  CHECK_FALSE(key_of(other) == with_input);
}

TEST_CASE("variables count by name, not by the order in which they were chosen") {
  RunIdentity one;
  one.words = {"x"};
  one.environment = {{"A", "1"}, {"B", "2"}};
  RunIdentity two = one;
  two.environment = {{"B", "2"}, {"A", "1"}};
  CHECK(key_of(one) == key_of(two));
}

TEST_CASE("words that are not UTF-8 make a key of their bytes") {
  RunIdentity identity;
  identity.name = "n";
  identity.words = {"cat", "caf\xe9"};
  CHECK(key_of(identity).arguments_json().find("$bytes") != std::string::npos);
}

TEST_CASE("an exit status is a number from 0 to 255 and nothing else") {
  CHECK(parse_status("0") == 0);
  CHECK(parse_status("255") == 255);
  for (const char* text : {"", "256", "-1", "1 ", " 1", "1\n", "0x1", "one"}) CHECK_FALSE(parse_status(text).has_value());
}

TEST_CASE("a failure fits into its text whatever the output, and says when it was cut") {
  for (const std::size_t out : {0U, 10U, 2000U, 70000U}) {
    for (const std::size_t err : {0U, 10U, 2000U, 70000U}) {
      const RunResult result{std::string(out, 'o') + "end", std::string(err, 'e') + "end", 3, false};
      const std::string text = encode_failure(result);
      CHECK(text.size() <= limits::text_bytes_max);
      const auto back = decode_failure(text);
      REQUIRE(back.has_value());
      CHECK(back->status == 3);
      CHECK(back->cut == (out + err > 2900));
      CHECK(result.err.ends_with(back->err));
      CHECK(result.out.ends_with(back->out));
      CHECK(back->err.ends_with("end"));
      if (!back->cut) CHECK(back->out == result.out);
    }
  }
}

TEST_CASE("a failure's first line is for people") {
  CHECK(encode_failure({"", "", 3, false}).starts_with("the command exited with status 3\n"));
  CHECK(encode_failure({"", "", 137, false}).starts_with("the command was killed by signal 9\n"));
  CHECK(failure_sentence(encode_failure({"out", "err", 3, false})) == "the command exited with status 3");
  CHECK(failure_sentence("no such table\nprices") == "no such table\nprices");
}

TEST_CASE("foreign texts are no results") {
  CHECK_FALSE(decode_failure("out of memory").has_value());
  CHECK_FALSE(decode_failure("x\nonced-run:!!!!").has_value());
  // base64 of "hello", of the array ["x", "y", 0] with texts instead of bytes, of a byte that is no MessagePack, of half an array
  for (const char* encoded : {"", "aGVsbG8=", "k6F4oXkA", "wQ==", "k8Q="}) {
    CAPTURE(encoded);
    CHECK_FALSE(decode_failure("x\nonced-run:" + std::string(encoded)).has_value());
  }
}

}  // namespace onced::cli
