#include "service/namespace_settings.hpp"

#include <doctest/doctest.h>

#include <onced/protocol/limits.hpp>

#include "service/configuration.hpp"
#include "support/temp_directory.hpp"

using namespace onced;
using namespace onced::service;
using namespace std::chrono_literals;
using onced::testing::TempDirectory;

namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// Users alice (1001) and nobody (65534), the group staff (50); the group "far" cannot be asked for.
Machine machine() {
  const auto look_up = [](std::map<std::string, std::uint32_t> known) {
    return [known](const std::string& name) -> Result<std::uint32_t> {
      if (name == "far") return Error{ErrorCode::unavailable, "no route"};
      if (const auto found = known.find(name); found != known.end()) return found->second;
      return Error{ErrorCode::not_found, "unknown"};
    };
  };
  Machine machine;
  machine.users = {.uid_of = look_up({{"alice", 1001}, {"nobody", 65534}}), .gid_of = look_up({{"staff", 50}})};
  return machine;
}

Result<LoadedConfiguration> load(std::string_view text) {
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, text);
  Overrides overrides;
  overrides.file = file;
  overrides.values = {{"socket", "/x/s"}};
  auto loaded = load_configuration(overrides, {}, machine());
  if (loaded) return loaded;
  std::string complaint = loaded.error().text;
  for (std::size_t at = 0; (at = complaint.find(file)) != std::string::npos;) complaint.replace(at, file.size(), "FILE");
  return Error{loaded.error().code, complaint};
}
std::string complaint_about(std::string_view text) {
  const auto loaded = load(text);
  return loaded ? "nothing" : loaded.error().text;
}

}  // namespace

TEST_CASE("who may use a namespace is said by number and by name") {
  const auto loaded = load(
      "[namespaces.charts]\nmemory = \"4MiB\"\nallow_uids = [1000, \"1002\"]\nallow_gids = []\nallow_users = [\"alice\"]\nallow_groups = \"staff\"\n"
      "[namespaces.open]\nblobs = \"4MiB\"\n"
      "[namespaces.default]\nallow_gids = [7]\n");
  REQUIRE(loaded.ok());
  const Access& charts = loaded->values.namespaces.at("charts").rules.access;
  CHECK(charts.restricted());
  CHECK(charts.uids == std::vector<std::uint32_t>{1000, 1002});
  CHECK(charts.gids == std::vector<std::uint32_t>{});
  CHECK(charts.users == std::vector<AllowedName>{{"alice", 1001}});
  CHECK(charts.groups == std::vector<AllowedName>{{"staff", 50}});
  CHECK_FALSE(loaded->values.namespaces.at("open").rules.access.restricted());
  CHECK(loaded->values.default_rules.access.gids == std::vector<std::uint32_t>{7});
  CHECK(loaded->values.namespaces.size() == 2);
  const std::string printed = print_configuration(*loaded);
  CHECK(contains(printed, "\nallow_uids = [1000, 1002]  # "));
  CHECK(contains(printed, "\nallow_gids = []  # "));
  CHECK(contains(printed, "\nallow_users = [\"alice\"]  # "));
  CHECK(contains(printed, "[namespaces.default]\nallow_gids = [7]  # "));
}

TEST_CASE("an empty list lets nobody in, and that is a rule") {
  const auto loaded = load("[namespaces.charts]\nmemory = \"4MiB\"\nallow_uids = []\n");
  REQUIRE(loaded.ok());
  CHECK(loaded->values.namespaces.at("charts").rules.access.restricted());
}

