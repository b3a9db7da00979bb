// What people see of keys that wait for their turn, and how a command says that it can wait.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "oncectl.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
namespace {

using nlohmann::json;

// One command of the function run:n at a time; the first one runs until it is let go.
struct OneAtATime {
  OneAtATime() {
    first = std::make_unique<Command>(run("first", "while [ ! -e " + go + " ]; do sleep 0.01; done"));
    wait_until([&] { return oncectl.status()["computing"] == 1; }, "the first run");
  }
  std::vector<std::string> run(const std::string& name, const std::string& script, std::vector<std::string> options = {}) const {
    std::vector<std::string> all{"run", "--name", "n"};
    all.insert(all.end(), options.begin(), options.end());
    all.insert(all.end(), {"--", "sh", "-c", script, name});
    return oncectl.words(std::move(all));
  }
  std::vector<std::string> note(const std::string& name, std::vector<std::string> options = {}) const {
    return run(name, "echo " + name + " >> " + order, std::move(options));
  }
  void wait_for_queued(int count) const {
    wait_until([&] { return oncectl.status()["queued"] == count; }, "so many to be queued");
  }
  void let_go() {
    write_file(go, "");
    CHECK(first->wait() == 0);
  }

  Oncectl oncectl{std::vector<std::string>{"--set", "functions.run:n.max_concurrent=1"}};
  TempDirectory files;
  std::string go = (files / "go").string();
  std::string order = (files / "order").string();
  std::unique_ptr<Command> first;
};

}  // namespace

TEST_CASE("queued commands are run in order of arrival, those in the background last") {
  OneAtATime scene;
  Command prefetch(scene.note("prefetch", {"--background"}));
  scene.wait_for_queued(1);
  Command second(scene.note("second"));
  scene.wait_for_queued(2);
  Command third(scene.note("third"));
  scene.wait_for_queued(3);
  scene.let_go();
  for (Command* one : {&prefetch, &second, &third}) CHECK(one->wait() == 0);
  CHECK(read_file(scene.order) == "second\nthird\nprefetch\n");
}

TEST_CASE("ls, explain, status, stats, top and watch say what is queued and where") {
  OneAtATime scene;
  const Oncectl& oncectl = scene.oncectl;
  Command watch(oncectl.words({"watch", "--json", "run:n"}));
  wait_until([&] { return oncectl.status()["subscriptions"] == 1; }, "the watcher");
  Command second(scene.note("second"));
  scene.wait_for_queued(1);
  Command third(scene.note("third"));
  scene.wait_for_queued(2);

  CHECK(contains(oncectl({"status"}).out, "2 queued"));
  const Outcome listed = oncectl({"ls", "run:n", "--json"});
  std::vector<std::uint64_t> places;
  for (std::size_t begin = 0; begin < listed.out.size(); begin = listed.out.find('\n', begin) + 1) {
    const json row = parsed(listed.out.substr(begin, listed.out.find('\n', begin) - begin));
    if (row["state"] == "queued") places.push_back(row["queue_position"]);
  }
  std::sort(places.begin(), places.end());
  CHECK(places == std::vector<std::uint64_t>{1, 2});
  CHECK(contains(oncectl({"ls"}).out, "\nqueued "));

  const json top = parsed(oncectl({"top", "--json"}).out);
  REQUIRE(top["queued"].size() == 2);
  CHECK(top["queued"][0]["queue_position"] == 1);
  CHECK(top["queued"][1]["queue_position"] == 2);
  CHECK(top["functions"][0]["max_concurrent"] == 1);
  CHECK(top["functions"][0]["running"] == 1);
  const std::string shown = oncectl({"top", "--once"}).out;
  CHECK(contains(shown, "1st in the queue"));
  CHECK(contains(shown, "1 of 1, 2 queued"));
  CHECK(contains(oncectl({"stats"}).out, "max_concurrent"));

  // The key of the third run in the words of explain.
  const json arguments = top["queued"][1]["arguments"];
  std::vector<std::string> words{"explain", "run:n", arguments.dump()};
  if (!top["queued"][1]["function_version"].get<std::string>().empty())
    words.insert(words.end(), {"--function-version", top["queued"][1]["function_version"].get<std::string>()});
  const Outcome explained = oncectl(words);
  CHECK(explained.status == 0);
  CHECK(contains(explained.out, ": queued\n"));
  CHECK(contains(explained.out, "as number 2 of 2 behind max_concurrent = 1 of run:n\n"));
  CHECK(contains(explained.out, "before it: pid "));

  wait_until([&] { return contains(watch.out(), "\"queue_position\":2"); }, "the signals");
  CHECK(contains(watch.out(), "\"event\":\"queued\""));
  watch.kill(SIGTERM);
  watch.wait();
  scene.let_go();
  CHECK(second.wait() == 0);
  CHECK(third.wait() == 0);
}

TEST_CASE("on a terminal who is queued sees its place, and then that it computes") {
  OneAtATime scene;
  Command second(scene.note("second"));
  scene.wait_for_queued(1);
  Command third(scene.note("third"), {.environment = {{"TERM", "xterm"}, {"NO_COLOR", "1"}}, .terminal = true});
  wait_until([&] { return contains(third.out(), "queued, 2nd"); }, "its place");
  CHECK(scene.oncectl({"cancel", "run:n"}).status == 0);  // the whole function: the first, and those that are queued
  CHECK(second.wait() == 125);
  CHECK(third.wait() == 125);
  CHECK(contains(second.err(), "cancelled by pid "));
  CHECK_FALSE(std::filesystem::exists(scene.order));
  scene.let_go();
}

TEST_CASE("whoever would not wait long is told who computes") {
  OneAtATime scene;
  const Outcome late = run_command(scene.run("late", "true", {"--timeout", "200ms"}));
  CHECK(late.status == 125);
  CHECK(contains(late.err, "is queued as number 1 of 1 behind max_concurrent = 1 of run:n"));
  CHECK(contains(late.err, "(oncectl) has been computing run:n"));
  scene.let_go();
}

TEST_CASE("a stale result that nobody renews because its function is full is said to be renewed by nobody") {
  const Oncectl oncectl{std::vector<std::string>{"--set", "functions.run:n.max_concurrent=1"}};
  const TempDirectory files;
  const std::string go = (files / "go").string();
  const auto run = [&](const std::string& script, std::vector<std::string> options) {
    std::vector<std::string> all{"run", "--name", "n", "--verbose"};
    all.insert(all.end(), options.begin(), options.end());
    all.insert(all.end(), {"--", "sh", "-c", script});
    return all;
  };
  const auto value = run("echo done", {"--ttl", "1ms", "--grace", "1h"});
  CHECK(oncectl(value).out == "done\n");
  wait_until([&] { return parsed(oncectl({"ls", "run:n", "--json"}).out)["stale"] == true; }, "the result to become stale");
  Command other(oncectl.words(run("while [ ! -e " + go + " ]; do sleep 0.01; done", {})));
  wait_until([&] { return oncectl.status()["computing"] == 1; }, "another run of the function");
  const Outcome stale = oncectl(value);
  write_file(go, "");
  CHECK(other.wait() == 0);
  CHECK(stale.out == "done\n");
  CHECK(contains(stale.err, "it is stale, and nobody renews it now\n"));
  CHECK(contains(oncectl(value).err, "running it here"));
}

}  // namespace onced::testing
