// Every command against a real daemon: exit codes, output, JSON.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <sstream>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "oncectl.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
namespace {

using nlohmann::json;

}  // namespace

TEST_CASE("status is one screen for people and has the promised fields for programs") {
  const Oncectl oncectl;
  oncectl.put("f", "[1]", "hello");
  CHECK(oncectl({"get", "f", "[1]"}).status == 0);
  const Outcome text = oncectl({"status"});
  CHECK(text.status == 0);
  CHECK(contains(text.out, "hit ratio"));
  CHECK(contains(text.out, "\nlast hour     1 computation avoided, 0 s saved, 0 duplicates avoided\n"));  // a value that was put cost nothing
  CHECK(std::count(text.out.begin(), text.out.end(), '\n') < 24);
  const json status = oncectl.status();
  for (const char* field : {"version", "pid", "uptime_seconds", "hits", "misses", "computations", "computations_avoided",
                            "duplicates_avoided", "seconds_saved", "computing", "waiting", "connections", "entries", "memory_bytes",
                            "computations_last_hour", "computations_avoided_last_hour", "duplicates_avoided_last_hour",
                            "seconds_saved_last_hour"}) {
    CAPTURE(field);
    CHECK(status.contains(field));
  }
  CHECK(status["pid"] == oncectl.daemon.pid());
  CHECK(status["entries"] == 1);
  CHECK(status["hits"] == 1);
}

TEST_CASE("stats shows every counter, also per function") {
  const Oncectl oncectl;
  oncectl.put("f", "[1]", "hello");
  const Outcome text = oncectl({"stats"});
  CHECK(text.status == 0);
  CHECK(contains(text.out, "puts"));
  CHECK(contains(text.out, "\nin the last hour:\n"));
  const json stats = parsed(oncectl({"stats", "--json"}).out);
  CHECK(stats["puts"] == 1);
  CHECK(stats["longest_turn_seconds"] > 0.0);
  CHECK(stats["longest_turn_seconds_last_hour"] == stats["longest_turn_seconds"]);
  REQUIRE(stats["functions"].size() == 1);
  CHECK(stats["functions"][0]["function"] == "f");
  CHECK(stats["functions"][0]["entries"] == 1);
}

TEST_CASE("stats and top show as unknown what is not counted apart of the functions after the 255th, and say that there are more than 256") {
  const Oncectl oncectl;
  Client client = oncectl.client();
  constexpr int functions = 300;
  const auto key_of = [](int number) { return *KeyBuilder("f" + std::to_string(number)).build(); };
  for (int i = 0; i < functions; ++i) REQUIRE(client.put(key_of(i).bytes(), "x").ok());
  for (const int number : {7, 255}) REQUIRE(client.peek(key_of(number)));
  const json stats = parsed(oncectl({"stats", "--json"}).out);
  CHECK(stats["functions_truncated"] == true);
  CHECK(stats["functions_known"] == functions);
  CHECK(stats["hits_of_readers"] == 2);
  const auto row = [](const json& all, const std::string& name) {
    for (const json& one : all["functions"])
      if (one["function"] == name) return one;
    return json();
  };
  CHECK(row(stats, "f7")["hits"] == 1);
  CHECK(row(stats, "f8")["hits"] == 0);
  for (const char* field : {"hits", "calls", "seconds_saved", "computations_avoided", "seconds_saved_last_hour"}) {
    CAPTURE(field);
    REQUIRE(row(stats, "f255").contains(field));
    CHECK(row(stats, "f255")[field].is_null());
  }
  CHECK(row(stats, "f255")["entries"] == 1);
  const std::string text = oncectl({"stats"}).out;
  CHECK(contains(text, "the 256 functions that saved most, of 300\n"));
  CHECK(contains(text, "-: not known, for readers' hits are counted apart for the first 255 functions only\n"));
  CHECK(contains(oncectl({"top", "--once"}).out, "\nand more\n"));
  const json top = parsed(oncectl({"top", "--once", "--json"}).out);
  CHECK(top["functions_truncated"] == true);
  CHECK(row(top, "f255")["hits"].is_null());
}

