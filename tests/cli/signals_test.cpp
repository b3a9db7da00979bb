// wait and watch: what happens, as it happens.
#include <doctest/doctest.h>

#include <csignal>
#include <sstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <onced/client.hpp>

#include "oncectl.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
namespace {

using nlohmann::json;

Key key_of(int argument) { return *KeyBuilder("f").add(argument).build(); }

void wait_for_watch(const Command& watch) {
  wait_until([&] { return contains(watch.err(), "watching from"); }, "the watch to begin");
}

}  // namespace

TEST_CASE("wait returns at once for a value that is there, and prints it when asked") {
  const Oncectl oncectl;
  oncectl.put("f", "[1]", "hello");
  const Outcome quiet = oncectl({"wait", "f", "[1]"});
  CHECK(quiet.status == 0);
  CHECK(quiet.out.empty());
  CHECK(oncectl({"wait", "f", "[1]", "--print"}).out == "hello");
  CHECK(parsed(oncectl({"wait", "f", "[1]", "--json"}).out)["bytes"] == 5);
}

TEST_CASE("wait for a part that the value does not have is a miss, with --json, too") {
  const Oncectl oncectl;
  CHECK(oncectl({"put", "f", "--part", "a=-"}, {.input = "hello"}).status == 0);
  for (const bool json : {false, true}) {
    CAPTURE(json);
    std::vector<std::string> words{"wait", "f", "--part", "nope"};
    if (json) words.push_back("--json");
    const Outcome missing = oncectl(words);
    CHECK(missing.status == 1);
    CHECK(missing.out.empty());
    CHECK(contains(missing.err, "this value has no part 'nope'; it has 'a'"));
    words[3] = "a";
    CHECK(oncectl(words).status == 0);
  }
  CHECK(oncectl({"wait", "f", "--part", "a"}).out == "hello");
}

TEST_CASE("wait waits for a value that nobody has begun yet") {
  const Oncectl oncectl;
  Command wait(oncectl.words({"wait", "f", "[1]", "--print"}));
  wait_until([&] { return oncectl.status()["waiting"] == 1; }, "the waiter");
  oncectl.put("f", "[1]", "late");
  CHECK(wait.wait() == 0);
  CHECK(wait.out() == "late");
}

TEST_CASE("wait says with its exit code that time is up, that it failed, that it was cancelled") {
  const Oncectl oncectl;
  CHECK(oncectl({"--timeout", "50ms", "wait", "f", "[1]"}).status == 4);
  Client client = oncectl.client();
  for (const bool fails : {true, false}) {
    ComputeOptions options;
    options.failure_ttl = Milliseconds(0);
    auto acquired = client.acquire(key_of(2), options);
    REQUIRE(acquired.ok());
    Computation& computation = std::get<Computation>(*acquired);
    Command wait(oncectl.words({"wait", "f", "[2]"}));
    wait_until([&] { return oncectl.status()["waiting"] == 1; }, "the waiter");
    if (fails) computation.fail("it broke\x1b[31m");
    else CHECK(oncectl({"cancel", "f", "[2]"}).out == "1 computation ended\n");
    CHECK(wait.wait() == 6);
    if (fails) CHECK(contains(wait.err(), "it broke\\x1b[31m"));
  }
}

