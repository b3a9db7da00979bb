#include "service/configuration.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <regex>

#include "support/temp_directory.hpp"

using namespace onced::service;
using onced::testing::TempDirectory;
using namespace std::chrono_literals;

namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// What loading `text` as a file complains about; with the file's own path cut to "FILE".
std::string complaint_about(std::string_view text) {
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, text);
  Overrides overrides;
  overrides.file = file;
  overrides.values = {{"socket", "/x/s"}};
  const auto loaded = load_configuration(overrides, {}, {});
  if (loaded) return "nothing";
  std::string complaint = loaded.error().text;
  for (std::size_t at = 0; (at = complaint.find(file)) != std::string::npos;) complaint.replace(at, file.size(), "FILE");
  return complaint;
}

}  // namespace

TEST_CASE("sessions have settings of their own, and a reload takes them over") {
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, "[sessions]\nidle_ttl = \"15min\"\nabsolute_ttl = \"0ms\"\nbytes_max = \"1MiB\"\nentries_max = 20\nsessions_max = 300\n");
  Overrides overrides;
  overrides.file = file;
  overrides.values = {{"socket", "/x/s"}};
  const auto loaded = load_configuration(overrides, {{"ONCED_SESSION", "an id"}}, {});
  REQUIRE(loaded.ok());
  CHECK(loaded->warnings.empty());  // that variable is oncectl's
  const Configuration& values = loaded->values;
  CHECK(values.sessions.idle_ttl == std::chrono::minutes(15));
  CHECK(values.sessions.absolute_ttl == std::chrono::milliseconds(0));
  CHECK(values.sessions.bytes_max == 1 << 20);
  CHECK(values.sessions.entries_max == 20);
  CHECK(values.sessions.sessions_max == 300);
  CHECK(print_configuration(*loaded).find("[sessions]\nidle_ttl = \"15min\"") != std::string::npos);
  const Configuration before;
  CHECK(reloaded(before, values).sessions.sessions_max == 300);
}

TEST_CASE("a flag counts more than the environment, that more than the file, that more than the default") {
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, "memory = \"2MiB\"\n[log]\nlevel = \"debug\"\nformat = \"json\"\n");
  Overrides overrides;
  overrides.file = file;
  overrides.values = {{"socket", "/x/s"}, {"memory", "4MiB"}};
  const Environment environment{{"ONCED_MEMORY", "3MiB"}, {"ONCED_LOG_LEVEL", "error"}, {"ONCED_LOG_FILE", ""}};
  const auto loaded = load_configuration(overrides, environment, {});
  REQUIRE(loaded.ok());
  CHECK(loaded->values.memory_bytes == 4 << 20);
  CHECK(loaded->values.log_level == Level::error);
  CHECK(loaded->values.log_format == Format::json);
  CHECK(loaded->values.connections_max == onced::limits::connections_max);
  const std::string printed = print_configuration(*loaded);
  CHECK(contains(printed, "memory = \"4MiB\"  # flag\n"));
  CHECK(contains(printed, "level = \"error\"  # environment ONCED_LOG_LEVEL\n"));
  CHECK(contains(printed, "format = \"json\"  # " + file + ":4:1\n"));
  CHECK(contains(printed, "connections_max = 4096  # default\n"));
}