TEST_CASE("what was put comes back byte for byte; what was not is a miss") {
  const Oncectl oncectl;
  std::string bytes;
  for (int i = 0; i < 5000; ++i) bytes += static_cast<char>(i & 0xff);
  CHECK(oncectl({"put", "f", R"(["a", {"x": 1.5}])"}, {.input = bytes}).status == 0);
  const Outcome hit = oncectl({"get", "f", R"([ "a",{"x":1.5} ])"});
  CHECK(hit.status == 0);
  CHECK(hit.out == bytes);
  CHECK(hit.err.empty());
  const Outcome miss = oncectl({"get", "f", "[\"b\"]"});
  CHECK(miss.status == 1);
  CHECK(miss.out.empty());
  CHECK(oncectl({"get", "f"}).status == 1);  // no arguments are arguments, too
  CHECK(oncectl({"get", "f", "[\"a\", {\"x\": 1.5}]", "--function-version", "2"}).status == 1);
}

TEST_CASE("put reads a file, keeps the content type, and its time-to-live runs out") {
  const Oncectl oncectl;
  const TempDirectory files;
  write_file(files / "value", "from a file");
  const Outcome put = oncectl({"put", "f", "{\"n\": 1}", "--file", (files / "value").string(), "--content-type", "text/plain", "--json"});
  CHECK(put.status == 0);
  CHECK(parsed(put.out)["stored"] == true);
  const json got = parsed(oncectl({"--json", "get", "f", "{\"n\": 1}"}).out);
  CHECK(got["text"] == "from a file");
  CHECK(got["content_type"] == "text/plain");
  CHECK(got["arguments"] == json{{"n", 1}});
  CHECK(got["version"] == parsed(put.out)["version"]);
  CHECK(oncectl({"put", "f", "[2]", "--ttl", "1ms"}, {.input = "x"}).status == 0);
  wait_until([&] { return oncectl({"get", "f", "[2]"}).status == 1; }, "a value to expire");
}

TEST_CASE("a file that is not there, a directory and a bad time are usage errors") {
  const Oncectl oncectl;
  CHECK(oncectl({"put", "f", "--file", "/nonexistent"}).status == 2);
  CHECK(oncectl({"put", "f", "--file", "/"}).status == 2);
  CHECK(oncectl({"put", "f", "--ttl", "soon"}).status == 2);
  CHECK(oncectl({"--timeout", "later", "status"}).status == 2);
  const Outcome nothing = oncectl({"--timeout", "0s", "status"});
  CHECK(nothing.status == 2);
  CHECK(contains(nothing.err, "--timeout 0s: must be longer than nothing"));
}

TEST_CASE("the command line is refused with exit code 2 and a way on") {
  const Oncectl oncectl;
  const Outcome unknown = oncectl({"statsu"});
  CHECK(unknown.status == 2);
  CHECK(contains(unknown.err, "did you mean 'status'?"));
  CHECK(unknown.out.empty());
  CHECK(oncectl({}).status == 2);
  CHECK(oncectl({"get"}).status == 2);
  CHECK(oncectl({"get", "f", "[]", "superfluous"}).status == 2);
  CHECK(oncectl({"get", "f", "--no-such-option"}).status == 2);
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--jsn", "status"}, {"status", "--jsn"}, {"--jsn"}}) {
    const Outcome option = oncectl(words);
    CHECK(option.status == 2);
    CHECK(contains(option.err, "'--jsn'; did you mean '--json'?"));
  }
  CHECK(contains(oncectl({"run", "echo", "hi"}).err, "follows \"--\""));
  CHECK(oncectl({"get", "f", "not json"}).status == 2);
  CHECK(oncectl({"get", "f", "7"}).status == 2);
  CHECK(oncectl({"get", "f", R"({"a": 1, "a": 2})"}).status == 2);
  CHECK(oncectl({"invalidate"}).status == 2);
  CHECK(oncectl({"invalidate", "f", "--all"}).status == 2);
  CHECK(oncectl({"run"}).status == 2);
  CHECK(oncectl({"run", "ls"}).status == 2);
}

