// What a person and a script see of values on disk: `oncectl disk`, --durable, and the other commands where there is a disk.
#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include <sys/resource.h>

#include "client/fake_daemon.hpp"
#include "oncectl.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
namespace {

const std::string large(100'000, 'x');  // a part in a file of its own

// What no compression makes smaller.
std::string noise(std::size_t bytes) {
  std::string text(bytes, ' ');
  std::minstd_rand random(7);
  for (char& c : text) c = static_cast<char>(random() >> 8);
  return text;
}

struct OnDisk {
  TempDirectory files;
  std::string path = (files / "onced").string();
  Oncectl oncectl{{"--disk", path}};
  Outcome operator()(std::vector<std::string> words, CommandOptions options = {}) const { return oncectl(std::move(words), std::move(options)); }
  void crash() {
    oncectl.daemon.kill(SIGKILL);
    oncectl.daemon.wait();
    oncectl.daemon.start();
  }
  nlohmann::json disk() const { return lines_of((*this)({"disk", "--json"}).out).at(0); }
  // Turns a bit of the only part file that there is.
  void damage_a_part() const {
    std::filesystem::path found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path + "/default/parts"))
      if (entry.is_regular_file()) found = entry.path();
    REQUIRE_FALSE(found.empty());
    std::fstream file(found, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5000);
    file.put('y');
    REQUIRE(file.flush());
  }
};

}  // namespace

TEST_CASE("where values are kept in memory only, that is what is said") {
  const Oncectl oncectl;
  for (const char* action : {"status", "verify", "compact", "clear"}) {
    CAPTURE(action);
    const Outcome outcome = oncectl({"disk", action});
    CHECK(outcome.status == 2);
    CHECK(outcome.out.empty());
    CHECK(contains(outcome.err, "not kept on disk: the setting disk.path says where they would be"));
  }
  const Outcome put = oncectl({"put", "f", "--durable", "--json"}, {.input = "value"});
  CHECK(put.status == 7);
  CHECK(contains(put.err, "the value is stored, and it is not durable"));
  const nlohmann::json line = lines_of(put.out).at(0);
  CHECK(line["stored"] == true);
  CHECK(line["durable"] == false);
  CHECK(line["version"].is_null());
  CHECK(oncectl({"get", "f"}).out == "value");
  CHECK_FALSE(contains(oncectl({"status"}).out, "\ndisk"));
  CHECK_FALSE(contains(oncectl({"doctor"}).out, "  disk "));
}

TEST_CASE("run --durable says when that could not be met, and keeps the command's own status when that tells of a failure") {
  const Oncectl oncectl;
  const Outcome run = oncectl({"run", "--durable", "--", "echo", "result"});
  CHECK(run.status == 125);
  CHECK(run.out == "result\n");
  CHECK(contains(run.err, "it is not durable"));
  CHECK(contains(run.err, "--durable could not be met: the value is stored, and it is not durable"));
  CHECK(oncectl({"run", "--", "echo", "result"}).status == 0);  // it was there already
  CHECK(oncectl({"run", "--durable", "--", "sh", "-c", "exit 3"}).status == 3);
  const Outcome away = run_command({oncectl_path, "--socket", "/nonexistent/onced.sock", "run", "--durable", "--", "echo", "result"});
  CHECK(away.status == 125);
  CHECK(away.out == "result\n");
  CHECK(contains(away.err, "running the command uncached"));
}

TEST_CASE("mistakes in the words have no effect") {
  const Oncectl oncectl;
  const Outcome outcome = oncectl({"disk", "verfy"});
  CHECK(outcome.status == 2);
  CHECK(contains(outcome.err, "disk verfy: not one of status, verify, compact, clear; did you mean 'verify'?"));
  CHECK(oncectl({"disk", "status", "more"}).status == 2);
  CHECK(contains(oncectl({"disk", "--help"}).out, "oncectl disk clear --namespace charts"));
}

