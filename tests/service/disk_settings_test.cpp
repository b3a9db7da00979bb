#include "service/disk_settings.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "service/command_line.hpp"
#include "service/configuration.hpp"
#include "service/quantities.hpp"
#include "support/temp_directory.hpp"

using namespace onced;
using namespace onced::service;
using onced::testing::TempDirectory;
using onced::testing::write_file;

namespace {

constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
constexpr std::uint64_t gibibyte = std::uint64_t{1} << 30;

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

Result<LoadedConfiguration> load(std::string_view text, Environment environment = {}) {
  const TempDirectory directory;
  const std::string file = (directory / "onced.toml").string();
  write_file(file, text);
  Overrides overrides;
  overrides.file = file;
  overrides.values = {{"socket", "/x/s"}};
  auto loaded = load_configuration(overrides, environment, {});
  if (loaded) return loaded;
  std::string complaint = loaded.error().text;
  for (std::size_t at = 0; (at = complaint.find(file)) != std::string::npos;) complaint.replace(at, file.size(), "FILE");
  return Error{loaded.error().code, complaint};
}
Configuration values_of(std::string_view text) {
  auto loaded = load(text);
  CAPTURE(loaded ? std::string() : loaded.error().text);
  REQUIRE(loaded.ok());
  return loaded->values;
}
std::string complaint_about(std::string_view text) {
  const auto loaded = load(text);
  return loaded ? "nothing" : loaded.error().text;
}

mode_t mode_of(const std::filesystem::path& path) {
  struct stat found {};
  REQUIRE(::lstat(path.c_str(), &found) == 0);
  return found.st_mode & 07777U;
}

}  // namespace

TEST_CASE("without a path nothing is kept on disk, whatever else is said") {
  CHECK(disk_shares(values_of("")).empty());
  CHECK(disk_shares(values_of("[disk]\nsize = \"2GiB\"\n[namespaces.charts]\nmemory = \"4MiB\"\ndisk_size = \"1GiB\"\ndisk = \"off\"\n")).empty());
  CHECK(values_of("").disk_bytes == 10 * gibibyte);
}

TEST_CASE("a path is enough: each namespace has a directory below it, and an even share of what is left by those with a size of their own") {
  const Configuration values = values_of(
      "[disk]\npath = \"/var/lib/onced/\"\nsize = \"10GiB\"\n"
      "[namespaces.charts]\nmemory = \"4MiB\"\n[namespaces.large]\nmemory = \"4MiB\"\ndisk_size = \"50GiB\"\n"
      "[namespaces.secret]\nmemory = \"4MiB\"\ndisk = \"off\"\n[namespaces.tables]\nmemory = \"4MiB\"\ndisk = \"on\"\n");
  using Shares = std::map<std::string, DiskShare, std::less<>>;
  constexpr std::uint64_t third = 10 * gibibyte / 3 / mebibyte * mebibyte;
  CHECK(disk_shares(values) == Shares{{"default", {"/var/lib/onced/default", third}}, {"charts", {"/var/lib/onced/charts", third}},
                                      {"large", {"/var/lib/onced/large", 50 * gibibyte}}, {"tables", {"/var/lib/onced/tables", third}}});
  const Configuration alone = values_of("[disk]\npath = \"/d\"\n[namespaces.default]\ndisk = \"off\"\n[namespaces.a]\nmemory = \"4MiB\"\n");
  CHECK(disk_shares(alone) == Shares{{"a", {"/d/a", 10 * gibibyte}}});
  // Nobody shares: all have a size of their own, or keep nothing.
  const Configuration none = values_of("[disk]\npath = \"/d\"\nsize = \"1MiB\"\n[namespaces.default]\ndisk_size = \"3MiB\"\n");
  CHECK(disk_shares(none) == Shares{{"default", {"/d/default", 3 * mebibyte}}});
}

TEST_CASE("the path comes from a flag, the environment or the file") {
  const char* const arguments[] = {"onced", "--disk", "/from/flag", "--set", "disk.size=3GiB"};
  const auto parsed = parse_command_line(5, arguments, "1");
  REQUIRE(parsed.command);
  Overrides overrides = parsed.command->overrides;
  overrides.values.emplace_back("socket", "/x/s");
  const auto flag = load_configuration(overrides, {{"ONCED_DISK_PATH", "/from/environment"}}, {});
  REQUIRE(flag.ok());
  CHECK(flag->values.disk_path == "/from/flag");
  CHECK(flag->values.disk_bytes == 3 * gibibyte);
  const auto environment = load("[disk]\npath = \"/from/file\"\n", {{"ONCED_DISK_PATH", "/from/environment"}, {"ONCED_DISK_SIZE", "7MiB"}});
  REQUIRE(environment.ok());
  CHECK(environment->warnings.empty());
  CHECK(environment->values.disk_path == "/from/environment");
  CHECK(environment->values.disk_bytes == 7 * mebibyte);
}