TEST_CASE("help is --help, and of a command its own") {
  CHECK(run_command({oncectl_path, "help"}).out == run_command({oncectl_path, "--help"}).out);
  CHECK(run_command({oncectl_path, "help", "ls"}).out == run_command({oncectl_path, "ls", "--help"}).out);
  CHECK(run_command({oncectl_path, "help", "lss"}).status == 2);
}

TEST_CASE("options that mean nothing are refused, with what was expected") {
  const Oncectl oncectl;
  std::vector<std::string> many{"put", "f"};
  for (int tag = 0; tag < 17; ++tag) many.insert(many.end(), {"--tag", "t" + std::to_string(tag)});
  for (const auto& [words, said] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"ls", "--limit", "-1"}, "--limit -1: not a whole number from 1 on"},
           {{"ls", "--limit", "0"}, "--limit 0: not a whole number from 1 on"},
           {{"ls", "--limit", "x"}, "--limit x: not a whole number from 1 on"},
           {{"watch", "--count", "-1"}, "--count -1: not a whole number from 1 on"},
           {{"top", "--interval", "5ms"}, "too short; at least 100.0 ms"},
           {{"sessions", "ls", "--idle", "5s"}, "--idle is of `sessions new`"},
           {{"put", "f", "--grace", "60d"}, "--grace 60d: too long"},
           {{"put", "f", "--ttl", "9999999999d"}, "too long; at most"},
           {{"--timeout", "5", "status"}, "a time needs its unit"},
           {many, "17 --tags; a value has 16 at most"}}) {
    CAPTURE(said);
    const Outcome outcome = oncectl(words);
    CHECK(outcome.status == 2);
    CHECK(contains(outcome.err, said));
  }
}

TEST_CASE("a word that is given and empty is a mistake, and does nothing") {
  const Oncectl oncectl;
  for (const char* arguments : {"[1]", "[2]"}) CHECK(oncectl({"put", "prices", arguments, "--tag", "prices"}, {.input = "x"}).status == 0);
  Client client = oncectl.client();
  const auto lease = client.acquire(*KeyBuilder("prices").add(3).build());
  REQUIRE(lease.ok());
  for (const auto& [words, said] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"invalidate", "prices", ""}, "ARGS '': is empty; give '[]' for no arguments"},
           {{"invalidate", "--tag", "", "prices"}, "--tag '': is empty"},
           {{"invalidate", "--tag=", "prices"}, "--tag '': is empty"},
           {{"invalidate", "--function", "", "prices"}, "--function '': is empty"},
           {{"invalidate", "--function=", "prices"}, "--function '': is empty"},
           {{"invalidate", "", "--all"}, "FUNCTION '': is empty"},
           {{"cancel", "prices", ""}, "ARGS '': is empty"},
           {{"cancel", "--function", "", "prices"}, "--function '': is empty"},
           {{"get", "prices", ""}, "ARGS '': is empty"},
           {{"get", ""}, "FUNCTION '': is empty; give it a value\n"},
           {{"watch", "", "--timeout", "1s"}, "FUNCTION '': is empty"},
           {{"watch", "prices", "", "--timeout", "1s"}, "ARGS '': is empty"},
           {{"ls", ""}, "FUNCTION '': is empty"},
           {{"ls", "--sort", ""}, "--sort '': is empty"},
           {{"ls", "--limit", ""}, "--limit '': is empty"},
           {{"put", "other", "--ttl", ""}, "--ttl '': is empty"},
           {{"put", "other", "--ttl=", "1h"}, "--ttl '': is empty"},
           {{"put", "other", "--grace", ""}, "--grace '': is empty"},
           {{"put", "other", "--refresh-ahead", ""}, "--refresh-ahead '': is empty"},
           {{"put", "other", "--tag", "a", "--tag", ""}, "--tag '': is empty"},
           {{"put", "other", "--file", ""}, "--file '': is empty"},
           {{"run", "--ttl", "", "--", "true"}, "--ttl '': is empty"},
           {{"run", "--name", "", "--", "true"}, "--name '': is empty"},
           {{"run", "--env", "", "--", "true"}, "--env '': is empty"},
           {{"sessions", "new", "--idle", ""}, "--idle '': is empty"},
           {{"sessions", "new", "--age", ""}, "--age '': is empty"}}) {
    CAPTURE(said);
    const Outcome outcome = oncectl(words);
    CHECK(outcome.status == 2);
    CHECK(outcome.out.empty());
    CHECK(contains(outcome.err, said));
  }
  CHECK(oncectl.status()["entries"] == 2);
  CHECK(oncectl.status()["computing"] == 1);
  CHECK(oncectl({"sessions", "ls", "--json"}).out.empty());
  // The empty name of a part, version and MIME type is one.
  CHECK(oncectl({"get", "prices", "[1]", "--part", "", "--function-version", ""}).out == "x");
  CHECK(oncectl({"get", "prices", "[1]", "--part=", "--function-version="}).out == "x");
  CHECK(oncectl({"put", "other", "--content-type", ""}, {.input = "y"}).status == 0);
  CHECK(oncectl({"run", "--", "echo", ""}).out == "\n");  // the command's own words are its business
}

