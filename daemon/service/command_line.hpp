// onced's flags. They only name settings; what a value may be is decided in configuration.hpp.
#pragma once

#include <optional>
#include <string>

#include "service/configuration.hpp"

namespace onced::service {

enum class Action : std::uint8_t { serve, check_configuration, print_configuration };

struct CommandLine {
  Action action = Action::serve;
  Overrides overrides;
};

// What there is to print and to exit with instead: help, version, a mistake.
struct EarlyEnd {
  int status = 0;
  std::string out;    // for standard output
  std::string error;  // for standard error
};

// Never throws. Exactly one of the two is set.
struct ParsedCommandLine {
  std::optional<CommandLine> command;
  EarlyEnd end;
};
ParsedCommandLine parse_command_line(int argc, const char* const* argv, const std::string& version);

}  // namespace onced::service
