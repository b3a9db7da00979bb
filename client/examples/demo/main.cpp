// onced_demo: what onced does, shown with real work on real files and a daemon of its own.
#include <csignal>
#include <exception>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include <CLI/CLI.hpp>

#include <onced/protocol/closest_word.hpp>

#include "input_files.hpp"
#include "interruption.hpp"
#include "private_daemon.hpp"
#include "scenes.hpp"
#include "stage.hpp"
#include "text_format.hpp"

namespace onced::demo {
namespace {

std::string two_decimals(double number) {
  std::string text = std::to_string(number);
  return text.substr(0, text.find('.') + 3);
}

void print_table(Stage& stage, const std::vector<std::pair<std::string, Figures>>& scenes) {
  using Align = cli::Table::Align;
  std::vector<cli::Table::Column> columns{{""}};
  for (const auto& [name, figures] : scenes) columns.push_back({name, Align::right});
  cli::Table table(std::move(columns));
  const auto row = [&](const std::string& label, const std::function<std::string(const Figures&)>& cell) {
    std::vector<std::string> cells{label};
    for (const auto& [name, figures] : scenes) cells.push_back(cell(figures));
    table.add(std::move(cells));
  };
  row("computations", [](const Figures& f) { return std::to_string(f.computations); });
  row("CPU seconds", [](const Figures& f) { return two_decimals(f.cpu_seconds); });
  row("last chart after", [](const Figures& f) { return cli::human_duration(f.last_chart_seconds); });
  row("a hit", [](const Figures& f) { return f.hit_ns ? cli::human_duration(*f.hit_ns / 1e9) : "-"; });
  row("take-over", [](const Figures& f) { return f.takeover_seconds ? cli::human_duration(*f.takeover_seconds) : "-"; });
  stage.headline("Measured in this run");
  std::string text = table.text(0);
  text.pop_back();
  stage.line(text);
}

int show(const std::filesystem::path& directory, std::size_t workers) {
  catch_interruptions();
  Stage stage;
  stage.live("reading ...");
  const InputFiles input = find_files(directory);
  // Once for all: no scene shall wait for a disk that another one has warmed up.
  const std::uint64_t bytes = read_all(input);
  check_interruption();
  stage.line(stage.emphasised("onced demo") + ": " + std::to_string(workers) + " worker processes, four chart callbacks each, ask " +
             "at the same moment\nfor an analysis of " + cli::human_count(input.files.size()) + " files (" +
             cli::human_bytes(bytes) + ") below " + cli::escape(directory.string()));
  const PrivateDaemon daemon;
  Scenes scenes(stage, daemon, input, workers);
  std::vector<std::pair<std::string, Figures>> all;
  all.emplace_back("without onced", scenes.without_onced());
  all.emplace_back("with onced", scenes.with_onced());
  all.emplace_back("second visit", scenes.second_visit());
  all.emplace_back("holder killed", scenes.killed_holder());
  print_table(stage, all);
  return 0;
}

}  // namespace
}  // namespace onced::demo

int main(int argc, char** argv) {
  using namespace onced;
  std::string directory = demo::default_directory().string();
  std::size_t workers = 6;
  CLI::App app("Shows compute-once with a private daemon: real work, real processes, measured figures", "onced_demo");
  app.add_option("--input", directory, "Analyse every file below this directory")->type_name("DIR")->capture_default_str();
  app.add_option("--workers", workers, "Worker processes")->check(CLI::Range(2, 64))->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError& error) {
    const auto [word, meant] = protocol::mistyped(app.remaining(), {"--help", "--input", "--workers"});
    cli::write_all(STDERR_FILENO, "onced_demo: not understood: '" + word + "'" + (meant ? "; did you mean '" + *meant + "'?" : std::string()) + "\n");
    return error.get_exit_code();
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  try {
    return demo::show(directory, workers);
  } catch (const demo::Interrupted& interrupted) {
    cli::write_all(STDERR_FILENO, "\nonced_demo: interrupted; everything is cleaned up\n");
    return 128 + interrupted.signal;
  } catch (const std::exception& error) {
    cli::write_all(STDERR_FILENO, "onced_demo: " + std::string(error.what()) + "\n");
    return 1;
  }
}
