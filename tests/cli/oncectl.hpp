// oncectl against a private daemon.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <onced/client.hpp>

#include "command.hpp"
#include "support/contains.hpp"
#include "support/daemon_process.hpp"

namespace onced::testing {

inline CommandOptions on_terminal() { return {.environment = {{"TERM", "xterm"}, {"NO_COLOR", "1"}}, .terminal = true}; }

// What --json printed, a document a line.
std::vector<nlohmann::json> lines_of(const std::string& out);
// Of a single document; a json::parse() in each file would have the whole parser compiled there.
nlohmann::json parsed(const std::string& text);

class Oncectl {
 public:
  // `flags`: the daemon's, beside the socket.
  explicit Oncectl(std::vector<std::string> flags = {});

  std::vector<std::string> words(std::vector<std::string> arguments) const;
  Outcome operator()(std::vector<std::string> arguments, CommandOptions options = {}) const;
  void put(const std::string& function, const std::string& arguments, const std::string& value) const;
  // A worker beside it.
  Client client() const;
  nlohmann::json status() const;

  DaemonProcess daemon;
};

}  // namespace onced::testing
