// A private onced for one benchmark: the daemon that was built with it, on a socket of its own.
//
// Ownership: owns the process and its directory. Errors: std::runtime_error with the log when it does not get ready.
#pragma once

#include <onced/client.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "harness/process.hpp"

namespace onced::bench {

class OncedDaemon {
 public:
  // Returns when it has answered a client. `flags` come after --socket.
  explicit OncedDaemon(const std::vector<std::string>& flags = {});

  pid_t id() const { return process_.id(); }
  std::string socket_path() const { return directory_.path() / "onced.sock"; }
  // A connected client. Make it after all forks of its process.
  Client connect() const;

 private:
  TemporaryDirectory directory_;
  ChildProcess process_;
};

// The value, or an exception with the error's text: a benchmark does not go on without it.
template <typename T>
T must(Result<T> result) {
  if (!result.ok()) throw std::runtime_error("onced: " + result.error().text);
  return std::move(result).value();
}
inline void must(const Result<void>& result) {
  if (!result.ok()) throw std::runtime_error("onced: " + result.error().text);
}

}  // namespace onced::bench
