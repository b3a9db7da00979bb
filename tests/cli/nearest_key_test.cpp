#include "nearest_key.hpp"

#include <optional>

#include "run_key.hpp"

#include <doctest/doctest.h>

namespace onced::cli {
namespace {

Key key_of(const char* arguments, const char* version = "", const char* function = "f") {
  return *KeyBuilder(function, version).arguments_json(arguments).build();
}

protocol::ListRow row_of(const Key& key, protocol::KeyState state = protocol::KeyState::ready) {
  protocol::ListRow row;
  row.key = key.bytes();
  row.state = state;
  return row;
}

std::vector<std::string> lines_for(const Key& asked, const std::vector<Key>& there) {
  NearestKey nearest(asked);
  for (const Key& key : there) nearest.look_at(row_of(key));
  return nearest.lines();
}

}  // namespace

TEST_CASE("the same arguments under other versions are told with the option that names the first") {
  CHECK(lines_for(key_of("[1]"), {key_of("[1]", "v1"), key_of("[2]")}) ==
        std::vector<std::string>{"there is one of version v1 (--function-version v1)"});
  CHECK(lines_for(key_of("[1]", "v3"), {key_of("[1]"), key_of("[1]", "v2")}) ==
        std::vector<std::string>{"there is one without a version, of version v2"});
}

TEST_CASE("otherwise the entry that differs in the fewest arguments is told, and in which") {
  CHECK(lines_for(key_of(R"(["north", 7])"), {key_of(R"(["south", 8])"), key_of(R"(["north", 8])")}) ==
        std::vector<std::string>{R"(the nearest entry is f("north", 8): argument 2 is 8 there and 7 here)"});
  CHECK(lines_for(key_of(R"({"fruit": "apples", "n": 1})"), {key_of(R"({"fruit": "apples"})")}) ==
        std::vector<std::string>{R"(the nearest entry is f(fruit="apples"): argument n is 1 here and not given there)"});
  CHECK(lines_for(key_of("[1]"), {key_of("[1, 2]")}) ==
        std::vector<std::string>{"the nearest entry is f(1, 2): argument 2 is 2 there and not given here"});
}

TEST_CASE("types and spellings that make another key are differences") {
  CHECK(lines_for(key_of("[1]"), {key_of("[1.0]")}) ==
        std::vector<std::string>{"the nearest entry is f(1.0): argument 1 is 1.0 there and 1 here"});
  CHECK(lines_for(key_of(R"(["1"])"), {key_of("[1]")}) ==
        std::vector<std::string>{R"(the nearest entry is f(1): argument 1 is 1 there and "1" here)"});
  CHECK(lines_for(key_of("{}"), {key_of("[]")}) == std::vector<std::string>{"the nearest entry is f(): its arguments are positional"});
  CHECK(lines_for(key_of("[]"), {key_of("{}")}) == std::vector<std::string>{"the nearest entry is f{}: its arguments are named"});
}

TEST_CASE("the same version counts more than another one, but less than an argument") {
  CHECK(lines_for(key_of("[1, 2]", "v1"), {key_of("[1, 3]", "v2"), key_of("[1, 4]", "v1")}).front().find("f@v1(1, 4)") != std::string::npos);
  CHECK(lines_for(key_of("[1, 2]", "v1"), {key_of("[1, 3]", "v2"), key_of("[5, 4]", "v1")}).front().find("f@v2(1, 3)") != std::string::npos);
}

TEST_CASE("failures, other functions and what there is not do not count") {
  NearestKey nearest(key_of("[1]"));
  nearest.look_at(row_of(key_of("[1]", "v1"), protocol::KeyState::failed));
  nearest.look_at(row_of(key_of("[1]", "", "g")));
  CHECK(nearest.lines() == std::vector<std::string>{"there is nothing of f at all"});
  CHECK(nearest.json() == Json{{"other_versions", Json::array()}});
}

TEST_CASE("a search that was not to the end says so") {
  NearestKey nearest(key_of("[1]"));
  nearest.look_at(row_of(key_of("[2]")));
  nearest.set_complete(false);
  CHECK(nearest.lines().front().find(", among the 1 that were looked at") != std::string::npos);
}

TEST_CASE("many differences are counted, not listed, and nothing in them can move a cursor") {
  const std::string line = lines_for(key_of("[1,2,3,4,5]"), {key_of(R"(["\u009b",9,9,9,9])")}).front();
  CHECK(line.ends_with("; and 2 more"));
  CHECK(line.find("\xc2\x9b") == std::string::npos);
}

TEST_CASE("for programs a difference is a JSON pointer and both values") {
  NearestKey nearest(key_of(R"({"a": 1, "b": [2]})"));
  nearest.look_at(row_of(key_of(R"({"a": 1, "b": [3]})", "v1")));
  const Json json = nearest.json();
  CHECK(json["nearest"]["function_version"] == "v1");
  CHECK(json["nearest"]["differences"] == Json::parse(R"([{"argument": "/b", "asked": [2], "there": [3]}])"));
}

TEST_CASE("of a run the words, variables and inputs that differ are told, each with its place") {
  const auto run_of = [](std::vector<std::string> words, std::optional<std::string> language = std::nullopt) {
    RunIdentity identity;
    identity.name = "report";
    identity.words = std::move(words);
    if (language) identity.environment.emplace_back("LANG", language);
    return *run_key(identity);
  };
  const std::string long_word(200, 'x');
  const Key asked = run_of({"make-report", long_word, "--month", "2026-11"}, "de");
  const auto differences_from = [&](const Key& there) {
    const std::string line = lines_for(asked, {there}).front();
    const std::string end_of_key = "\xe2\x80\xa6: ";  // it is cut
    REQUIRE(line.find(end_of_key) != std::string::npos);
    return line.substr(line.find(end_of_key) + end_of_key.size());
  };
  CHECK(differences_from(run_of({"make-report", long_word, "--month", "2026-10"}, "de")) == R"(word 4 is "2026-10" there and "2026-11" here)");
  CHECK(differences_from(run_of({"make-report", long_word, "--month"}, "de")) == R"(word 4 is "2026-11" here and not given there)");
  CHECK(differences_from(run_of({"make-report", long_word, "--month", "2026-11"}, "en")) == R"(variable LANG is "en" there and "de" here)");
  CHECK(differences_from(run_of({"make-report", long_word, "--month", "2026-11"})) == R"(argument env is {"LANG":"de"} here and not given there)");
  SUBCASE("and the nearest one is the one with the fewest of them") {
    const std::string line = lines_for(asked, {run_of({"a", "b", "c", "d"}, "de"), run_of({"make-report", long_word, "--month", "2026-09"}, "de")}).front();
    CHECK(line.find("2026-09") != std::string::npos);
  }
  SUBCASE("in JSON as well") {
    NearestKey nearest(asked);
    nearest.look_at(row_of(run_of({"make-report", long_word, "--month", "2026-10"}, "de")));
    CHECK(nearest.json()["nearest"]["differences"] == Json::parse(R"([{"argument": "/words/3", "asked": "2026-11", "there": "2026-10"}])"));
  }
  SUBCASE("other functions may have arguments of these names, and runs any arguments") {
    CHECK(lines_for(key_of(R"({"words": ["a", "b"]})"), {key_of(R"({"words": ["a", "c"]})")}).front().ends_with(R"(argument words is ["a","c"] there and ["a","b"] here)"));
    CHECK(lines_for(key_of(R"({"words": {"a": 1}, "words/b": 2})", "", "run:x"), {key_of(R"({"words": {"a": 2}})", "", "run:x")}).front().ends_with(
        "word a is 2 there and 1 here; word b is 2 here and not given there"));
  }
}

}  // namespace onced::cli