TEST_CASE("mistakes in rules are named with their place") {
  const auto about = [](std::string_view line) { return complaint_about("[namespaces.charts]\nmemory = \"4MiB\"\n" + std::string(line) + "\n"); };
  CHECK(about("allow_users = [\"alice\", \"bob\"]") == "FILE:3:1: namespaces.charts.allow_users: there is no user \"bob\" on this machine");
  CHECK(about("allow_groups = [\"alice\"]") == "FILE:3:1: namespaces.charts.allow_groups: there is no group \"alice\" on this machine");
  CHECK(contains(about("allow_users = [\"1000\"]"), "a number belongs into allow_uids"));
  CHECK(contains(about("allow_users = [1000]"), "a number belongs into allow_uids"));
  CHECK(contains(about("allow_uids = [\"alice\"]"), "a name belongs into allow_users"));
  CHECK(contains(about("allow_gids = [\"staff\"]"), "a name belongs into allow_groups"));
  CHECK(contains(about("allow_groups = [\"far\"]"), "cannot look up the group \"far\": no route"));
  CHECK(contains(about("allow_uids = [65534]"), "matches no rule"));
  CHECK(contains(about("allow_users = [\"nobody\"]"), "matches no rule"));
  CHECK(contains(about("allow_uids = [4294967295]"), "4294967295 is no uid"));
  CHECK(contains(about("allow_uids = [-1]"), "is not a whole number"));
  CHECK(contains(about("allow_uids = 1000"), "a list is wanted"));
  CHECK(contains(about("allow_uids = [1.5]"), "a list is wanted"));
  CHECK(contains(about("allow_users = [\"alice,bob\"]"), "a list is wanted"));
  CHECK(contains(about("allow_users = [\"\"]"), "a list is wanted"));
  CHECK(contains(about("allow_uid = [1]"), "unknown setting \"namespaces.charts.allow_uid\"; did you mean \"namespaces.charts.allow_uids\"?"));
  CHECK(contains(about("[namespaces.charts.retention]\ntll = \"1s\""), "did you mean \"namespaces.charts.retention.ttl\"?"));
  CHECK(contains(about("[namespaces.charts.functions.draw]\ntll = \"1s\""), "did you mean \"namespaces.charts.functions.draw.ttl\"?"));
  CHECK(contains(complaint_about("[namespace.charts]\nmemory = \"4MiB\"\n"), "did you mean \"namespaces.charts.memory\"?"));
}

TEST_CASE("a namespace that has rules and no size is refused where it begins") {
  CHECK(complaint_about("\n[namespaces.charts]\nallow_uids = [1]\n") ==
        "FILE:3:1: the namespace \"charts\" has no size; set namespaces.charts.memory, namespaces.charts.blobs or both");
  CHECK(contains(complaint_about("[namespaces.charts.retention]\nttl = \"1s\"\n"), "has no size"));
}

TEST_CASE("what a namespace says of keeping values counts more than what is said of all namespaces") {
  const auto loaded = load(
      "[retention]\nttl = \"1h\"\ngrace = \"2h\"\n"
      "[functions.draw]\nttl = \"1min\"\ngrace = \"2min\"\nfailure_ttl = \"3s\"\nmax_concurrent = 2\nbytes_max = \"1KiB\"\n"
      "[namespaces.charts]\nmemory = \"4MiB\"\n[namespaces.charts.retention]\nttl = \"5min\"\n"
      "[namespaces.charts.functions.draw]\ngrace = \"7min\"\n[namespaces.charts.functions.load]\nttl = \"9min\"\nmax_concurrent = 5\nbytes_max = \"2KiB\"\n");
  REQUIRE(loaded.ok());
  const Configuration& values = loaded->values;
  const EffectiveSettings charts = settings_in(values, values.namespaces.at("charts").rules);
  CHECK(charts.retention == Retention{.ttl = 5min, .grace = 2h, .refresh_ahead_permille = 0, .failure_ttl = 5s});
  CHECK(charts.functions.at("draw") == FunctionSettings{{.ttl = 5min, .grace = 7min, .failure_ttl = 3s}, 2, 1024});
  CHECK(charts.functions.at("load") == FunctionSettings{{.ttl = 9min}, 5, 2048});
  const EffectiveSettings others = settings_in(values, values.default_rules);
  CHECK(others.retention == values.retention);
  CHECK(others.functions == values.functions);
}

TEST_CASE("what a namespace says of its sessions counts more than what is said of all namespaces") {
  const auto loaded = load(
      "[sessions]\nidle_ttl = \"15min\"\nbytes_max = \"1MiB\"\nentries_max = 20\n"
      "[namespaces.charts]\nmemory = \"4MiB\"\n[namespaces.charts.sessions]\nidle_ttl = \"5m\"\nabsolute_ttl = \"0ms\"\nentries_max = 7\n"
      "[namespaces.other]\nmemory = \"4MiB\"\n"
      "[namespaces.default.sessions]\nbytes_max = \"2KiB\"\nsessions_max = 3\n");
  REQUIRE(loaded.ok());
  const Configuration& values = loaded->values;
  const SessionSettings defaults = default_session_settings();
  const SessionSettings of_all{
      .idle_ttl = 15min, .absolute_ttl = defaults.absolute_ttl, .bytes_max = 1 << 20, .entries_max = 20, .sessions_max = defaults.sessions_max};
  CHECK(settings_in(values, values.namespaces.at("other").rules).sessions == of_all);
  SessionSettings charts = of_all;
  charts.idle_ttl = 5min;
  charts.absolute_ttl = 0ms;
  charts.entries_max = 7;
  CHECK(settings_in(values, values.namespaces.at("charts").rules).sessions == charts);
  SessionSettings own = of_all;
  own.bytes_max = 2048;
  own.sessions_max = 3;
  CHECK(settings_in(values, values.default_rules).sessions == own);

  const std::string printed = print_configuration(*loaded);
  CHECK(contains(printed, "[namespaces.charts.sessions]\nidle_ttl = \"5min\"  # "));
  CHECK(contains(printed, "\nabsolute_ttl = \"0ms\"  # "));
  CHECK(contains(printed, "\nentries_max = 7  # "));
  CHECK(contains(printed, "[namespaces.default.sessions]\nbytes_max = \"2KiB\"  # "));
  const auto again = load(printed);
  CAPTURE(again.ok() ? std::string() : again.error().text);
  REQUIRE(again.ok());
  CHECK(again->values == values);

  Configuration before = values;
  Configuration after = values;
  after.namespaces["charts"].rules.sessions.entries_max = std::nullopt;
  after.default_rules.sessions.idle_ttl = 1s;
  const Differences differing = differences(before, after);
  CHECK(differing.reloaded == std::vector<std::string>{"namespaces.default.sessions.idle_ttl: not set -> 1s",
                                                       "namespaces.charts.sessions.entries_max: 7 -> not set"});
  CHECK(differing.need_restart.empty());
  CHECK(reloaded(before, after) == after);
}

