// The README's examples for the shell are run as they stand there.
#include <doctest/doctest.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "oncectl.hpp"

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

}  // namespace onced::testing
