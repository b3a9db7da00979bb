// onced-bench: runs the benchmarks and writes what came out.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "cases/cases.hpp"
#include "harness/placement.hpp"
#include "harness/report.hpp"
#include "harness/runner.hpp"

namespace bench = onced::bench;

namespace {

struct Options {
  bench::Settings settings;
  std::vector<std::string> cases;
  std::string json;
  std::string markdown;
  std::string plots;
};

void say(std::string_view what) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(what.size()), what.data());
}

// The reader's own ONCED_* must not reach the daemons and clients that are measured.
void forget_onced_environment() {
  std::vector<std::string> names;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text(*variable);
    if (text.starts_with("ONCED_")) names.push_back(text.substr(0, text.find('=')));
  }
  for (const std::string& name : names) ::unsetenv(name.c_str());
}

void write(const std::string& path, const bench::Report& report, void (*writer)(const bench::Report&, std::ostream&)) {
  if (path.empty()) return;
  std::ofstream file(path);
  writer(report, file);
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

void draw(const bench::Case& benchmark, const bench::CaseResult& result, const std::string& directory) {
  const bench::Plot plot = benchmark.plot([&](const std::string& name) {
    for (const bench::FigureResult& row : result.figures) {
      if (row.figure.name == name) return row.median.value;
    }
    throw std::runtime_error("a plot wants a figure that nobody measured: " + name);
  });
  const std::string path = directory + "/" + benchmark.name + ".svg";
  std::ofstream file(path);
  bench::write_svg(plot, file);
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

void run(const Options& options, const std::string& command) {
  bench::Report report{command, options.settings, bench::describe_machine(), {}};
  const bench::StolenTime stolen;
  for (const auto& [name, make] : bench::all_cases) {
    if (!options.cases.empty() && std::find(options.cases.begin(), options.cases.end(), name) == options.cases.end())
      continue;
    say("case " + std::string(name) + ": setting up");
    bench::place(0, bench::Placement::unpinned, bench::Party::client);  // children inherit it
    const bench::Case benchmark = make(options.settings);
    report.cases.push_back(bench::run_case(benchmark, options.settings, [&](std::string_view what) {
      say("case " + std::string(name) + ": " + std::string(what));
    }));
    if (benchmark.plot && !options.plots.empty()) draw(benchmark, report.cases.back(), options.plots);
  }
  char share[32];
  std::snprintf(share, sizeof share, "%.2f %%", 100 * stolen.share());
  report.machine.emplace_back("processor time stolen by the hypervisor during the run", share);
  write(options.json, report, bench::write_json);
  write(options.markdown, report, bench::write_markdown);
  if (options.json.empty() && options.markdown.empty()) bench::write_markdown(report, std::cout);
}

}  // namespace

int main(int count, char** words) {
  CLI::App app("Measures onced and its peers side by side");
  Options options;
  std::vector<std::string> known;
  for (const auto& [name, make] : bench::all_cases) known.emplace_back(name);
  app.add_option("--rounds", options.settings.rounds, "How often everything is measured")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--case", options.cases, "Only this one (may be repeated)")->check(CLI::IsMember(known));
  app.add_option("--seed", options.settings.seed, "Of the order within rounds, and of the intervals")
      ->capture_default_str();
  app.add_flag("--quick", options.settings.quick, "Small rounds: to see that everything works, not to claim anything");
  app.add_option("--json", options.json, "Write everything here, each round's figures too");
  app.add_option("--markdown", options.markdown, "Write the tables here (default: standard output)");
  app.add_option("--plots", options.plots, "Draw what is plotted into this directory, as <case>.svg");
  CLI11_PARSE(app, count, words);

  std::string command = "onced-bench";
  for (int i = 1; i < count; ++i) command += std::string(" ") + words[i];
  try {
    forget_onced_environment();
    run(options, command);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "onced-bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
