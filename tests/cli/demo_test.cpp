// The demo as a whole, on a small input.
#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "command.hpp"
#include "support/contains.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
namespace {

namespace fs = std::filesystem;

// Enough files that progress is seen before the end.
void write_input(const TempDirectory& directory, int files) {
  for (int i = 0; i < files; ++i) {
    std::string text = "#include <vector>\n#include <header" + std::to_string(i % 7) + ">\n";
    for (int line = 0; line < 200; ++line) text += "int variable_" + std::to_string(line % 50) + " = some_function(" + std::to_string(i) + ");\n";
    write_file(directory / ("file" + std::to_string(i) + ".hpp"), text);
  }
}

CommandOptions with_temporary(const TempDirectory& directory) { return {.environment = {{"TMPDIR", directory.path().string()}}}; }

}  // namespace

TEST_CASE("the demo shows six computations without onced, one with it, hits, and a take-over, and leaves nothing behind") {
  const TempDirectory input;
  const TempDirectory temporary;
  write_input(input, 1500);
  const Outcome outcome = run_command({ONCED_DEMO_BINARY, "--input", input.path().string()}, with_temporary(temporary));
  CAPTURE(outcome.out);
  CAPTURE(outcome.err);
  CHECK(outcome.status == 0);
  CHECK(contains(outcome.out, "6 computations for 24 charts"));
  CHECK(contains(outcome.out, "1 computation for 24 charts"));
  CHECK(contains(outcome.out, "0 computations for 24 charts"));
  CHECK(contains(outcome.out, "takes over after"));
  CHECK(contains(outcome.out, "computations                  6           1             0              2"));
  for (const char* chart : {"Most frequent words", "Lines by length", "Most included headers", "Largest files"}) CHECK(contains(outcome.out, chart));
  CHECK_FALSE(contains(outcome.out, "\x1b"));
  CHECK(fs::is_empty(temporary.path()));
}

TEST_CASE("on a terminal a computation that begins anew shows nothing of how far the last one was") {
  const TempDirectory input;
  write_input(input, 3000);
  CommandOptions options{.environment = {{"TERM", "xterm"}, {"NO_COLOR", "1"}}, .terminal = true};
  Command demo({ONCED_DEMO_BINARY, "--input", input.path().string()}, std::move(options));
  CHECK(demo.wait() == 0);
  const std::string out = demo.out();
  const std::size_t kill = out.find(" was at ");
  REQUIRE(kill != std::string::npos);
  const std::string dead = out.substr(kill - 8, 8);  // "worker 3"
  CAPTURE(dead);
  CHECK(out.find(dead + " computes", kill) == std::string::npos);
  for (std::size_t at = out.find("  0 %  ", kill); at != std::string::npos; at = out.find("  0 %  ", at + 1)) {
    const std::string said = out.substr(at + 7, 6);
    CAPTURE(said);
    CHECK((said == "begins" || said.starts_with("0 of")));
  }
}

TEST_CASE("an input that is too small for a take-over is shown all the same") {
  const TempDirectory input;
  write_input(input, 2);
  const Outcome outcome = run_command({ONCED_DEMO_BINARY, "--input", input.path().string()});
  CAPTURE(outcome.err);
  CHECK(outcome.status == 0);
  CHECK(contains(outcome.out, "1 computation for 24 charts"));
}

TEST_CASE("an interrupted demo ends its daemon and its workers and removes its files") {
  const TempDirectory input;
  const TempDirectory temporary;
  write_input(input, 3000);
  Command demo({ONCED_DEMO_BINARY, "--input", input.path().string()}, with_temporary(temporary));
  wait_until([&] { return contains(demo.out(), "1  Without onced"); }, "the first scene");
  demo.kill(SIGINT);
  CHECK(demo.wait() == 128 + SIGINT);
  CHECK(fs::is_empty(temporary.path()));
}

TEST_CASE("an input that is not there or empty is refused") {
  const TempDirectory empty;
  CHECK(run_command({ONCED_DEMO_BINARY, "--input", empty.path().string()}).status == 1);
  const Outcome missing = run_command({ONCED_DEMO_BINARY, "--input", "/nonexistent/directory"});
  CHECK(missing.status == 1);
  CHECK(contains(missing.err, "/nonexistent/directory"));
}

}  // namespace onced::testing
