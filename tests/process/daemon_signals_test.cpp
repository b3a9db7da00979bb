// Reloading, draining, and a log that does not take what is written.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/bystander.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::protocol;
using onced::testing::Bystander;
using onced::testing::DaemonOptions;
using onced::testing::DaemonProcess;
using onced::testing::ExitStatus;
using onced::testing::key_bytes;
using onced::testing::RawClient;
using onced::testing::TempDirectory;

namespace {

// Reads notifications until one of them starts with `text`.
void wait_for_notification(DaemonProcess& daemon, std::string_view text) {
  for (;;) {
    for (const std::string& line : daemon.next_notification()) {
      if (line.starts_with(text)) return;
    }
    REQUIRE(daemon.running());
  }
}

}  // namespace

TEST_CASE("SIGHUP takes over what can change and says what cannot") {
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, "[limits]\nconnections_max = 2\n");
  DaemonProcess daemon(DaemonProcess::options({"--config", file}));
  Bystander first(daemon.socket());
  RawClient second(daemon.socket());
  second.hello();
  {
    RawClient third(daemon.socket());
    const auto refused = third.receive_end();
    REQUIRE(refused.has_value());
    CHECK(refused->code == ErrorCode::limit_reached);
    CHECK(refused->text.find("limits.connections_max") != std::string::npos);
  }
  onced::testing::write_file(file, "socket_mode = \"0666\"\n[limits]\nconnections_max = 3\n");
  daemon.kill(SIGHUP);
  wait_for_notification(daemon, "RELOADING=1");
  wait_for_notification(daemon, "READY=1");
  daemon.wait_for_log("changed limits.connections_max: 2 -> 3");
  daemon.wait_for_log("needs a restart: socket_mode: 0600 -> 0666");
  RawClient third(daemon.socket());
  third.hello();
  first.check();
}

TEST_CASE("SIGHUP takes over how long values are kept, for what is stored from then on") {
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, "[retention]\nttl = \"1h\"\n[functions.draw]\ngrace = \"2h\"\n");
  DaemonProcess daemon(DaemonProcess::options({"--config", file}));
  RawClient client(daemon.socket());
  client.hello();
  RequestId id = 1;
  const auto stored = [&](const std::string& function) {
    client.request(++id, Put{key_bytes(function, 1), {Part{"", "", "value"}}, {}});
    client.receive_only<Published>();
    client.request(++id, Explain{key_bytes(function, 1)});
    const ListRow row = client.receive_only<Explanation>().row;
    return std::pair(row.ttl_left_ms, row.grace_left_ms);
  };
  constexpr std::uint64_t hour_ms = 3'600'000;
  const auto before = stored("draw");
  CHECK(before.first > 0);
  CHECK(before.first <= hour_ms);
  CHECK(before.second == 2 * hour_ms);
  CHECK(stored("other").second == 0);
  onced::testing::write_file(file, "[retention]\ngrace = \"3h\"\n[functions.draw]\nttl = \"9h\"\n");
  daemon.kill(SIGHUP);
  daemon.wait_for_log("changed functions.draw.ttl: not set -> 9h");
  const auto after = stored("draw");
  CHECK(after.first > hour_ms);
  CHECK(after.second == 3 * hour_ms);
  CHECK(stored("other").first == 0);
}

TEST_CASE("a bad file changes nothing") {
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, "[limits]\nconnections_max = 1\n");
  DaemonProcess daemon(DaemonProcess::options({"--config", file}));
  Bystander first(daemon.socket());
  onced::testing::write_file(file, "[limits]\nconnections_max = 100\nwaiters_per_key_max = -3\n");
  daemon.kill(SIGHUP);
  daemon.wait_for_log("nothing has changed: " + file + ":3:1");
  RawClient second(daemon.socket());
  CHECK(second.receive_end()->code == ErrorCode::limit_reached);
  first.check();
}