TEST_CASE("a name that cannot be one is a mistake in the command line, and does nothing") {
  const Oncectl oncectl;
  oncectl.put("f", "[]", "x");
  for (const auto& [name, said] : {std::pair(std::string("\xff"), std::string("\\xff: is not UTF-8")), {std::string(300, 'x'), ": is longer than "}}) {
    for (std::vector<std::string> words : std::vector<std::vector<std::string>>{
             {"ls"}, {"watch", "--timeout", "1s"}, {"invalidate"}, {"cancel"}, {"invalidate", "--function"}, {"cancel", "--function"}, {"invalidate", "--tag"},
             {"status", "--namespace"}, {"get", "f", "--namespace"}, {"ls", "--namespace"}}) {
      words.push_back(name);
      CAPTURE(words.front());
      const Outcome outcome = oncectl(words);
      CHECK(outcome.status == 2);
      CHECK(outcome.out.empty());
      CHECK(contains(outcome.err, said));
      CHECK(outcome.err.size() < 200);
      CHECK_FALSE(contains(outcome.err, "doctor"));
      // Nobody is asked: it is the same without a daemon.
      words.insert(words.begin(), {oncectl_path, "--socket", "/nonexistent/s"});
      CHECK(run_command(words).status == 2);
    }
    CHECK(oncectl({"run", "--namespace", name, "--", "true"}).status == 2);
    CHECK(oncectl({"get", name}).status == 2);
    CHECK(oncectl({"put", "f", "--tag", name}, {.input = "y"}).status == 2);
  }
  CHECK(oncectl({"get", "f"}).out == "x");
  CHECK(oncectl({"ls", std::string(256, 'x')}).status == 0);
  CHECK(oncectl({"invalidate", std::string(256, 'x')}).status == 0);
}

TEST_CASE("a miss is a line of JSON, too, and a mistake in ARGS is said in two parts") {
  const Oncectl oncectl;
  const Outcome miss = oncectl({"get", "f", "[1]", "--json"});
  CHECK(miss.status == 1);
  const std::vector<nlohmann::json> lines = lines_of(miss.out);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0]["function"] == "f");
  CHECK(lines[0]["version"].is_null());
  const Outcome key = oncectl({"get", "f", "apples"});
  CHECK(key.status == 2);
  CHECK(contains(key.err, "ARGS makes no key at byte 1: "));
  CHECK_FALSE(contains(key.err, "parse error"));
}

TEST_CASE("every command has help with examples") {
  const Outcome all = run_command({oncectl_path, "--help"});
  CHECK(all.status == 0);
  for (const char* command : {"status", "stats", "put", "get", "run", "wait", "watch", "top", "ls", "explain", "invalidate", "cancel", "doctor"}) {
    CAPTURE(command);
    CHECK(contains(all.out, command));
    const Outcome help = run_command({oncectl_path, command, "--help"});
    CHECK(help.status == 0);
    CHECK(contains(help.out, "\nUsage: oncectl " + std::string(command) + " [OPTIONS]"));
    CHECK(contains(help.out, "Examples:\n  "));
    CHECK(contains(help.out, "--socket"));
    std::istringstream lines(help.out);
    for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 100);
  }
  CHECK(contains(run_command({oncectl_path, "--version"}).out, "oncectl "));
}