TEST_CASE("mistakes in what a namespace says of its sessions are named with their place") {
  const auto about = [](std::string_view line) {
    return complaint_about("[namespaces.charts]\nmemory = \"4MiB\"\n[namespaces.charts.sessions]\n" + std::string(line) + "\n");
  };
  CHECK(about("sessions_max = 0") == "FILE:4:1: namespaces.charts.sessions.sessions_max: 0 is outside 1 to " + std::to_string(limits::sessions_max));
  CHECK(contains(about("sessions_max = 99999999"), "is outside 1 to "));
  CHECK(about("entries_max = 1000001") == "FILE:4:1: namespaces.charts.sessions.entries_max: 1000001 is outside 1 to 1000000");
  CHECK(contains(about("bytes_max = \"1B\""), "FILE:4:1: namespaces.charts.sessions.bytes_max: 1B is outside 1KiB to "));
  CHECK(contains(about("idle_ttl = 5"), "write a duration as a string with its unit"));
  CHECK(contains(about("idle_ttl = \"5x\""), "namespaces.charts.sessions.idle_ttl: \"5x\" is not a duration"));
  CHECK(contains(about("idle_tl = \"5s\""), "did you mean \"namespaces.charts.sessions.idle_ttl\"?"));
}

TEST_CASE("a reload takes over rules, and namespaces that come and go; a segment keeps its size") {
  Configuration before;
  before.blob_bytes = 8 << 20;
  before.namespaces["charts"].budget = {1 << 20, 4 << 20};
  before.namespaces["gone"].budget = {1 << 20, 4 << 20};
  Configuration after = before;
  after.namespaces.erase("gone");
  after.namespaces["new"].budget = {3 << 20, 3 << 20};
  after.namespaces["charts"].budget.memory_bytes = 2 << 20;
  after.namespaces["charts"].rules.access.users = {{"alice", 1001}};
  after.namespaces["charts"].rules.functions["draw"].retention.ttl = 1s;
  after.default_rules.retention.grace = 2s;
  const Differences differing = differences(before, after);
  CHECK(differing.reloaded ==
        std::vector<std::string>{"namespaces.default.retention.grace: not set -> 2s", "namespaces.charts.allow_users: not set -> [\"alice\"]",
                                 "namespaces.charts.functions.draw.ttl: not set -> 1s", "namespaces.new is new", "namespaces.gone is gone"});
  CHECK(differing.need_restart == std::vector<std::string>{"namespaces.charts.memory: 1MiB -> 2MiB"});
  const Configuration taken = reloaded(before, after);
  after.namespaces["charts"].budget.memory_bytes = 1 << 20;
  CHECK(taken == after);
}

TEST_CASE("a name that is borne by another user at a reload is a change") {
  Configuration before;
  before.blob_bytes = 8 << 20;
  before.default_rules.access.users = {{"alice", 1001}};
  Configuration after = before;
  after.default_rules.access.users = {{"alice", 1002}};
  CHECK(reloaded(before, after) == after);
}

TEST_CASE("the system's own users and groups are found, and nobody else") {
  const UserDatabase users = system_users();
  CHECK(*users.uid_of("root") == 0);
  CHECK(*users.gid_of("root") == 0);
  CHECK(users.uid_of("no-such-user-here").error().code == ErrorCode::not_found);
  CHECK(users.gid_of("no-such-group-here").error().code == ErrorCode::not_found);
}
