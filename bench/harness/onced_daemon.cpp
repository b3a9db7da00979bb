#include "harness/onced_daemon.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace onced::bench {
namespace {

constexpr int start_patience_ms = 10'000;
constexpr int probe_interval_us = 100;

std::vector<std::string> command_line(const std::string& socket_path, const std::vector<std::string>& flags) {
  std::vector<std::string> words{ONCED_BENCH_DAEMON, "--socket", socket_path};
  words.insert(words.end(), flags.begin(), flags.end());
  return words;
}

bool accepts_connections(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool accepted = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(probe);
  return accepted;
}

}  // namespace

OncedDaemon::OncedDaemon(const std::vector<std::string>& flags)
    : process_(ChildProcess::execute(command_line(socket_path(), flags), directory_.path() / "onced.log")) {
  for (int waited_us = 0; waited_us < start_patience_ms * 1000 && process_.running(); waited_us += probe_interval_us) {
    if (accepts_connections(socket_path())) {
      connect();
      return;
    }
    ::usleep(probe_interval_us);
  }
  std::ifstream log(directory_.path() / "onced.log");
  throw std::runtime_error("onced does not start:\n" + std::string(std::istreambuf_iterator<char>(log), {}));
}

Client OncedDaemon::connect() const {
  ClientOptions options;
  options.socket = socket_path();
  options.name = "onced-bench";
  options.strict = true;
  Client client(std::move(options));
  must(client.connect());
  return client;
}

}  // namespace onced::bench