TEST_CASE("without a daemon the exit code is 3 and the text says what to do") {
  const TempDirectory nowhere;
  for (const char* command : {"status", "stats", "ls", "watch"}) {
    CAPTURE(command);
    const Outcome outcome = run_command({oncectl_path, "--socket", (nowhere / "s").string(), command});
    CHECK(outcome.status == 3);
    CHECK(contains(outcome.err, "oncectl doctor"));
  }
  CHECK(run_command({oncectl_path, "--socket", (nowhere / "s").string(), "get", "f"}).status == 3);
  CHECK(run_command({oncectl_path, "wait", "f"}, {.environment = {{"ONCED_SOCKET", (nowhere / "s").string()}}}).status == 3);
}

TEST_CASE("a user who may not connect is told so with exit code 5" * doctest::skip(::geteuid() != 0)) {
  const Oncectl oncectl;  // the socket's mode is 0600
  const auto as_nobody = [&](std::vector<std::string> arguments) {
    std::vector<std::string> words = oncectl.words(std::move(arguments));
    words.insert(words.begin(), {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"});
    return run_command(words);
  };
  if (as_nobody({"--version"}).status != 0) return;  // the build is somewhere that only root can read
  for (const char* command : {"status", "ls", "watch"}) {
    CAPTURE(command);
    const Outcome outcome = as_nobody({command});
    CHECK(outcome.status == 5);
    CHECK(contains(outcome.err, "may not connect"));
  }
  CHECK(as_nobody({"get", "f"}).status == 5);
}

TEST_CASE("namespaces are apart when the daemon knows them, and refused when not") {
  const Oncectl oncectl;
  oncectl.put("f", "[]", "x");
  const Outcome outcome = oncectl({"--namespace", "nobody-has-this", "get", "f", "[]"});
  CHECK(outcome.status != 0);
  CHECK(outcome.out.empty());
  for (const char* command : {"status", "ls", "watch"}) {  // not 1: that would be a miss
    CAPTURE(command);
    CHECK(oncectl({"--namespace", "nobody-has-this", command}).status == 2);
  }
}

TEST_CASE("invalidate drops one value, a function's or all; cancel finds nothing to end") {
  const Oncectl oncectl;
  for (const char* arguments : {"[1]", "[2]", "[3]"}) oncectl.put("f", arguments, "x");
  oncectl.put("g", "[]", "y");
  CHECK(oncectl({"invalidate", "f", "[1]"}).out == "1 value dropped\n");
  CHECK(oncectl({"get", "f", "[1]"}).status == 1);
  CHECK(oncectl({"get", "f", "[2]"}).status == 0);
  CHECK(parsed(oncectl({"invalidate", "f", "--json"}).out)["count"] == 2);
  CHECK(oncectl({"get", "g"}).status == 0);
  CHECK(oncectl({"invalidate", "--all"}).status == 0);
  CHECK(oncectl({"get", "g"}).status == 1);
  CHECK(oncectl({"invalidate", "f"}).status == 0);  // nothing to drop is as wanted
  CHECK(oncectl({"cancel", "f"}).out == "0 computations ended\n");
}

TEST_CASE("--function is a whole function, as the word alone is, and does not stand beside it") {
  const Oncectl oncectl;
  for (const char* arguments : {"[1]", "[2]"}) oncectl.put("f", arguments, "x");
  oncectl.put("g", "[]", "y");
  CHECK(oncectl({"invalidate", "--function", "f"}).out == "2 values dropped\n");
  CHECK(oncectl({"get", "g"}).status == 0);
  CHECK(oncectl({"invalidate", "--function=g", "--soft"}).out == "1 value made stale\n");
  Client client = oncectl.client();
  auto leases = std::array{client.acquire(*KeyBuilder("f").add(1).build()), client.acquire(*KeyBuilder("h").build())};
  CHECK(oncectl({"cancel", "--function", "f"}).out == "1 computation ended\n");
  CHECK(oncectl.status()["computing"] == 1);
  for (const char* command : {"invalidate", "cancel"}) {
    CAPTURE(command);
    for (const std::vector<std::string>& words : {std::vector<std::string>{command, "g", "--function", "g"}, {command, "--function", "g", "[1]"}}) {
      const Outcome both = oncectl(words);
      CHECK(both.status == 2);
      CHECK(contains(both.err, "--function and FUNCTION exclude each other"));
    }
    CHECK(oncectl({command, "--function", "g", "--function-version", "v1"}).status == 2);
    CHECK(contains(oncectl({command}).err, "FUNCTION is required"));
    CHECK(contains(oncectl({command, "--help"}).out, "--function"));
  }
  CHECK(oncectl({"invalidate", "--function", "g", "--all"}).status == 2);
  CHECK(oncectl({"invalidate", "--function", "g", "--tag", "t"}).status == 2);
  CHECK(oncectl({"get", "g"}).status == 0);
}

TEST_CASE("ls shows values and computations, explain says why") {
  const Oncectl oncectl;
  CHECK(oncectl({"ls"}).out.empty());
  oncectl.put("f", "[\"a\"]", "hello");
  oncectl.put("g", "[]", "x");
  const Outcome all = oncectl({"ls"});
  CHECK(contains(all.out, "f(\"a\")"));
  CHECK(contains(all.out, "g()"));
  const Outcome one = oncectl({"ls", "f", "--json"});
  const json row = parsed(one.out);
  CHECK(row["function"] == "f");
  CHECK(row["arguments"] == json{"a"});
  CHECK(row["state"] == "ready");
  CHECK(row["bytes"] == 5);
  CHECK(oncectl({"explain", "f", "[\"a\"]"}).status == 0);
  const Outcome absent = oncectl({"explain", "f", "[\"z\"]", "--json"});
  CHECK(absent.status == 1);
  CHECK(parsed(absent.out)["state"] == "absent");
  CHECK_FALSE(parsed(absent.out)["lines"].empty());
}

TEST_CASE("ls sorts by what is asked for and stops at the limit") {
  const Oncectl oncectl;
  oncectl.put("f", "[1]", "medium");
  oncectl.put("f", "[2]", "the largest one");
  oncectl.put("g", "[3]", "x");
  const auto keys = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"ls", "--json"});
    std::istringstream lines(oncectl(words).out);
    std::vector<int> arguments;
    for (std::string line; std::getline(lines, line);) arguments.push_back(parsed(line)["arguments"][0]);
    return arguments;
  };
  CHECK(keys({"--sort", "size"}) == std::vector<int>{2, 1, 3});
  CHECK(keys({"--sort", "age", "--limit", "1"}) == std::vector<int>{1});
  CHECK(keys({"--limit", "2"}) == std::vector<int>{1, 2});
  CHECK(keys({"f", "--sort", "size"}) == std::vector<int>{2, 1});
  const Outcome wrong = oncectl({"ls", "--sort", "colour"});
  CHECK(wrong.status == 2);
  CHECK(contains(wrong.err, "not one of size, cost, age, hits"));
}

