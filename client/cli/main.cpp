// oncectl: the command line's view of onced. Builds the parser, runs the one command that was asked for.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>

#include <CLI/CLI.hpp>

#include <onced/protocol/limits.hpp>

#include "command_line.hpp"
#include "context.hpp"
#include "help_formatter.hpp"
#include "name_option.hpp"
#include "text_format.hpp"
#include "time_option.hpp"

namespace onced::cli {
namespace {

constexpr const char* overview = R"(Ask and steer onced: expensive values computed once per machine.

Data goes to standard output, talk to standard error. FUNCTION and ARGS name a
value: ARGS is a JSON array of positional arguments or a JSON object of named
ones.)";

constexpr const char* overview_footer = R"(
Exit codes:
  0    done, or a hit                   4    timed out, with a daemon that answers
  1    miss: no such value or part      5    not permitted
  2    usage                            6    the computation failed
  3    daemon unreachable or stopped    7    done, but the disk does not keep it
                                        125  onced could not: no room, a defect
  `run` exits with the command's own status, or with 125 when it was not run.

Environment:
  ONCED_SOCKET   the daemon's socket
  ONCED_SESSION  the id of the session to work in: get, put, run, wait, watch,
                 ls, explain, invalidate, cancel, sessions; set and empty (the
                 making of a session has failed) it is exit code 2 for these
  NO_COLOR       no colours

`oncectl COMMAND --help` or `oncectl help COMMAND` explains a command with
examples.)";

void describe_globals(CLI::App& app, GlobalOptions& options) {
  app.add_option("--socket", options.socket, "The daemon's socket (default: $ONCED_SOCKET, else\n"
                                             "/run/onced/onced.sock if it is there, else\n"
                                             "$XDG_RUNTIME_DIR/onced/onced.sock)")->type_name("PATH");
  app.add_option("--namespace", options.namespace_name, "Which namespace to work in (default: default)")->type_name("NS");
  app.add_option("--session", options.session, "The id of the session to work in (default:\n"
                                               "$ONCED_SESSION, which others do not see in ps)")->type_name("ID")->envname("ONCED_SESSION");
  app.add_flag("--json", options.json, "JSON for programs instead of text for people");
  app.add_option("--timeout", options.timeout_text, "The longest to wait: 500ms, 5s, 2m, always with\n"
                                                    "its unit (default: 5s for answers, 5m for\n"
                                                    "computations)")->type_name("TIME");
}

void describe_commands(CLI::App& app, Context& context) {
  add_overview_commands(app, context);
  add_top_command(app, context);
  add_value_commands(app, context);
  add_run_command(app, context);
  add_signal_commands(app, context);
  add_catalog_commands(app, context);
  add_drop_commands(app, context);
  add_session_commands(app, context);
  add_disk_commands(app, context);
  add_doctor_command(app, context);
}

std::vector<std::string> option_names(const CLI::App& app, const std::string& command) {
  std::vector<std::string> names;
  const auto collect = [&names](const CLI::App& part) {
    for (const CLI::Option* option : part.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  };
  collect(app);
  if (!command.empty()) collect(*app.get_subcommand(command));
  return names;
}

// What every command takes: the options of all of them.
std::vector<std::string> all_option_names(const CLI::App& app) {
  std::vector<std::string> names = option_names(app, "");
  for (const CLI::App* command : app.get_subcommands({})) {
    for (std::string& name : option_names(*command, "")) names.push_back(std::move(name));
  }
  return names;
}

// What was given and is empty, if anything.
std::optional<std::string> empty_word(const CLI::App& app) {
  std::vector<const CLI::App*> parts{&app};
  for (const CLI::App* command : app.get_subcommands()) parts.push_back(command);  // the one that was chosen
  for (const CLI::App* part : parts) {
    for (const CLI::Option* option : part->get_options()) {
      const std::vector<std::string>& given = option->results();
      const bool is_empty = std::any_of(given.begin(), given.end(), [](const std::string& word) { return word.empty(); });
      if (is_empty && !may_be_empty(option->get_name())) return empty_text(option->get_name(), option->get_required());
    }
  }
  return std::nullopt;
}

int usage_error(Context& context, const std::string& text, const std::string& command) {
  context.output.talk(text);
  context.output.talk("see `oncectl " + (command.empty() ? "" : command + " ") + "--help`");
  return exit_code::usage;
}

int run_command_line(Words words) {
  Context context;
  CLI::App app(overview, "oncectl");
  app.footer(overview_footer);
  app.set_version_flag("--version", "oncectl " ONCED_VERSION);
  app.require_subcommand(1);
  app.fallthrough();  // global options are understood behind the command, too
  app.formatter(std::make_shared<HelpFormatter>("COMMAND"));
  describe_globals(app, context.options);
  describe_commands(app, context);

  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  context.command_words = take_command_of_run(words);
  take_help(words);
  if (const auto text = empty_choice(words, all_option_names(app))) return usage_error(context, *text, "");
  join_session_id(words);
  part_empty_words(words);
  names.emplace_back("help");  // taken already, if it was typed well
  if (const auto text = unknown_command(words, names)) return usage_error(context, *text, "");
  const auto position = command_position(words);
  const std::string command = position ? words[*position] : "";
  if (words.empty()) {
    context.output.talk("which command? Here are all of them:\n\n" + app.help());
    return exit_code::usage;
  }

  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());  // as the parser wants them
    app.parse(reversed);
  } catch (const CLI::Success& success) {  // --help, --version
    std::ostringstream text;
    app.exit(success, text, text);
    context.output.data(text.str());
    return exit_code::ok;
  } catch (const CLI::ParseError& error) {
    // The parser may miss a command first, and says words that it could not place in reverse.
    if (const auto text = not_understood(app.remaining(true), option_names(app, command))) {
      return usage_error(context, *text + (command == "run" ? " (the command to run follows \"--\")" : ""), command);
    }
    if (command.empty()) return usage_error(context, "a command is missing", command);
    return usage_error(context, escape(error.what()), command);
  }
  if (const auto text = empty_word(app)) return usage_error(context, *text, command);
  if (const char* session = std::getenv("ONCED_SESSION"); session != nullptr && *session == '\0' && context.options.session.empty() && may_use_session(command, words)) {
    return usage_error(context, "ONCED_SESSION is set and empty: did making the session fail? `unset ONCED_SESSION` to work outside all sessions, or make one: "
                                "ONCED_SESSION=$(oncectl sessions new)", command);
  }
  if (const Result<void> named = name_option("--namespace", context.options.namespace_name, limits::namespace_name_bytes_max); !named) {
    return usage_error(context, escape(named.error().text), command);
  }
  if (!context.options.timeout_text.empty()) {
    const Result<Milliseconds> timeout = time_option("--timeout", context.options.timeout_text);
    if (!timeout) return usage_error(context, escape(timeout.error().text), command);
    context.options.timeout = *timeout;
  }
  return context.action();
}

}  // namespace
}  // namespace onced::cli

int main(int argc, char** argv) {
  using namespace onced::cli;
  occupy_standard_descriptors();
  try {
    return run_command_line(Words(argv + (argc > 0 ? 1 : 0), argv + argc));
  } catch (const OutputFailed& failed) {
    if (failed.error == EPIPE) return exit_code::output_closed;
    const std::string text = std::string("oncectl: cannot write to standard output: ") + std::strerror(failed.error) + "\n";
    write_all(STDERR_FILENO, text);
  } catch (const std::exception& error) {
    write_all(STDERR_FILENO, "oncectl: " + escape(error.what()) + "; this is a defect, please report it\n");
  }
  return exit_code::own_fault;
}
