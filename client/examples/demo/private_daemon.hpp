// A daemon of the demo's own, in a temporary directory; both go away with the object.
//
// Errors: std::runtime_error with the daemon's log when it does not start.
#pragma once

#include <filesystem>
#include <string>

#include <sys/types.h>

namespace onced::demo {

class PrivateDaemon {
 public:
  PrivateDaemon();
  ~PrivateDaemon();
  PrivateDaemon(const PrivateDaemon&) = delete;
  PrivateDaemon& operator=(const PrivateDaemon&) = delete;

  std::string socket() const { return (directory_ / "onced.sock").string(); }
  // Processor time it has used so far.
  double cpu_seconds() const;

 private:
  void launch(const std::filesystem::path& program);
  void wait_until_ready();
  void stop() noexcept;
  std::string log() const;

  std::filesystem::path directory_;
  pid_t pid_ = -1;
};

}  // namespace onced::demo