TEST_CASE("watch shows a computation from its start to its end, with all the promised fields") {
  const Oncectl oncectl;
  Command watch(oncectl.words({"watch", "f", "--json", "--count", "4"}));
  wait_for_watch(watch);
  Client client = oncectl.client();
  oncectl.put("other", "[]", "not watched");
  const auto value = client.get_or_compute(key_of(1), {}, [](Computation& computation) -> std::string {
    computation.progress(0.5, "half-way");
    return "bytes";
  });
  REQUIRE(value.ok());
  CHECK(oncectl({"invalidate", "f", "[1]"}).status == 0);
  CHECK(watch.wait() == 0);
  const std::vector<json> lines = lines_of(watch.out());
  REQUIRE(lines.size() == 4);
  CHECK(lines[0]["event"] == "started");
  CHECK(lines[1]["event"] == "progress");
  CHECK(lines[1]["fraction"] == 0.5);
  CHECK(lines[1]["text"] == "half-way");
  CHECK(lines[2]["event"] == "done");
  CHECK(lines[2]["version"] == value->version());
  CHECK(lines[3]["event"] == "invalidated");
  std::uint64_t sequence = 0;
  for (const json& line : lines) {
    CHECK(line["function"] == "f");
    CHECK(line["arguments"] == json{1});
    CHECK(line["epoch"].is_number_unsigned());
    CHECK(line["sequence"].get<std::uint64_t>() > sequence);
    sequence = line["sequence"];
    CHECK(line.contains("version"));
  }
}

TEST_CASE("watch of one key and of everything, in text") {
  const Oncectl oncectl;
  Command one(oncectl.words({"watch", "f", "[1]", "--count", "1"}));
  Command all(oncectl.words({"watch", "--count", "2"}));
  wait_for_watch(one);
  wait_for_watch(all);
  oncectl.put("f", "[2]", "x");
  oncectl.put("f", "[1]", "x");
  CHECK(one.wait() == 0);
  CHECK(contains(one.out(), "done"));
  CHECK(contains(one.out(), "f(1)"));
  CHECK_FALSE(contains(one.out(), "f(2)"));
  CHECK(all.wait() == 0);
  CHECK(contains(all.out(), "f(2)"));
}

TEST_CASE("watch goes on after the daemon was restarted and says that something may be missing") {
  Oncectl oncectl;
  Command watch(oncectl.words({"watch", "--json", "--count", "1"}));
  wait_for_watch(watch);
  oncectl.daemon.kill(SIGKILL);
  oncectl.daemon.wait();
  oncectl.daemon.start();
  wait_until([&] { return contains(watch.out(), "resync"); }, "the resync");
  oncectl.put("f", "[1]", "x");
  CHECK(watch.wait() == 0);
  const std::vector<json> lines = lines_of(watch.out());
  REQUIRE(lines.size() == 2);
  CHECK(lines[0]["event"] == "resync");
  CHECK(lines[0]["reason"] == "other_epoch");
  CHECK(lines[1]["event"] == "done");
}

TEST_CASE("watch ends with 4 when its time is up and with 2 when its key is none") {
  const Oncectl oncectl;
  CHECK(oncectl({"--timeout", "50ms", "watch"}).status == 4);
  CHECK(oncectl({"watch", "f", "nonsense"}).status == 2);
}

TEST_CASE("a watch whose reader has gone ends with the next signal") {
  const Oncectl oncectl;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  Command watch(oncectl.words({"watch"}), {.output = ends[1]});
  wait_for_watch(watch);
  ::close(ends[0]);
  ::close(ends[1]);
  oncectl.put("f", "[1]", "x");
  CHECK(watch.wait() == 128 + SIGPIPE);
}

TEST_CASE("wait says that its namespace begins anew, when that is what happens") {
  const TempDirectory files;
  const std::string file = (files / "onced.toml").string();
  write_file(file, "[namespaces.charts]\nmemory = \"4MiB\"\nallow_uids = [1, 2]\n");
  Oncectl oncectl({"--config", file});
  Command wait(oncectl.words({"--namespace", "charts", "wait", "f"}));
  wait_until([&] { return parsed(oncectl({"--namespace", "charts", "status", "--json"}).out)["waiting"] == 1; }, "the waiter");
  write_file(file, "[namespaces.charts]\nmemory = \"4MiB\"\nallow_uids = [1]\n");
  oncectl.daemon.kill(SIGHUP);
  CHECK(wait.wait() == 3);
  CHECK(contains(wait.err(), "the namespace \"charts\" begins anew, empty: fewer may use it than before; ask again"));
  CHECK_FALSE(contains(wait.err(), "shutting down"));
}

}  // namespace onced::testing
