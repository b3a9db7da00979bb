// Which key is meant, and what there is instead when it is a miss: versions, arguments that differ.
#include <doctest/doctest.h>

#include <sstream>
#include <string>

#include "oncectl.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
namespace {

using nlohmann::json;

void put_version(const Oncectl& oncectl, const char* arguments, const char* version) {
  CHECK(oncectl({"put", "f", arguments, "--function-version", version}, {.input = "x"}).status == 0);
}

}  // namespace

TEST_CASE("a key's version is seen wherever people see the key, and no arguments look as they were given") {
  const Oncectl oncectl;
  Command watch(oncectl.words({"watch", "--count", "3"}));
  wait_until([&] { return contains(watch.err(), "watching from"); }, "the watch to begin");
  put_version(oncectl, "[1]", "v1");
  oncectl.put("g", "[]", "x");
  oncectl.put("g", "{}", "y");
  CHECK(watch.wait() == 0);
  const std::string list = oncectl({"ls"}).out;
  for (const std::string* text : {&list}) {
    CHECK(contains(*text, "f@v1(1)"));
    CHECK(contains(*text, "g()\n"));
    CHECK(contains(*text, "g{}\n"));
  }
  CHECK(contains(watch.out(), "f@v1(1)"));
  CHECK(contains(watch.out(), "g{}"));
  CHECK(contains(oncectl({"explain", "f", "[1]", "--function-version", "v1"}).out, "f@v1(1): ready"));
  CHECK(contains(oncectl({"get", "f", "[1]", "--function-version", "v2"}).err, "no value for f@v2(1)"));
}

TEST_CASE("for programs `function_version` is the key's and `version` the value's, in every command") {
  const Oncectl oncectl;
  const std::vector<std::string> key{"f", "[1]", "--function-version", "v1"};
  const auto ask = [&](std::vector<std::string> words) {
    words.insert(words.end(), key.begin(), key.end());
    words.push_back("--json");
    return parsed(oncectl(words, {.input = "x"}).out);
  };
  const json put = ask({"put"});
  CHECK(put["function_version"] == "v1");
  CHECK(put["version"].is_number_unsigned());
  for (const char* command : {"get", "wait", "explain"}) {
    CAPTURE(command);
    const json line = ask({command});
    CHECK(line["function_version"] == "v1");
    CHECK(line["version"] == put["version"]);
  }
  const json row = parsed(oncectl({"ls", "f", "--json"}).out);
  CHECK(row["function_version"] == "v1");
  CHECK(row["version"] == put["version"]);
  Command watch(oncectl.words({"watch", "--json", "--count", "1"}));
  wait_until([&] { return contains(watch.err(), "watching from"); }, "the watch to begin");
  oncectl.put("g", "[]", "x");
  CHECK(watch.wait() == 0);
  CHECK(parsed(watch.out())["function_version"] == "");  // none, and said all the same
}

TEST_CASE("a miss says under which version there is a value with the same arguments") {
  const Oncectl oncectl;
  put_version(oncectl, "[1]", "v1");
  const Outcome other = oncectl({"get", "f", "[1]"});
  CHECK(other.status == 1);
  CHECK(other.out.empty());
  CHECK(contains(other.err, "there is one of version v1 (--function-version v1)"));
  const Outcome none = oncectl({"get", "f", "[2]"});
  CHECK(none.status == 1);
  CHECK_FALSE(contains(none.err, "there is one"));
  const Outcome explained = oncectl({"explain", "f", "[1]"});
  CHECK(explained.status == 1);
  CHECK(contains(explained.out, "  there is one of version v1"));
  CHECK(parsed(oncectl({"explain", "f", "[1]", "--json"}).out)["other_versions"] == json{"v1"});
}

TEST_CASE("explain of a miss names the argument in which the nearest entry differs") {
  const Oncectl oncectl;
  for (const char* arguments : {R"(["north", 8])", R"(["south", 9])"}) oncectl.put("prices", arguments, "x");
  const Outcome text = oncectl({"explain", "prices", R"(["north", 7])"});
  CHECK(text.status == 1);
  CHECK(contains(text.out, R"(the nearest entry is prices("north", 8): argument 2 is 8 there and 7 here)"));
  const json line = parsed(oncectl({"explain", "prices", R"(["north", 7])", "--json"}).out);
  CHECK(line["nearest"]["arguments"] == parsed(R"(["north", 8])"));
  CHECK(line["nearest"]["differences"] == parsed(R"([{"argument": "/1", "asked": 7, "there": 8}])"));
  CHECK(contains(oncectl({"explain", "nothing"}).out, "there is nothing of nothing at all"));
  CHECK_FALSE(parsed(oncectl({"explain", "prices", R"(["north", 8])", "--json"}).out).contains("nearest"));
}

}  // namespace onced::testing