TEST_CASE("control bytes in names reach no terminal") {
  const Oncectl oncectl;
  oncectl.put("f\x1b[31m", "[\"\\u001b]0;title\\u0007\"]", "x");
  for (const char* command : {"ls", "stats"}) {
    const Outcome outcome = oncectl({command});
    CAPTURE(outcome.out);
    CHECK(outcome.status == 0);
    CHECK_FALSE(contains(outcome.out, "\x1b"));
    CHECK_FALSE(contains(outcome.out, "\a"));
  }
  const Outcome miss = oncectl({"get", "f\x1b[31m"});
  CHECK_FALSE(contains(miss.err, "\x1b"));
  for (const char* command : {"ls", "stats"}) CHECK_FALSE(contains(oncectl({command, "--json"}).out, "\x1b"));
}

TEST_CASE("C1 and DEL in names and holders reach no terminal, not as JSON either, and programs read them unchanged") {
  const Oncectl oncectl;
  const std::string name = "f\xc2\x9b" "31m\x7f";
  oncectl.put(name, "[\"\\u009d0;title\\u009c\"]", "x");
  ClientOptions options;
  options.socket = oncectl.daemon.socket();
  options.name = "worker\xc2\x9b" "2J\x7f";
  Client client(options);
  const auto lease = client.acquire(*KeyBuilder(name).add(7).build());
  REQUIRE(lease.ok());
  for (const std::vector<std::string>& words : {std::vector<std::string>{"ls"}, {"stats"}, {"top", "--once"}, {"explain", name, "[7]"}, {"get", name, "[1]"},
                                               {"--timeout", "50ms", "wait", name, "[7]"}}) {
    for (const bool json : {false, true}) {
      std::vector<std::string> all = words;
      if (json) all.push_back("--json");
      CAPTURE(words.front());
      const Outcome outcome = oncectl(all);
      CHECK_FALSE((outcome.out + outcome.err).empty());
      for (const char* control : {"\xc2\x9b", "\xc2\x9c", "\xc2\x9d", "\x7f"}) {
        CHECK_FALSE(contains(outcome.out, control));
        CHECK_FALSE(contains(outcome.err, control));
      }
    }
  }
  const std::vector<nlohmann::json> rows = lines_of(oncectl({"ls", "--json"}).out);
  REQUIRE(rows.size() == 2);
  for (const auto& row : rows) CHECK(row["function"] == name);
}