TEST_CASE("files are mapped only where that is said, and it takes a restart") {
  CHECK_FALSE(disk_shares(values_of("[disk]\npath = \"/d\"\n")).at("default").map_files);
  const Configuration on = values_of("[disk]\npath = \"/d\"\nmap_files = \"on\"\n[namespaces.a]\nmemory = \"4MiB\"\n");
  CHECK(disk_shares(on).at("default").map_files);
  CHECK(disk_shares(on).at("a").map_files);
  const auto environment = load("[disk]\npath = \"/d\"\nmap_files = \"on\"\n", {{"ONCED_DISK_MAP_FILES", "off"}});
  REQUIRE(environment.ok());
  CHECK_FALSE(environment->values.disk_map_files);
  CHECK(complaint_about("[disk]\nmap_files = \"yes\"\n") == "FILE:2:1: disk.map_files: \"yes\" is none of off, on");
  const Differences between = differences(values_of("[disk]\npath = \"/d\"\n"), values_of("[disk]\npath = \"/d\"\nmap_files = \"on\"\n"));
  CHECK(between.need_restart == std::vector<std::string>{"disk.map_files: off -> on"});
}

TEST_CASE("mistakes are named with their place") {
  CHECK(contains(complaint_about("[disk]\nsize = \"1023KiB\"\n"), "FILE:2:1: disk.size: "));
  CHECK(contains(complaint_about("[namespaces.a]\nmemory = \"4MiB\"\ndisk_size = \"1\"\n"), "FILE:3:1: namespaces.a.disk_size: "));
  CHECK(complaint_about("[namespaces.a]\nmemory = \"4MiB\"\ndisk = \"yes\"\n") == "FILE:3:1: namespaces.a.disk: \"yes\" is none of on, off");
  CHECK(contains(complaint_about("[namespaces.a]\nmemory = \"4MiB\"\ndisk = true\n"), "a string or a whole number is wanted"));
  CHECK(contains(complaint_about("[namespaces.a]\nmemory = \"4MiB\"\ndisc = \"on\"\n"), "did you mean \"namespaces.a.disk\"?"));
  CHECK(contains(complaint_about("[disk]\npth = \"/x\"\n"), "did you mean \"disk.path\"?"));
  CHECK(complaint_about("[namespaces.default]\ndisk = \"on\"\n") ==
        "FILE:2:1: namespaces.default.disk: is on, but disk.path does not say where its values would be");
  const std::string share = complaint_about("[disk]\npath = \"/d\"\nsize = \"2MiB\"\n[namespaces.a]\nmemory = \"4MiB\"\n[namespaces.b]\nmemory = \"4MiB\"\n");
  CHECK(contains(share, "FILE:3:1: disk.size: 2MiB leaves "));
  CHECK(contains(share, "1MiB is the least"));
}

TEST_CASE("all of it is printed, and read again as it was") {
  const auto loaded = load("[disk]\npath = \"/d\"\n[namespaces.a]\nmemory = \"4MiB\"\ndisk_size = \"3MiB\"\n[namespaces.default]\ndisk = \"off\"\n");
  REQUIRE(loaded.ok());
  const std::string printed = print_configuration(*loaded);
  CHECK(contains(printed, "[disk]\npath = \"/d\"  # "));
  CHECK(contains(printed, "\nsize = \"10GiB\"  # default\n"));
  CHECK(contains(printed, "\ndisk_size = \"3MiB\"  # "));
  CHECK(contains(printed, "[namespaces.default]\ndisk = \"off\"  # "));
  CHECK(values_of(printed) == loaded->values);
}

TEST_CASE("a reload changes nothing of it, and says that a restart would") {
  const Configuration before = values_of("[disk]\npath = \"/d\"\nsize = \"1GiB\"\n[namespaces.a]\nmemory = \"4MiB\"\n");
  const Configuration after = values_of(
      "[disk]\npath = \"/e\"\nsize = \"2GiB\"\n[namespaces.a]\nmemory = \"4MiB\"\ndisk = \"off\"\ndisk_size = \"3MiB\"\n[namespaces.default]\ndisk = \"off\"\n");
  const Differences found = differences(before, after);
  CHECK(found.reloaded.empty());
  CHECK(found.need_restart == std::vector<std::string>{"disk.path: /d -> /e", "disk.size: 1GiB -> 2GiB", "namespaces.default.disk: not set -> off",
                                                        "namespaces.a.disk: not set -> off", "namespaces.a.disk_size: not set -> 3MiB"});
  CHECK(disk_shares(reloaded(before, after)) == disk_shares(before));
}