TEST_CASE("every mistake is named with its place and a hint") {
  CHECK(complaint_about("memory = \"2MiB\"\n") == "nothing");
  CHECK(complaint_about("memroy = \"2MiB\"\n") == "FILE:1:1: unknown setting \"memroy\"; did you mean \"memory\"?");
  CHECK(complaint_about("\n[limits]\n  conections_max = 5\n") ==
        "FILE:3:3: unknown setting \"limits.conections_max\"; did you mean \"limits.connections_max\"?");
  CHECK(contains(complaint_about("connections_max = 5\n"), "did you mean \"limits.connections_max\"?"));
  CHECK(contains(complaint_about("zzzzzzzzzzzz = 5\n"), "`onced --print-config` shows them all"));
  CHECK(contains(complaint_about("memory = \"2MB\"\n"), "FILE:1:1: memory: \"2MB\" is not a size; write bytes or"));
  CHECK(contains(complaint_about("memory = \"1KiB\"\n"), "1KiB is outside 1MiB to 64TiB"));
  CHECK(contains(complaint_about("memory = 2.5\n"), "a string or a whole number is wanted"));
  CHECK(contains(complaint_about("memory = -5\n"), "\"-5\" is not a size"));
  CHECK(contains(complaint_about("memory = [1]\n"), "a string or a whole number is wanted"));
  CHECK(contains(complaint_about("socket = 5\n"), "a string is wanted"));
  CHECK(contains(complaint_about("socket_mode = 432\n"), "write a mode as a string"));
  CHECK(contains(complaint_about("socket_mode = \"0\"\n"), "is not a mode"));
  CHECK(contains(complaint_about("socket_mode = \"0000\"\n"), "lets nobody in"));
  CHECK(contains(complaint_about("[limits]\nhello_deadline = 5\n"), "FILE:2:1: limits.hello_deadline: write a duration"));
  CHECK(contains(complaint_about("[limits]\nhello_deadline = \"0s\"\n"), "shorter than 1ms"));
  CHECK(contains(complaint_about("[limits]\nconnections_max = 0\n"), "0 is outside 1 to 1000000"));
  CHECK(contains(complaint_about("[log]\nlevel = \"wraning\"\n"), "did you mean \"warning\"?"));
  CHECK(contains(complaint_about("[log]\nlevel = \"loud\"\n"), "is none of debug, info, warning, error"));
  CHECK(contains(complaint_about("[namespaces.default]\nmemory = \"2MiB\"\n"), "set \"memory\" instead"));
  CHECK(contains(complaint_about("[namespaces.\"a b\"]\nmemory = \"2MiB\"\n"), "letters, digits, _ or -"));
  CHECK(contains(complaint_about("[namespaces.a]\nmemroy = \"2MiB\"\n"), "unknown setting \"namespaces.a.memroy\""));
  CHECK(complaint_about("memory = \n").starts_with("FILE:1:"));
  CHECK(complaint_about("memory = \"2MiB\"\nmemory = \"3MiB\"\n").starts_with("FILE:2:"));
  CHECK(complaint_about("a = \"\xff\"\n").starts_with("FILE:1:"));
}

TEST_CASE("how long values are kept is set for all functions and for one by its name") {
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file,
                             "[retention]\nttl = \"10min\"\nrefresh_ahead = 1.5\n"
                             "[functions.\"charts.draw\"]\ngrace = \"1h\"\nrefresh_ahead = 2\n"
                             "[functions.load]\nfailure_ttl = \"0s\"\nrefresh_ahead = \"0.25\"\n");
  Overrides overrides;
  overrides.file = file;
  overrides.values = {{"socket", "/x/s"}, {"functions.load.ttl", "7s"}};
  const auto loaded = load_configuration(overrides, {{"ONCED_RETENTION_GRACE", "30s"}}, {});
  REQUIRE(loaded.ok());
  const Configuration& values = loaded->values;
  CHECK(values.retention == Retention{.ttl = 10min, .grace = 30s, .refresh_ahead_permille = 1500, .failure_ttl = 5s});
  CHECK(values.functions.size() == 2);
  CHECK(values.functions.at("charts.draw") == FunctionSettings{.retention = {.grace = 1h, .refresh_ahead_permille = 2000}});
  CHECK(values.functions.at("load") == FunctionSettings{.retention = {.ttl = 7s, .refresh_ahead_permille = 250, .failure_ttl = 0ms}});
  const std::string printed = print_configuration(*loaded);
  CHECK(contains(printed, "[retention]\nttl = \"10min\"  # " + file + ":2:1\n"));
  CHECK(contains(printed, "refresh_ahead = 1.5  # "));
  CHECK(contains(printed, "[functions.\"charts.draw\"]\ngrace = \"1h\"  # " + file + ":5:1\nrefresh_ahead = 2  # "));
  CHECK(contains(printed, "[functions.\"load\"]\nttl = \"7s\"  # flag\n"));
}