TEST_CASE("off a terminal there is no colour and no animation") {
  const Oncectl oncectl;
  oncectl.put("f", "[]", "x");
  for (const char* command : {"status", "doctor", "ls"}) CHECK_FALSE(contains(oncectl({command}).out, "\x1b"));
  const Outcome wait = oncectl({"wait", "f"});
  CHECK(wait.status == 0);
  CHECK(wait.err.empty());
}

TEST_CASE("on a terminal there are colours unless NO_COLOR is set, and a bar unless the terminal is dumb") {
  const Oncectl oncectl;
  const auto status = [&](std::vector<std::pair<std::string, std::string>> environment) {
    Command command(oncectl.words({"status"}), {.environment = std::move(environment), .terminal = true});
    CHECK(command.wait() == 0);
    return command.out();
  };
  CHECK(contains(status({{"TERM", "xterm"}, {"NO_COLOR", ""}}), "\x1b[1m"));
  CHECK_FALSE(contains(status({{"TERM", "xterm"}, {"NO_COLOR", "1"}}), "\x1b"));
  CHECK_FALSE(contains(status({{"TERM", "dumb"}, {"NO_COLOR", ""}}), "\x1b"));
  for (const std::string terminal : {"xterm", "dumb"}) {
    CAPTURE(terminal);
    Command wait(oncectl.words({"wait", terminal}), {.environment = {{"TERM", terminal}}, .terminal = true});
    wait_until([&] { return oncectl.status()["waiting"] == 1; }, "the waiter");
    if (terminal == "xterm") wait_until([&] { return contains(wait.out(), "\x1b[K"); }, "the bar");
    oncectl.put(terminal, "[]", "x");
    CHECK(wait.wait() == 0);
    if (terminal == "dumb") CHECK(wait.out().empty());
  }
}

TEST_CASE("a daemon that was stopped is unreachable, whatever it is asked") {
  Oncectl oncectl;
  oncectl.daemon.kill(SIGSTOP);
  for (const char* command : {"status", "stats", "ls", "watch", "doctor"}) {
    CAPTURE(command);
    CHECK(oncectl({"--timeout", "200ms", command}).status == 3);
  }
  for (const char* command : {"get", "put", "wait", "explain", "invalidate", "cancel"}) {
    CAPTURE(command);
    const Outcome outcome = oncectl({"--timeout", "200ms", command, "f"});
    CHECK(outcome.status == 3);
    CHECK(contains(outcome.err, "oncectl doctor"));
  }
}

TEST_CASE("a reader that has gone ends oncectl without noise, a closed output is an error") {
  const Oncectl oncectl;
  oncectl.put("f", "[]", std::string(60000, 'x'));
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  ::close(ends[0]);
  const Outcome gone = oncectl({"get", "f"}, {.output = ends[1]});
  ::close(ends[1]);
  CHECK(gone.status == 128 + SIGPIPE);
  CHECK(gone.err.empty());
  const Outcome closed = oncectl({"get", "f"}, {.close_output = true});
  CHECK(closed.status == 125);
  CHECK(contains(closed.err, "cannot write to standard output"));
  CHECK(oncectl({"status"}).status == 0);  // and the daemon is none the worse
}

