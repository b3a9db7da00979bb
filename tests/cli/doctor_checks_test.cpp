#include "doctor_checks.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <onced/protocol/key.hpp>

#include "doctor_permission.hpp"
#include "support/other_user.hpp"
#include "support/temp_directory.hpp"

namespace onced::cli {

using Level = Finding::Level;
using testing::TempDirectory;
using testing::write_file;

namespace {
bool contains_text(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
}  // namespace

TEST_CASE("a segment without one of its seals fails") {
  const unsigned all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  for (const unsigned missing : {0U, unsigned{F_SEAL_SHRINK}, unsigned{F_SEAL_GROW}, unsigned{F_SEAL_FUTURE_WRITE}, unsigned{F_SEAL_SEAL}}) {
    const int memory = ::memfd_create("doctor_checks_test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    REQUIRE(memory >= 0);
    REQUIRE(::ftruncate(memory, 4096) == 0);
    REQUIRE(::fcntl(memory, F_ADD_SEALS, all & ~missing) == 0);
    CAPTURE(missing);
    CHECK((check_seals("segment", memory, true, 4096).level == Level::ok) == (missing == 0));
    CHECK(check_seals("segment", memory, true, 8192).level == Level::fail);  // not what was announced
    ::close(memory);
  }
  CHECK(check_seals("segment", -1, true, 4096).level == Level::fail);
}

TEST_CASE("a socket that this user may not reach names what stops, its owner, group and mode, and what to do") {
  const PermissionProblem joinable = permission_words("/run/onced/onced.sock", false, "onced", "cache", 0660);
  CHECK(joinable.text == "this user may not connect to /run/onced/onced.sock: owner onced, group cache, mode 0660");
  CHECK(contains_text(joinable.remedy, "usermod -aG cache USER"));
  CHECK(contains_text(joinable.remedy, "sudo -u onced oncectl"));
  const PermissionProblem closed = permission_words("/run/onced", true, "onced", "onced", 0700);
  CHECK(closed.text == "this user may not enter /run/onced: owner onced, group onced, mode 0700");
  CHECK_FALSE(contains_text(closed.remedy, "join the group"));

  if (!onced::testing::can_be_other_users()) return;
  const TempDirectory directory;
  const std::string path = (directory / "closed" / "s").string();
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
  std::filesystem::create_directory(directory / "closed");
  write_file(directory / "closed" / "s", "");
  const auto seen = [&] {
    return onced::testing::as_user({54321, 54321}, [&] {
      const auto problem = permission_problem(path);
      const Findings findings = check_socket(path, "--socket");
      return (problem ? problem->text : std::string("none")) + "|" + findings.back().text + "|" + findings.back().remedy;
    });
  };
  std::filesystem::permissions(directory / "closed", std::filesystem::perms(0700));
  const std::string of_directory = seen();
  CHECK(of_directory.starts_with("this user may not enter " + (directory / "closed").string() + ": owner "));
  CHECK(contains_text(of_directory, "mode 0700"));
  CHECK_FALSE(contains_text(of_directory, "start one"));
  std::filesystem::permissions(directory / "closed", std::filesystem::perms(0755));
  std::filesystem::permissions(directory / "closed" / "s", std::filesystem::perms(0660));
  const std::string of_socket = seen();
  CHECK(of_socket.starts_with("this user may not connect to " + path + ": owner "));
  CHECK(contains_text(of_socket, "mode 0660"));
  std::filesystem::permissions(directory / "closed" / "s", std::filesystem::perms(0666));
  CHECK(seen().starts_with("none|"));
}

TEST_CASE("a missing socket and a file in its place fail, a directory open to all is warned of") {
  const TempDirectory directory;
  CHECK(check_socket((directory / "s").string(), "--socket").back().level == Level::fail);
  write_file(directory / "s", "");
  const Findings file = check_socket((directory / "s").string(), "--socket");
  CHECK(file.back().level == Level::fail);
  CHECK(file.back().text.find("no socket") != std::string::npos);
  std::filesystem::permissions(directory.path(), std::filesystem::perms::all);
  CHECK(check_socket((directory / "s").string(), "--socket").front().level == Level::warn);
}

TEST_CASE("a daemon that serves elsewhere is shown with the way to it, the one in question is not") {
  const Findings found = check_other_daemons("/a", {{7, "/a"}, {8, "/b"}});
  REQUIRE(found.size() == 1);
  CHECK(found[0].level == Level::warn);
  CHECK(found[0].text.find("pid 8") != std::string::npos);
  CHECK(found[0].remedy.find("export ONCED_SOCKET=/b") != std::string::npos);
}

TEST_CASE("the smallest memory limit on the way to the root counts") {
  const TempDirectory root;
  std::filesystem::create_directories(root / "a/b");
  write_file(root / "a/memory.max", "1000\n");
  write_file(root / "a/b/memory.max", "max\n");
  CHECK(cgroup_memory_limit(root.path().string(), "/a/b") == 1000);
  write_file(root / "a/b/memory.max", "500\n");
  CHECK(cgroup_memory_limit(root.path().string(), "/a/b") == 500);
  CHECK_FALSE(cgroup_memory_limit(root.path().string(), "/").has_value());
}

TEST_CASE("a long computation is named with its holder, a short one is not") {
  protocol::ListRow row;
  row.key = KeyBuilder("report").add(7).build()->bytes();
  row.state = protocol::KeyState::computing;
  row.holder = "pid 4711 (gunicorn)";
  row.age_ms = 1000;
  CHECK(check_holders({row}).front().level == Level::ok);
  row.age_ms = 600'000;
  const Finding found = check_holders({row}).front();
  CHECK(found.level == Level::warn);
  CHECK(found.text.find("report(7)") != std::string::npos);
  CHECK(found.text.find("pid 4711 (gunicorn)") != std::string::npos);
}

TEST_CASE("memory that readers hold is warned of when it is much") {
  CHECK(check_pinned({{"memory_bytes_max", std::uint64_t{1000}}, {"retired_bytes", std::uint64_t{100}}}).level == Level::ok);
  CHECK(check_pinned({{"memory_bytes_max", std::uint64_t{1000}}, {"retired_bytes", std::uint64_t{900}}}).level == Level::warn);
}

TEST_CASE("a turn of the loop that kept everybody waiting is warned of for an hour") {
  const auto check = [](double last_hour, double ever) {
    return check_turns({{"longest_turn_seconds", ever}, {"longest_turn_ago_seconds", 7200.0},
                        {"longest_turn_seconds_last_hour", last_hour}, {"longest_turn_ago_seconds_last_hour", 60.0}});
  };
  CHECK(check(0.02, 0.02).level == Level::ok);
  CHECK(check(0.0, 0.5).level == Level::ok);
  CHECK(check(0.0, 0.5).text.find("500.0 ms (2 h 0 min ago) since its start") != std::string::npos);
  const Finding found = check(0.3, 0.5);
  CHECK(found.level == Level::warn);
  CHECK(found.text.find("300.0 ms (1 min 0 s ago) in the last hour") != std::string::npos);
  CHECK_FALSE(found.remedy.empty());
}

TEST_CASE("limits are warned of that have refused something or are nearly met, with their settings") {
  const auto found = [](std::uint64_t most, std::uint64_t limit, std::uint64_t refused) {
    return check_limit_use({{"uptime_seconds", 1.0}, {"waiters_per_key_most", most}, {"waiters_per_key_max", limit}, {"waiters_per_key_refused", refused},
                            {"turn_requests_most", std::uint64_t{256}}, {"turn_requests_max", std::uint64_t{256}}});
  };
  REQUIRE(found(10, 100, 0).size() == 1);
  CHECK(found(10, 100, 0)[0].level == Level::ok);
  CHECK(found(89, 100, 0)[0].level == Level::ok);
  CHECK(found(90, 100, 0)[0].level == Level::warn);
  CHECK(found(0, 1, 0)[0].level == Level::ok);
  const Finding refused = found(3, 1000, 7)[0];
  CHECK(refused.level == Level::warn);
  CHECK(refused.text == "limits.waiters_per_key_max is 1,000; the most there is now: 3, refused since the start: 7");
  CHECK(refused.remedy.find("limits.waiters_per_key_max") != std::string::npos);
}

TEST_CASE("sessions that had to make room for others are warned of, with their setting") {
  const Findings found = check_limit_use({{"sessions_most", std::uint64_t{3}}, {"sessions_max", std::uint64_t{3}}, {"sessions_evicted", std::uint64_t{5}}});
  REQUIRE(found.size() == 2);
  CHECK(found[0].text == "sessions.sessions_max is 3; the most there is now: 3");
  CHECK(found[1].level == Level::warn);
  CHECK(found[1].text == "5 sessions ended since the start to make room for others: sessions.sessions_max is 3");
}

TEST_CASE("large parts are warned of when the descriptors for them run out or their memory is next to nothing") {
  const auto levels = [](std::uint64_t blobs, std::uint64_t blobs_max, std::uint64_t bytes_max) {
    const Findings found = check_blobs({{"blobs", blobs}, {"blobs_max", blobs_max}, {"blob_bytes_max", bytes_max}});
    REQUIRE(found.size() == 2);
    for (const Finding& finding : found) CHECK(finding.remedy.empty() == (finding.level == Level::ok));
    return std::pair(found[0].level, found[1].level);
  };
  constexpr std::uint64_t budget = std::uint64_t{1} << 30;
  CHECK(levels(10, 1000, budget) == std::pair(Level::ok, Level::ok));
  CHECK(levels(899, 1000, budget) == std::pair(Level::ok, Level::ok));
  CHECK(levels(900, 1000, budget) == std::pair(Level::warn, Level::ok));
  CHECK(levels(0, 0, budget) == std::pair(Level::fail, Level::ok));
  CHECK(levels(0, 1000, 65536) == std::pair(Level::ok, Level::warn));
}

}  // namespace onced::cli