TEST_CASE("mistakes in how long values are kept are named with a hint") {
  CHECK(complaint_about("[retention]\ntll = \"1s\"\n") == "FILE:2:1: unknown setting \"retention.tll\"; did you mean \"retention.ttl\"?");
  CHECK(complaint_about("[functions.draw]\ntll = \"1s\"\n") ==
        "FILE:2:1: unknown setting \"functions.draw.tll\"; did you mean \"functions.draw.ttl\"?");
  CHECK(contains(complaint_about("[function.draw]\nttl = \"1s\"\n"), "did you mean \"functions.draw.ttl\"?"));
  CHECK(contains(complaint_about("[functions]\nttl = \"1s\"\n"), "did you mean \"retention.ttl\"?"));
  CHECK(contains(complaint_about("[functions.\"\"]\nttl = \"1s\"\n"), "unknown setting"));
  CHECK(contains(complaint_about("[functions.\"" + std::string(257, 'x') + "\"]\nttl = \"1s\"\n"), "at most 256 bytes"));
  CHECK(contains(complaint_about("[functions.draw]\nttl = 5\n"), "functions.draw.ttl: write a duration as a string"));
  CHECK(contains(complaint_about("[retention]\nttl = 1.5\n"), "retention.ttl: a string or a whole number is wanted"));
  CHECK(contains(complaint_about("[retention]\ngrace = \"50d\"\n"), "50d is longer than 49 days"));
  CHECK(contains(complaint_about("[retention]\nrefresh_ahead = -1\n"), "is not a factor"));
  CHECK(contains(complaint_about("[retention]\nrefresh_ahead = 0.0001\n"), "is not a factor"));
  CHECK(contains(complaint_about("[retention]\nrefresh_ahead = [1]\n"), "a number is wanted"));
  CHECK(contains(complaint_about("[retention]\nrefresh_ahead = 1001\n"), "1001 is more than 1000"));
}

TEST_CASE("a reload takes over how long values are kept, functions that come and go too") {
  Configuration before;
  before.blob_bytes = 8 << 20;
  Configuration after = before;
  before.functions["draw"] = {.retention = {.ttl = 1s}};
  before.functions["gone"] = {.retention = {.grace = 1s}};
  after.retention.ttl = 2s;
  after.functions["draw"] = {.retention = {.ttl = 3s, .refresh_ahead_permille = 500}};
  const Differences differing = differences(before, after);
  CHECK(differing.need_restart.empty());
  CHECK(differing.reloaded == std::vector<std::string>{"retention.ttl: 0ms -> 2s", "functions.draw.ttl: 1s -> 3s",
                                                       "functions.draw.refresh_ahead: not set -> 0.5", "functions.gone.grace: 1s -> not set"});
  CHECK(reloaded(before, after) == after);
}

TEST_CASE("all mistakes are named at once") {
  const std::string complaint = complaint_about("memroy = 1\n[log]\nlevel = \"x\"\n");
  CHECK(std::count(complaint.begin(), complaint.end(), '\n') == 1);
}

TEST_CASE("mistakes in flags and variables name them") {
  Overrides overrides;
  overrides.values = {{"socket", "/x/s"}, {"limits.connections_max", "many"}};
  const auto loaded = load_configuration(overrides, {{"ONCED_LIMITS_SIGNAL_HISTORY", "0"}}, {});
  REQUIRE_FALSE(loaded.ok());
  CHECK(contains(loaded.error().text, "environment ONCED_LIMITS_SIGNAL_HISTORY: limits.signal_history: 0 is outside"));
  CHECK(contains(loaded.error().text, "command line: limits.connections_max: \"many\" is not a whole number"));
}