TEST_CASE("doctor finds nothing wrong with a daemon that is well") {
  const Oncectl oncectl;
  const Outcome text = oncectl({"doctor"});
  CAPTURE(text.out);
  CHECK(text.status == 0);
  std::istringstream lines(oncectl({"doctor", "--json"}).out);
  std::vector<std::string> checks;
  for (std::string line; std::getline(lines, line);) {
    const json finding = parsed(line);
    CHECK(finding["level"] != "fail");
    checks.push_back(finding["check"]);
  }
  for (const char* check : {"socket", "directory", "daemon", "segment", "pin page", "kernel", "limits", "memory", "large parts", "holders", "pins"}) {
    CAPTURE(check);
    CHECK(std::find(checks.begin(), checks.end(), check) != checks.end());
  }
}

TEST_CASE("doctor and status say the same of memory, in the same words") {
  const Oncectl oncectl;
  const TempDirectory files;
  write_file(files / "large", std::string(3 << 20, 'x'));
  oncectl.put("f", "[]", "x");
  CHECK(oncectl({"put", "g", "--file", (files / "large").string()}).status == 0);
  const std::string status = oncectl({"status"}).out;
  const std::string doctor = oncectl({"doctor"}).out;
  CAPTURE(doctor);
  for (const std::string row : {"memory", "large parts"}) {
    const std::size_t begin = status.find("\n" + row) + 1;
    const std::string line = status.substr(begin, status.find('\n', begin) - begin);
    const std::string figures = line.substr(line.find_first_not_of(' ', row.size()));
    CAPTURE(figures);
    CHECK(contains(doctor, figures));
  }
}

TEST_CASE("doctor looks at the client's socket, says why that one, and who serves elsewhere") {
  const Oncectl oncectl;
  const TempDirectory nowhere;
  const Outcome here = run_command({oncectl_path, "doctor"}, {.environment = {{"ONCED_SOCKET", oncectl.daemon.socket()}}});
  CHECK(here.status == 0);
  CHECK(contains(here.out, oncectl.daemon.socket() + " (ONCED_SOCKET)"));
  CHECK(contains(oncectl({"doctor"}).out, " (--socket)"));
  const Outcome there = run_command({oncectl_path, "doctor"}, {.environment = {{"ONCED_SOCKET", (nowhere / "s").string()}}});
  CHECK(there.status == 3);
  CHECK(contains(there.out, "export ONCED_SOCKET=" + oncectl.daemon.socket() + "\n"));
}

TEST_CASE("doctor says what is wrong when nobody serves, and when somebody stopped does") {
  Oncectl oncectl;
  oncectl.daemon.kill(SIGSTOP);
  const Outcome stopped = oncectl({"--timeout", "200ms", "doctor"});
  CHECK(stopped.status == 3);
  CHECK(contains(stopped.out, "was stopped"));
  CHECK(contains(stopped.out, "kill -CONT " + std::to_string(oncectl.daemon.pid())));
  oncectl.daemon.kill(SIGKILL);
  oncectl.daemon.wait();
  const Outcome gone = oncectl({"doctor"});
  CHECK(gone.status == 3);
  CHECK(contains(gone.out, "nobody serves it"));
  CHECK(contains(gone.out, "start it again with the configuration that it had: `onced --socket " + oncectl.daemon.socket() + "`"));
  const TempDirectory nowhere;
  const Outcome none = run_command({oncectl_path, "--socket", (nowhere / "s").string(), "doctor"});
  CHECK(none.status == 3);
  CHECK(contains(none.out, "start one: `onced --socket " + (nowhere / "s").string() + "`"));
  std::istringstream lines(none.out);
  std::size_t fails = 0;
  for (std::string line; std::getline(lines, line);) fails += line.starts_with("fail") ? 1U : 0U;
  CHECK(fails == 1);  // one thing is wrong
}

}  // namespace onced::testing