TEST_CASE("what was put and run durably is there after kill -9; the disk shows in every overview") {
  OnDisk disk;
  const Outcome put = disk({"put", "f", "--durable", "--json"}, {.input = "value"});
  CHECK(put.status == 0);
  CHECK(lines_of(put.out).at(0)["durable"] == true);
  CHECK_FALSE(lines_of(disk({"put", "g", "--json"}, {.input = "behind"}).out).at(0).contains("durable"));
  CHECK(disk({"run", "--durable", "--", "sh", "-c", "echo out; echo err >&2"}).status == 0);
  disk.crash();
  CHECK(contains(disk({"explain", "f"}).out, "its value is on disk"));
  Command watch(disk.oncectl.words({"watch", "--count", "1"}));
  wait_until([&] { return contains(watch.err(), "watching from"); }, "the subscription");
  CHECK(disk({"get", "f"}).out == "value");
  CHECK(watch.wait() == 0);
  CHECK(contains(watch.out(), "loaded"));
  CHECK(contains(watch.out(), "f()"));
  const Outcome run = disk({"run", "--verbose", "--", "sh", "-c", "echo out; echo err >&2"});
  CHECK(run.out == "out\n");
  CHECK(contains(run.err, "not run: its result was there already"));

  const Outcome status = disk({"status"});
  CHECK(contains(status.out, "\ndisk          "));
  CHECK(contains(status.out, " of 10 GiB"));
  CHECK(contains(disk({"top", "--once"}).out, "\ndisk "));
  CHECK(contains(disk({"stats"}).out, "disk_loads"));
  CHECK(disk.oncectl.status()["disk_values"] >= 2);
  const Outcome doctor = disk({"doctor"});
  CHECK(doctor.status == 0);
  CHECK(contains(doctor.out, "ok    disk "));
  const Outcome screen = disk({"disk"});
  CHECK(screen.status == 0);
  CHECK(screen.out.starts_with(disk.path + "/default\n"));
  CHECK(contains(screen.out, "state          well\n"));
  CHECK(screen.out == disk({"disk", "status"}).out);
  const nlohmann::json report = disk.disk();
  CHECK(report["path"] == disk.path + "/default");
  CHECK(report["budget_bytes"] == std::uint64_t{10} << 30);
  CHECK(report["degraded"] == 0);
}

TEST_CASE("verify finds damage while the daemon serves: exit code 1, the value is absent from then on, doctor warns") {
  OnDisk disk;
  REQUIRE(disk({"put", "broken", "--durable"}, {.input = large}).status == 0);
  REQUIRE(disk({"put", "whole", "--durable"}, {.input = "value"}).status == 0);
  const Outcome well = disk({"disk", "verify"});
  CHECK(well.status == 0);
  CHECK(contains(well.out, "verified 2 values of "));
  CHECK(contains(well.out, ": none is damaged\n"));
  CHECK(contains(disk({"disk"}).out, "\nlast           verified 2 values of "));
  disk.damage_a_part();
  const Outcome damaged = disk({"disk", "verify"});
  CHECK(damaged.status == 1);
  CHECK(contains(damaged.out, ": 1 is damaged, and absent now\n"));
  CHECK(contains(damaged.err, "the daemon's log names them"));
  const Outcome again = disk({"disk", "verify", "--json"});
  CHECK(again.status == 0);
  CHECK(lines_of(again.out).at(0)["verified_values"] == 1);
  CHECK(lines_of(again.out).at(0)["damaged"] == 1);  // since the start
  const Outcome doctor = disk({"doctor"});
  CHECK(doctor.status == 0);
  CHECK(contains(doctor.out, "warn  disk "));
  disk.crash();
  CHECK(disk({"get", "broken"}).status == 1);
  CHECK(disk({"get", "whole"}).out == "value");
}

TEST_CASE("a damaged value is a miss for who asks, never a wrong byte") {
  OnDisk disk;
  REQUIRE(disk({"put", "broken", "--durable"}, {.input = large}).status == 0);
  disk.crash();
  disk.damage_a_part();
  const Outcome get = disk({"get", "broken"});
  CHECK(get.status == 1);
  CHECK(get.out.empty());
  CHECK(disk({"disk", "status", "--json"}).status == 0);
  CHECK(disk.disk()["damaged"] == 1);
  disk.oncectl.daemon.wait_for_log("the value of broken() on disk is damaged, and is gone");
}

TEST_CASE("compact keeps what is there; clear drops what is on disk and nothing in memory") {
  OnDisk disk;
  for (int round = 0; round < 3; ++round) REQUIRE(disk({"put", "f", "--durable"}, {.input = "value " + std::to_string(round)}).status == 0);
  REQUIRE(disk({"put", "g", "--durable"}, {.input = "value"}).status == 0);
  const Outcome compact = disk({"disk", "compact"});
  CHECK(compact.status == 0);
  CHECK(contains(compact.out, "B before, "));
  disk.crash();
  CHECK(disk({"get", "f"}).out == "value 2");
  const Outcome clear = disk({"disk", "clear"});
  CHECK(clear.status == 0);
  CHECK(clear.out == "2 values dropped from disk; what is in memory stays\n");
  CHECK(disk({"get", "f"}).out == "value 2");  // it had come back into memory
  CHECK(disk({"get", "g"}).status == 1);
  CHECK(lines_of(disk({"disk", "clear", "--json"}).out).at(0)["count"] == 0);
  disk.crash();
  CHECK(disk({"get", "f"}).status == 1);
}