TEST_CASE("a variable that looks like a setting and is none is warned of") {
  Overrides overrides;
  overrides.values = {{"socket", "/x/s"}};
  const auto loaded = load_configuration(overrides, {{"ONCED_MEMROY", "1GiB"}, {"ONCED_NAMESPACE", "x"}}, {});
  REQUIRE(loaded.ok());
  REQUIRE(loaded->warnings.size() == 1);
  CHECK(contains(loaded->warnings[0], "did you mean ONCED_MEMORY?"));
}

TEST_CASE("a file that is not there, or is none, is refused") {
  Overrides overrides;
  overrides.file = "/nonexistent/onced.toml";
  CHECK(contains(load_configuration(overrides, {}, {}).error().text, "/nonexistent/onced.toml"));
  overrides.file = "/dev/zero";
  CHECK(contains(load_configuration(overrides, {}, {}).error().text, "is not a file"));
}

TEST_CASE("the socket has a default place for a service, for a user and for root, and modes to match") {
  const auto load = [](const Environment& environment, bool is_root) { return load_configuration({}, environment, {.is_root = is_root}); };
  const auto service = load({{"RUNTIME_DIRECTORY", "/run/onced"}, {"XDG_RUNTIME_DIR", "/run/user/1"}}, false);
  CHECK(service->values.socket == "/run/onced/onced.sock");
  CHECK(service->values.socket_mode == 0660);
  const auto user = load({{"XDG_RUNTIME_DIR", "/run/user/1"}}, false);
  CHECK(user->values.socket == "/run/user/1/onced/onced.sock");
  CHECK(user->values.socket_mode == 0600);
  CHECK(user->values.directory_mode == 0700);
  CHECK(load({}, true)->values.socket == "/run/onced/onced.sock");
  CHECK(contains(load({}, false).error().text, "--socket"));
}

TEST_CASE("what is printed is read as the same configuration") {
  Overrides overrides;
  overrides.values = {{"socket", "/x/\"quoted\"\\\t/s"}, {"memory", "7MiB"}, {"limits.hello_deadline", "1500ms"},
                      {"retention.ttl", "10min"}, {"retention.refresh_ahead", "1.25"}, {"functions.a \"b\".c.grace", "1h"},
                      {"functions.a \"b\".c.refresh_ahead", "0"}, {"functions.d.failure_ttl", "0ms"}, {"functions.d.max_concurrent", "3"}, {"namespaces.maps.functions.d.max_concurrent", "7"},
                      {"namespaces.charts.memory", "9MiB"}, {"namespaces.maps.blobs", "33MiB"},
                      {"namespaces.charts.allow_uids", "1000, 1001"}, {"namespaces.charts.allow_groups", ""}, {"namespaces.charts.allow_users", "root"},
                      {"namespaces.charts.retention.ttl", "1s"}, {"namespaces.charts.retention.refresh_ahead", "0.5"}, {"namespaces.maps.functions.a \"b\".c.grace", "3s"},
                      {"namespaces.default.allow_gids", "7"}, {"namespaces.default.retention.grace", "9s"}, {"log.level", "debug"}, {"socket_mode", "0640"}};
  const auto first = load_configuration(overrides, {}, {});
  REQUIRE(first.ok());
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, print_configuration(*first));
  Overrides again;
  again.file = file;
  const auto second = load_configuration(again, {}, {});
  REQUIRE(second.ok());
  CHECK(first->values == second->values);
}

TEST_CASE("the example that is installed shows every setting with its default") {
  std::string text = onced::testing::read_file(ONCED_EXAMPLE_CONFIGURATION);
  REQUIRE_FALSE(text.empty());
  // Every commented setting becomes a setting; functions and namespaces are examples, not defaults.
  text.erase(text.find("\n#[functions."));
  text = std::regex_replace(text, std::regex("(^|\n)#(?=[a-z_]+ = )"), "$1");
  text = std::regex_replace(text, std::regex("file = \"\""), "");
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, text);
  Overrides overrides;
  overrides.file = file;
  const Machine machine{.is_root = true, .memory_bytes = std::uint64_t{4} << 30};
  const auto loaded = load_configuration(overrides, {}, machine);
  CAPTURE(loaded.ok() ? std::string() : loaded.error().text);
  REQUIRE(loaded.ok());
  Overrides none;
  none.values = {{"socket", "/run/onced/onced.sock"}};
  CHECK(loaded->values == load_configuration(none, {}, machine)->values);
  for (const Setting& setting : settings()) {
    CAPTURE(setting.name);
    CHECK((loaded->origins.contains(setting.name) || setting.name == "log.file"));
  }
}

