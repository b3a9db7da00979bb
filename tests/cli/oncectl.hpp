// oncectl against a private daemon.
#pragma once

#include <initializer_list>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <onced/client.hpp>

#include "command.hpp"
#include "support/daemon_process.hpp"

namespace onced::testing {

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// What --json printed, a document a line.
inline std::vector<nlohmann::json> lines_of(const std::string& out) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(out);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

class Oncectl {
 public:
  // `flags`: the daemon's, beside the socket.
  explicit Oncectl(std::vector<std::string> flags = {}) : daemon(DaemonProcess::options(std::move(flags))) {}

  std::vector<std::string> words(std::vector<std::string> arguments) const {
    std::vector<std::string> all{oncectl_path, "--socket", daemon.socket()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
  Outcome operator()(std::vector<std::string> arguments, CommandOptions options = {}) const {
    return run_command(words(std::move(arguments)), std::move(options));
  }
  void put(const std::string& function, const std::string& arguments, const std::string& value) const {
    (*this)({"put", function, arguments}, {.input = value});
  }
  // A worker beside it.
  Client client() const {
    ClientOptions options;
    options.socket = daemon.socket();
    options.name = "gunicorn";
    options.strict = true;
    return Client(options);
  }
  nlohmann::json status() const { return nlohmann::json::parse((*this)({"status", "--json"}).out); }

  DaemonProcess daemon;
};

}  // namespace onced::testing
