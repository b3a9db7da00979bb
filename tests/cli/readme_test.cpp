// The README's examples for the shell are run as they stand there, and the daemon that ./run serve gives to try them.
#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "oncectl.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
namespace {

// The indented lines of a section.
std::vector<std::string> examples_below(const std::string& heading) {
  std::istringstream lines(read_file(ONCED_README));
  std::vector<std::string> examples;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("## ")) inside = line == heading;
    else if (inside && line.starts_with("    ")) examples.push_back(line.substr(4));
  }
  return examples;
}

}  // namespace

TEST_CASE("every example for the shell works on any machine, in the order in which they are read") {
  const TempDirectory directory;
  const Oncectl oncectl({"--disk", (directory / "disk").string()});
  const std::string path = std::filesystem::path(oncectl_path).parent_path().string() + ":/usr/bin:/bin";
  std::vector<std::string> examples = examples_below("## From the shell");
  CHECK(examples.size() >= 10);
  const std::vector<std::string> of_disk = examples_below("## On disk");
  CHECK(of_disk.size() >= 4);
  examples.insert(examples.end(), of_disk.begin(), of_disk.end());
  for (const std::string& example : examples) {
    if (example.starts_with("oncectl watch")) continue;  // has no end
    CAPTURE(example);
    const Outcome outcome = run_command({"sh", "-c", example}, {.environment = {{"PATH", path}, {"ONCED_SOCKET", oncectl.daemon.socket()}},
                                                                .directory = directory.path().string()});
    CAPTURE(outcome.err);
    CHECK(outcome.status == 0);
  }
}

TEST_CASE("./run serve takes its daemon and its directory with it, whoever ends it") {
  const std::filesystem::path door = std::filesystem::path(ONCED_README).parent_path() / "run";
  constexpr int ctrl_c = 0;  // of a terminal, which sends SIGINT to all that is in the foreground
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, ctrl_c}) {
    CAPTURE(signal);
    const TempDirectory directory;
    // Without its building, and with the programs of this build.
    Command serve({"bash", "-c", R"(. "$0" help > /dev/null; build_programs() { :; }; programs=$1; verb_serve --blobs 16MiB)", door.string(),
                   std::filesystem::path(oncectl_path).parent_path().string()},
                  {.environment = {{"TMPDIR", directory.path().string()}}, .terminal = signal == ctrl_c});
    const auto socket = [&] {
      const std::string said = signal == ctrl_c ? serve.out() : serve.err();
      const std::size_t from = said.find("ONCED_SOCKET=");
      const std::size_t to = said.find_first_of("\r\n", from);
      return from == std::string::npos || to == std::string::npos ? std::string() : said.substr(from + 13, to - from - 13);
    };
    Outcome status;
    wait_until([&] {
      if (!std::filesystem::exists(socket())) return false;
      status = run_command({oncectl_path, "--socket", socket(), "status", "--json"});
      return status.status == 0;  // a socket may be there a moment before somebody listens
    }, "the daemon");
    const pid_t daemon = nlohmann::json::parse(status.out)["pid"];
    CHECK(::kill(daemon, 0) == 0);
    if (signal == ctrl_c) serve.type("\x03");
    else serve.kill(signal);
    REQUIRE(serve.wait() == 0);  // in order: a second signal would end the daemon at once, with a status that says so
    CHECK(::kill(daemon, 0) == -1);
    CHECK(std::filesystem::is_empty(directory.path()));
  }
}

TEST_CASE("./run serve ends with its daemon, whose exit status it has") {
  const std::filesystem::path door = std::filesystem::path(ONCED_README).parent_path() / "run";
  const TempDirectory directory;
  const Outcome refused = run_command({"bash", "-c", R"(. "$0" help > /dev/null; build_programs() { :; }; programs=$1; verb_serve --no-such-flag)", door.string(),
                                       std::filesystem::path(oncectl_path).parent_path().string()},
                                      {.environment = {{"TMPDIR", directory.path().string()}}});
  CHECK(refused.status == run_command({(std::filesystem::path(oncectl_path).parent_path() / "onced").string(), "--no-such-flag"}).status);
  CHECK(refused.status != 0);
  CHECK(contains(refused.err, "--no-such-flag"));
  CHECK(std::filesystem::is_empty(directory.path()));
}

}  // namespace onced::testing