TEST_CASE("a disk that cannot be written shows everywhere, and in exit codes") {
  const TempDirectory files;
  DaemonOptions options = DaemonProcess::options({"--disk", (files / "onced").string()});
  options.log_file = "/dev/null";  // a file could not be written either
  DaemonProcess daemon(std::move(options));
  const auto oncectl = [&](std::vector<std::string> words, CommandOptions of_command = {}) {
    words.insert(words.begin(), {oncectl_path, "--socket", daemon.socket()});
    return run_command(std::move(words), std::move(of_command));
  };
  // It can write no more to its log, which is longer than that, and begin no new one; connections' pages are shorter.
  for (int i = 0; i < 10; ++i) REQUIRE(oncectl({"put", "f", "[" + std::to_string(i) + "]", "--durable"}, {.input = noise(50'000)}).status == 0);
  REQUIRE(oncectl({"put", "f", "--durable"}, {.input = "value"}).status == 0);
  const rlimit less{300'000, RLIM_INFINITY};
  REQUIRE(::prlimit(daemon.pid(), RLIMIT_FSIZE, &less, nullptr) == 0);
  std::filesystem::rename(files / "onced/default/log", files / "log");
  CHECK(oncectl({"put", "g", "--durable"}, {.input = "value"}).status == 7);
  const Outcome run = oncectl({"run", "--durable", "--", "echo", "result"});
  CHECK(run.status == 125);
  CHECK(run.out == "result\n");
  const Outcome dropped = oncectl({"invalidate", "f"});
  CHECK(dropped.status == 7);
  CHECK(contains(dropped.err, "it is dropped, but that could not be written to the disk"));
  CHECK(oncectl({"get", "f"}).status == 1);
  const Outcome screen = oncectl({"disk"});
  CHECK(screen.status == 0);
  CHECK(contains(screen.out, "degraded: cannot write "));
  CHECK(contains(oncectl({"status"}).out, "degraded: nothing is written"));
  CHECK(contains(oncectl({"top", "--once"}).out, "DEGRADED"));
  const Outcome doctor = oncectl({"doctor"});
  CHECK(doctor.status == 1);
  CHECK(contains(doctor.out, "fail  disk "));
  CHECK(contains(doctor.out, "it is tried again at least once a minute"));
}

// ---- work that takes as long as the test wants -----------------------------------------------------------------------

namespace {

protocol::DiskReport at_work(const char* task, std::uint64_t done, std::uint64_t all) {
  return {{{"task", std::string(task)}, {"task_done", done}, {"task_all", all}, {"last_task", std::string()}}};
}
protocol::DiskReport ended(std::uint64_t damaged, std::uint64_t stopped) {
  return {{{"task", std::string()}, {"last_task", std::string("verify")}, {"last_task_result", std::string("done")}, {"last_task_failed", std::uint64_t{0}},
           {"verified_values", std::uint64_t{3}}, {"verified_bytes", std::uint64_t{1} << 20}, {"verified_damaged", damaged}, {"verified_stopped", stopped}}};
}

// A daemon that says what the test wants of its disk.
struct SlowDisk {
  FakeNamespace space;
  FakeDaemon daemon;
  std::optional<FakeConnection> connection;

  std::vector<std::string> words(const char* action) const { return {oncectl_path, "--socket", daemon.path(), "disk", action}; }
  void welcome() { connection.emplace(daemon.welcome(space)); }
  protocol::DiskAction answer(const protocol::DiskReport& report) {
    const auto asked = connection->expect<protocol::Disk>();
    connection->send(asked.id, report);
    return asked.message.action;
  }
};

}  // namespace

TEST_CASE("get waits for the disk as long as --timeout says, then has timed out: that is no miss") {
  SlowDisk disk;
  Command get({oncectl_path, "--socket", disk.daemon.path(), "--timeout", "2s", "get", "f"});
  disk.welcome();
  bool reads = false;
  try {
    for (;;) {
      const auto [id, request] = disk.connection->next_request();
      if (const auto* acquire = std::get_if<protocol::Acquire>(&request)) {
        reads = true;  // for ever
        CHECK(acquire->load_ms >= 2'000);
      } else if (std::holds_alternative<protocol::Unsubscribe>(request)) {  // is it there?
        disk.connection->send(id, protocol::Done{});
      } else {
        CHECK(std::holds_alternative<protocol::Withdraw>(request));
      }
    }
  } catch (const std::runtime_error&) {  // it has gone
  }
  CHECK(reads);
  CHECK(get.wait() == 4);
  CHECK(contains(get.err(), "still being read from disk after 2000 ms"));
}

TEST_CASE("verify shows a bar on a terminal, and lines elsewhere") {
  SlowDisk disk;
  {
    Command verify(disk.words("verify"), on_terminal());
    disk.welcome();
    CHECK(disk.answer(at_work("verify", 1 << 20, 4 << 20)) == protocol::DiskAction::verify);
    CHECK(disk.answer(at_work("verify", 2 << 20, 4 << 20)) == protocol::DiskAction::look);
    wait_until([&] { return contains(verify.out(), "50 %  verify: 2.0 MiB of 4.0 MiB"); }, "the bar");
    disk.answer(ended(0, 0));
    CHECK(verify.wait() == 0);
    CHECK(contains(verify.out(), "verified 3 values of 1.0 MiB: none is damaged"));
  }
  Command verify(disk.words("verify"));
  disk.welcome();
  for (const unsigned done : {0U, 5U, 11U, 12U, 95U}) disk.answer(at_work("verify", done, 100));
  disk.answer(ended(0, 0));
  CHECK(verify.wait() == 0);
  CHECK(verify.err() == "oncectl: verify: 0 B of 100 B (0 %)\noncectl: verify: 11 B of 100 B (11 %)\noncectl: verify: 95 B of 100 B (95 %)\n");
}

TEST_CASE("Ctrl-C ends the work, too, and says how far it came") {
  SlowDisk disk;
  Command verify(disk.words("verify"), on_terminal());
  disk.welcome();
  disk.answer(at_work("verify", 1 << 20, 4 << 20));
  wait_until([&] { return contains(verify.out(), "25 %"); }, "the bar");
  verify.type("\x03");
  protocol::DiskAction action = protocol::DiskAction::look;
  while (action == protocol::DiskAction::look) action = disk.answer(at_work("verify", 1 << 20, 4 << 20));
  CHECK(action == protocol::DiskAction::stop);
  disk.answer(ended(0, 1));
  CHECK(verify.wait() == 128 + SIGINT);
  CHECK(contains(verify.out(), "stopped after 3 values of 1.0 MiB: none is damaged"));
}

TEST_CASE("one that somebody else ended, or that another one is in the way of, is no success") {
  SlowDisk disk;
  {
    Command verify(disk.words("verify"));
    disk.welcome();
    disk.answer(ended(0, 1));
    CHECK(verify.wait() == 125);
    CHECK(contains(verify.out(), "stopped after 3 values"));
  }
  {
    Command verify(disk.words("verify"));
    disk.welcome();
    disk.answer(at_work("compact", 2, 9));
    CHECK(verify.wait() == 125);
    CHECK(contains(verify.err(), "the daemon is at another one: compact: 2 of 9 segments"));
  }
  {
    Command verify(disk.words("verify"));
    disk.welcome();
    disk.answer(at_work("verify", 1, 9));
    disk.answer(at_work("compact", 0, 9));
    CHECK(verify.wait() == 125);
    CHECK(contains(verify.err(), "something else has been begun since"));
  }
  Command compact(disk.words("compact"));
  disk.welcome();
  disk.answer({{{"task", std::string()}, {"last_task", std::string("compact")}, {"last_task_result", std::string("compact failed: EIO")},
                {"last_task_failed", std::uint64_t{1}}}});
  CHECK(compact.wait() == 125);
  CHECK(contains(compact.err(), "compact failed: EIO"));
}

TEST_CASE("an invalidation that the disk does not keep has an exit code of its own") {
  SlowDisk disk;
  Command invalidate({oncectl_path, "--socket", disk.daemon.path(), "invalidate", "f"});
  disk.welcome();
  const auto asked = disk.connection->expect<protocol::Invalidate>();
  disk.connection->send(asked.id, protocol::Refused{ErrorCode::not_durable, "it is dropped, but that could not be written"});
  CHECK(invalidate.wait() == 7);
  CHECK(contains(invalidate.err(), "it is dropped, but that could not be written"));
}

}  // namespace onced::testing