TEST_CASE("how many computations of a function run at once is set by its name") {
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, "[functions.\"charts.draw\"]\nmax_concurrent = 2\n[functions.load]\nmax_concurrent = \"0\"\nttl = \"1s\"\n");
  Overrides overrides;
  overrides.file = file;
  overrides.values = {{"socket", "/x/s"}, {"functions.print.max_concurrent", "7"}};
  const auto loaded = load_configuration(overrides, {}, {});
  REQUIRE(loaded.ok());
  const auto& functions = loaded->values.functions;
  CHECK(functions.size() == 3);
  CHECK(functions.at("charts.draw") == FunctionSettings{.retention = {}, .max_concurrent = 2});
  CHECK(functions.at("load") == FunctionSettings{.retention = {.ttl = 1s}, .max_concurrent = 0});
  CHECK(functions.at("print").max_concurrent == 7);
  const std::string printed = print_configuration(*loaded);
  CHECK(contains(printed, "[functions.\"charts.draw\"]\nmax_concurrent = 2  # " + file + ":2:1\n"));
  CHECK(contains(printed, "[functions.\"print\"]\nmax_concurrent = 7  # flag\n"));

  CHECK(contains(complaint_about("[functions.draw]\nmax_concurent = 2\n"), "did you mean \"functions.draw.max_concurrent\"?"));
  CHECK(contains(complaint_about("[functions.draw]\nmax_concurrent = -2\n"), "functions.draw.max_concurrent: \"-2\" is not"));
  CHECK(contains(complaint_about("[functions.draw]\nmax_concurrent = \"2s\"\n"), "functions.draw.max_concurrent: \"2s\" is not"));
  CHECK(contains(complaint_about("[functions.draw]\nmax_concurrent = 1.5\n"), "a string or a whole number is wanted"));
  CHECK(contains(complaint_about("[functions.draw]\nmax_concurrent = 2000000\n"), "2000000 is more than 1000000; 0 is no limit"));

  Configuration before = loaded->values;
  Configuration after = before;
  after.functions["charts.draw"].max_concurrent = 4;
  after.functions.erase("print");
  CHECK(differences(before, after).reloaded ==
        std::vector<std::string>{"functions.charts.draw.max_concurrent: 2 -> 4", "functions.print.max_concurrent: 7 -> not set"});
  CHECK(differences(before, after).need_restart.empty());
  CHECK(reloaded(before, after).functions == after.functions);
}

TEST_CASE("how much the values of a function may have is set by its name, and reloaded") {
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  onced::testing::write_file(file, "[functions.\"charts.draw\"]\nbytes_max = \"64MiB\"\n");
  Overrides overrides;
  overrides.file = file;
  overrides.values = {{"socket", "/x/s"}, {"functions.print.bytes_max", "1000"}};
  const auto loaded = load_configuration(overrides, {}, {});
  REQUIRE(loaded.ok());
  const auto& functions = loaded->values.functions;
  CHECK(functions.at("charts.draw") == FunctionSettings{.retention = {}, .bytes_max = std::uint64_t{64} << 20});
  CHECK(functions.at("print").bytes_max == 1000);
  const std::string printed = print_configuration(*loaded);
  CHECK(contains(printed, "[functions.\"charts.draw\"]\nbytes_max = \"64MiB\"  # " + file + ":2:1\n"));
  CHECK(contains(complaint_about("[functions.draw]\nbytes_max = \"64MB\"\n"), "functions.draw.bytes_max"));

  Configuration after = loaded->values;
  after.functions["charts.draw"].bytes_max = 0;
  CHECK(differences(loaded->values, after).reloaded == std::vector<std::string>{"functions.charts.draw.bytes_max: 64MiB -> 0B"});
  CHECK(reloaded(loaded->values, after).functions == after.functions);
}

