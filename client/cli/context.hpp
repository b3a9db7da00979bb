// What every command has: the global options, the output, and a way to the daemon.
//
// A command group adds its subcommands to the parser (add_..._commands); a subcommand that was chosen leaves an Action,
// which main() runs after the whole command line has been understood, so that a usage error has no effect.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <onced/client.hpp>

#include "command.hpp"
#include "exit_code.hpp"
#include "output.hpp"
#include "text_format.hpp"

namespace onced::cli {

struct GlobalOptions {
  std::string socket;  // empty: the client's default
  std::string namespace_name = "default";
  std::string session;  // an id, a secret: never said; empty: none
  bool json = false;
  std::string timeout_text;
  std::optional<Milliseconds> timeout;  // of timeout_text; nothing: the command's own default
};

struct Context {
  GlobalOptions options;
  Output output;
  Action action;
  std::vector<std::string> command_words;  // of `run`: what followed "--"

  // A client by the global options; connects at its first call. Strict: a daemon that is away is an error.
  ClientOptions client_options() const;
  // Says an error and returns its exit code.
  int fail(const Error& error);
  // A JSON value as one line of standard output.
  template <typename Json>
  void json_line(const Json& value) {
    // Names may hold bytes that are no UTF-8: they must not end the program, nor break the line.
    output.data(tame_json(value.dump(-1, ' ', false, Json::error_handler_t::replace)) + "\n");
  }
};

void add_overview_commands(CLI::App& app, Context& context);  // status, stats
void add_top_command(CLI::App& app, Context& context);        // top
void add_catalog_commands(CLI::App& app, Context& context);   // ls, explain
void add_value_commands(CLI::App& app, Context& context);     // put, get
void add_drop_commands(CLI::App& app, Context& context);      // invalidate, cancel
void add_signal_commands(CLI::App& app, Context& context);    // wait, watch
void add_run_command(CLI::App& app, Context& context);        // run
void add_session_commands(CLI::App& app, Context& context);   // sessions
void add_disk_commands(CLI::App& app, Context& context);      // disk
void add_doctor_command(CLI::App& app, Context& context);     // doctor

}  // namespace onced::cli