TEST_CASE("SIGTERM gives every waiter a final answer, then ends with status 0") {
  for (const int signal : {SIGTERM, SIGINT}) {
    DaemonProcess daemon;
    RawClient holder(daemon.socket());
    holder.hello();
    Acquire acquire;
    acquire.key = key_bytes("drained", 1);
    holder.request(2, acquire);
    holder.receive_only<Lease>();
    std::vector<RawClient> waiters;
    for (int i = 0; i < 20; ++i) {
      waiters.emplace_back(daemon.socket());
      waiters.back().hello(i % 2 == 0);
      acquire.wait_ms = 60'000;
      waiters.back().request(2, acquire);
      // The daemon takes frames in order: when this is answered, the waiter waits.
      waiters.back().request(3, GetStatus{});
      waiters.back().receive_only<StatusReport>();
    }
    daemon.kill(signal);
    for (RawClient& waiter : waiters) {
      const auto answer = waiter.receive();
      REQUIRE(answer.has_value());
      CHECK(answer->first == 2);
      REQUIRE(std::holds_alternative<Refused>(answer->second));
      CHECK(std::get<Refused>(answer->second).code == ErrorCode::unavailable);
    }
    wait_for_notification(daemon, "STOPPING=1");
    CHECK(daemon.wait() == ExitStatus{0, 0});
    CHECK_FALSE(std::filesystem::exists(daemon.socket()));
  }
}

TEST_CASE("a client that does not read its last answer does not keep the daemon") {
  DaemonProcess daemon(DaemonProcess::options({"--set", "limits.drain_deadline=100ms"}));
  RawClient client(daemon.socket());
  client.hello();
  const std::string request = RawClient::encoded(2, GetStats{});
  ::fcntl(client.socket(), F_SETFL, O_NONBLOCK);
  while (::send(client.socket(), request.data(), request.size(), MSG_NOSIGNAL) > 0) {
  }
  daemon.kill(SIGTERM);
  CHECK(daemon.wait() == ExitStatus{0, 0});
}

TEST_CASE("the watchdog is fed from the loop when there is one") {
  DaemonOptions options;
  options.environment = {{"WATCHDOG_USEC", "20000"}};
  DaemonProcess daemon(options);
  for (int i = 0; i < 5; ++i) wait_for_notification(daemon, "WATCHDOG=1");
}

TEST_CASE("a full log costs lines and nothing else") {
  DaemonOptions options;
  options.log_file = "/dev/full";
  options.flags = {"--log-level", "debug"};
  DaemonProcess daemon(options);
  for (int i = 0; i < 20; ++i) {
    RawClient client(daemon.socket());
    client.send("garbage that is long enough for a header");
    client.receive_end();
  }
  Bystander(daemon.socket()).check();
  daemon.kill(SIGTERM);
  CHECK(daemon.wait() == ExitStatus{0, 0});
}

TEST_CASE("a log that nobody reads, and one that is closed, cost lines and nothing else") {
  // A pipe behind the daemon's standard error: first full, then without a reader.
  const TempDirectory directory;
  const std::string pipe = (directory / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(reader >= 0);
  DaemonOptions options;
  options.log_file = pipe;
  DaemonProcess daemon(options);
  for (const bool closed : {false, true}) {
    if (closed) ::close(reader);
    for (int i = 0; i < 1000; ++i) {
      RawClient client(daemon.socket());
      client.send("garbage that is long enough for a header");
      client.receive_end();
    }
    Bystander(daemon.socket()).check();
  }
  daemon.kill(SIGTERM);
  CHECK(daemon.wait() == ExitStatus{0, 0});
}

TEST_CASE("the log can be JSON lines, and what clients say stays within its line") {
  DaemonProcess daemon(DaemonProcess::options({"--log-format", "json", "--log-level", "debug"}));
  auto hello = RawClient::hello_message(false);
  hello.namespace_name = "a\"\n{";
  RawClient client(daemon.socket());
  client.request(1, hello);
  client.receive_end();
  daemon.kill(SIGTERM);
  daemon.wait();
  const std::string log = daemon.log();
  std::string_view rest(log);
  int lines = 0;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    REQUIRE(end != std::string_view::npos);
    CHECK(rest.substr(0, end).starts_with("{\"time\":\""));
    CHECK(rest.substr(0, end).ends_with("\"}"));
    rest.remove_prefix(end + 1);
    ++lines;
  }
  CHECK(lines >= 3);
}