TEST_CASE("sizes above the machine's memory are warned of, those of all namespaces together") {
  const auto warnings = [](std::vector<std::pair<std::string, std::string>> values) {
    Overrides overrides;
    overrides.values = std::move(values);
    overrides.values.emplace_back("socket", "/x/s");
    const auto loaded = load_configuration(overrides, {}, {.memory_bytes = std::uint64_t{8} << 30});
    REQUIRE(loaded.ok());
    return loaded->warnings;
  };
  CHECK(warnings({}).empty());
  CHECK(warnings({{"memory", "4GiB"}, {"blobs", "4GiB"}}).empty());
  CHECK(warnings({{"memory", "4GiB"}, {"blobs", "4097MiB"}}).size() == 1);
  const auto vast = warnings({{"memory", "64TiB"}, {"blobs", "1GiB"}});
  REQUIRE(vast.size() == 1);
  CHECK(contains(vast.front(), "64TiB + 1GiB"));
  CHECK(contains(vast.front(), "8589934592 bytes of memory in all"));
  CHECK(warnings({{"memory", "1GiB"}, {"blobs", "1GiB"}, {"namespaces.charts.blobs", "7GiB"}}).size() == 1);
}

TEST_CASE("settings of functions that are none of oncectl's, though they look so, are warned of") {
  Overrides overrides;
  overrides.values = {{"socket", "/x/s"}, {"functions.run.max_concurrent", "2"}, {"functions.run:make.max_concurrent", "2"}};
  CHECK(load_configuration(overrides, {}, {})->warnings ==
        std::vector<std::string>{
            "[functions.\"run\"] says nothing of `oncectl run COMMAND`: its function is \"run:COMMAND\", as in [functions.\"run:make\"]"});
  overrides.values = {{"socket", "/x/s"}, {"namespaces.charts.memory", "4MiB"}, {"namespaces.charts.functions.run:*.ttl", "2s"}};
  CHECK(load_configuration(overrides, {}, {})->warnings ==
        std::vector<std::string>{"[namespaces.charts.functions.\"run:*\"] is of the one function that is called so: there are no patterns"});
}

TEST_CASE("a reload takes over what can change and names what cannot") {
  Configuration before;
  before.socket = "/x/s";
  Configuration after = before;
  after.socket = "/y/s";
  after.connections_max = 5;
  after.log_level = Level::debug;
  before.namespaces["maps"] = before.namespaces["gone"] = {1 << 20, 4 << 20};
  after.namespaces["maps"] = {2 << 20, 5 << 20};
  after.namespaces["charts"] = {1 << 20, 1 << 20};
  after.blob_bytes = 9 << 20;
  after.memory_bytes = 9 << 20;
  before.blob_bytes = before.memory_bytes = 8 << 20;
  const Differences differing = differences(before, after);
  CHECK(differing.reloaded == std::vector<std::string>{"blobs: 8MiB -> 9MiB", "log.level: info -> debug",
                                                          "limits.connections_max: 4096 -> 5", "namespaces.charts is new",
                                                          "namespaces.maps.blobs: 4MiB -> 5MiB", "namespaces.gone is gone"});
  CHECK(differing.need_restart == std::vector<std::string>{"socket: /x/s -> /y/s", "memory: 8MiB -> 9MiB",
                                                              "namespaces.maps.memory: 1MiB -> 2MiB"});
  const Configuration taken = reloaded(before, after);
  CHECK(taken.socket == "/x/s");
  CHECK(taken.connections_max == 5);
  CHECK(taken.log_level == Level::debug);
  CHECK(taken.memory_bytes == 8 << 20);
  CHECK(taken.blob_bytes == 9 << 20);
  CHECK(taken.namespaces.size() == 2);
  CHECK(taken.namespaces.at("charts").budget == Budget{1 << 20, 1 << 20});
  CHECK(taken.namespaces.at("maps").budget == Budget{1 << 20, 5 << 20});
}
