#include "oncectl.hpp"

#include <sstream>

namespace onced::testing {

std::vector<nlohmann::json> lines_of(const std::string& out) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(out);
  for (std::string line; std::getline(in, line);) lines.push_back(parsed(line));
  return lines;
}

nlohmann::json parsed(const std::string& text) { return nlohmann::json::parse(text); }

Oncectl::Oncectl(std::vector<std::string> flags) : daemon(DaemonProcess::options(std::move(flags))) {}

std::vector<std::string> Oncectl::words(std::vector<std::string> arguments) const {
  std::vector<std::string> all{oncectl_path, "--socket", daemon.socket()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

Outcome Oncectl::operator()(std::vector<std::string> arguments, CommandOptions options) const {
  return run_command(words(std::move(arguments)), std::move(options));
}

void Oncectl::put(const std::string& function, const std::string& arguments, const std::string& value) const {
  (*this)({"put", function, arguments}, {.input = value});
}

Client Oncectl::client() const {
  ClientOptions options;
  options.socket = daemon.socket();
  options.name = "gunicorn";
  options.strict = true;
  return Client(options);
}

nlohmann::json Oncectl::status() const { return parsed((*this)({"status", "--json"}).out); }

}  // namespace onced::testing
