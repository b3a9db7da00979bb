// The only file of the daemon that knows CLI11, which throws; nothing of that leaves here.
#include "service/command_line.hpp"

#include <CLI/CLI.hpp>

#include <exception>
#include <sstream>
#include <vector>

#include <onced/protocol/closest_word.hpp>

namespace onced::service {
namespace {

constexpr const char* footer = R"(
Every setting can be given in four ways; the first one that is there counts:
  1. a flag              --memory 1GiB, or --set limits.connections_max=100 for settings without one
  2. the environment     ONCED_MEMORY=1GiB, ONCED_LIMITS_CONNECTIONS_MAX=100
  3. the file            memory = "1GiB", [limits] connections_max = 100, [functions."draw"] ttl = "10min"
  4. the default         onced --print-config shows them all

Examples:
  onced                                            a private daemon below $XDG_RUNTIME_DIR
  onced --socket /tmp/mine/onced.sock --memory 1GiB --log-level debug
  onced --disk ~/.cache/onced --set disk.size=2GiB  values survive a restart
  onced --config /etc/onced/onced.toml --check-config
  kill -HUP $(pidof onced)                         read the configuration again
)";

// "not understood: '--dsk'; did you mean '--disk'?"
std::string not_understood(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* one : app.get_options())
    for (const std::string& name : one->get_lnames()) names.push_back("--" + name);
  const auto [word, meant] = protocol::mistyped(app.remaining(), names);
  return "not understood: '" + word + "'" + (meant ? "; did you mean '" + *meant + "'?" : std::string());
}

}  // namespace

ParsedCommandLine parse_command_line(int argc, const char* const* argv, const std::string& version) {
  ParsedCommandLine result;
  CommandLine command;
  CLI::App app("onced computes every expensive value once and keeps it for all processes of this machine.", "onced");
  app.footer(footer);
  const std::string version_line = "onced " + version;
  app.set_version_flag("--version", version_line, "print the version and exit");
  bool check = false;
  bool print = false;
  std::vector<std::string> assignments;
  auto& values = command.overrides.values;
  const auto flag = [&](const char* name, const char* setting, const char* type, const char* help) {
    app.add_option_function<std::string>(
        name, [&values, setting](const std::string& text) { values.emplace_back(setting, text); }, help)
        ->type_name(type);
  };
  flag("--socket", "socket", "PATH", "where clients connect (ONCED_SOCKET)");
  app.add_option("--config", command.overrides.file, "read settings from it (ONCED_CONFIG)")->type_name("FILE");
  flag("--memory", "memory", "SIZE", "of the shared memory for values, as in 256MiB (ONCED_MEMORY)");
  flag("--blobs", "blobs", "SIZE", "for values above 64 KiB, beside --memory, as in 2GiB (ONCED_BLOBS)");
  flag("--disk", "disk.path", "PATH", "keep values in this directory, too, where they survive a restart (ONCED_DISK_PATH)");
  flag("--log-level", "log.level", "LEVEL", "debug, info, warning or error (ONCED_LOG_LEVEL)");
  flag("--log-format", "log.format", "FORMAT", "text or json (ONCED_LOG_FORMAT)");
  flag("--log-file", "log.file", "FILE", "instead of standard error (ONCED_LOG_FILE)");
  app.add_option("--set", assignments, "any setting by its name in the file; may be repeated")
      ->type_name("NAME=VALUE")
      ->take_all()
      ->allow_extra_args(false);
  app.add_flag("--check-config", check, "read the configuration, say what is wrong with it, and exit");
  app.add_flag("--print-config", print, "print the configuration in effect and where each value comes from, and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    result.end = {2, {}, "onced: " + not_understood(app) + "\nonced: see `onced --help`\n"};
    return result;
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream complaint;
    const int status = app.exit(error, out, complaint);
    result.end = {status == 0 ? 0 : 2, out.str(), complaint.str()};
    return result;
  } catch (const std::exception& error) {
    result.end = {2, {}, std::string("onced: ") + error.what() + "\n"};
    return result;
  }
  for (const std::string& assignment : assignments) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos) {
      result.end = {2, {}, "onced: --set " + assignment + ": write NAME=VALUE, as in --set limits.connections_max=100\n"};
      return result;
    }
    values.emplace_back(assignment.substr(0, equals), assignment.substr(equals + 1));
  }
  if (check) command.action = Action::check_configuration;
  else if (print) command.action = Action::print_configuration;
  result.command = std::move(command);
  return result;
}

}  // namespace onced::service