namespace {
bool all_are_stores(const std::string&) { return true; }
}  // namespace

TEST_CASE("the directory is made for the daemon alone, whatever the umask and its parent say") {
  const TempDirectory parent;
  std::filesystem::permissions(parent.path(), std::filesystem::perms(02755));  // hands its group on
  const std::string path = (parent / "onced").string();
  const mode_t umask_before = ::umask(0277);
  const auto made = prepare_disk_directory(path + "//", {"default", "a"}, all_are_stores);
  ::umask(umask_before);
  REQUIRE(made.ok());
  CHECK(made->empty());
  CHECK(mode_of(path) == 0700);
  CHECK(prepare_disk_directory(path, {"default", "a"}, all_are_stores).ok());  // as it is
}

TEST_CASE("a directory that is there and is not the daemon's alone is refused, and says why") {
  const TempDirectory parent;
  const auto complaint = [](const std::string& path) {
    const auto prepared = prepare_disk_directory(path, {"default"}, all_are_stores);
    return prepared ? std::string("nothing") : prepared.error().text;
  };
  const std::string path = (parent / "open").string();
  std::filesystem::create_directory(path);
  for (const unsigned mode : {0750U, 0701U, 02700U, 0500U}) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    CAPTURE(mode);
    CHECK(contains(complaint(path), "it must be 0700"));
    CHECK_FALSE(std::filesystem::exists(path + "/default"));  // nothing was made in it
  }
  write_file(parent / "file", "");
  CHECK(contains(complaint((parent / "file").string()), "Not a directory"));
  CHECK(contains(complaint((parent / "no" ).string() + "/such"), "its parent is not there"));
  if (::geteuid() == 0) {
    REQUIRE(::chmod(path.c_str(), 0700) == 0);
    REQUIRE(::chown(path.c_str(), 12345, 12345) == 0);
    CHECK(contains(complaint(path), "belongs to uid 12345, the daemon runs as uid 0"));
  }
}

TEST_CASE("what is of no namespace is named; a file system's own directory is not") {
  const TempDirectory parent;
  const std::string path = (parent / "d").string();
  REQUIRE(prepare_disk_directory(path, {"default", "gone", "charts"}, all_are_stores).ok());
  std::filesystem::create_directory(path + "/lost+found");
  CHECK(*prepare_disk_directory(path, {"default"}, all_are_stores) == std::vector<std::string>{"charts", "gone"});
}

TEST_CASE("a size that the file system does not have is warned of") {
  const TempDirectory parent;
  const std::map<std::string, DiskShare, std::less<>> fits{{"default", {.directory = "", .bytes = std::uint64_t{1} << 20}}};
  CHECK_FALSE(disk_size_warning(parent.path().string(), fits));
  const std::map<std::string, DiskShare, std::less<>> large{{"a", {.directory = "", .bytes = std::uint64_t{1} << 60}}, {"b", {.directory = "", .bytes = std::uint64_t{1} << 60}}};
  const auto warning = disk_size_warning(parent.path().string(), large);
  REQUIRE(warning);
  CHECK(contains(*warning, "disk: the namespaces may have " + print_size(std::uint64_t{2} << 60) + " together"));
  CHECK(contains(*warning, "say less in disk.size"));
}

TEST_CASE("a directory in which something else lies is refused, and nothing in it or of it is touched") {
  const TempDirectory parent;
  const std::string path = (parent / "home").string();
  std::filesystem::create_directories(path + "/charts");
  write_file(path + "/.profile", "");
  write_file(path + "/letters", "");
  REQUIRE(::chmod(path.c_str(), 0755) == 0);  // what is to be done about that is not said of a stranger's directory
  const auto is_store = [&](const std::string& directory) { return directory == path + "/charts"; };
  const auto refused = prepare_disk_directory(path, {"default"}, is_store);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::not_permitted);
  CHECK(contains(refused.error().text, "(\".profile\" and 1 more): it is not used, and nothing in it was touched"));
  CHECK_FALSE(contains(refused.error().text, "chmod"));
  CHECK_FALSE(std::filesystem::exists(path + "/default"));
  CHECK(mode_of(path) == 0755);
}
