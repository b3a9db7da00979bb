// A real onced on a private socket, for tests that need the process itself.
//
//   testing::DaemonProcess daemon;                          // started, and ready when the constructor returns
//   onced::Client client(ClientOptions{.socket = daemon.socket()});
//   daemon.kill(SIGKILL);  daemon.wait();  daemon.start();  // the same socket again
//
// Ownership: the process is killed and reaped with its object; its files are in a temporary directory of its own.
// Threads:   none. The process also dies with the *thread* that started it (PR_SET_PDEATHSIG), so that a crashing test
//            leaves nothing behind: start it from a thread that lives as long as you need it.
// Errors:    throws std::runtime_error with the daemon's log when it does not get ready.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/temp_directory.hpp"

namespace onced::testing {

struct DaemonOptions {
  std::vector<std::string> flags;                                // after --socket; {"--memory", "256MiB"}
  std::vector<std::pair<std::string, std::string>> environment;  // beside the test's own without ONCED_* and XDG_*
  std::string memory = "64MiB";                                  // --memory; empty: not given
  std::string socket;                                            // empty: onced.sock in a directory of its own
  std::string log_file;                                          // standard error goes there; empty: daemon.log there too
};

// How a process ended.
struct ExitStatus {
  int code = 0;    // what it exited with, when signal is 0
  int signal = 0;  // what killed it, or 0
  bool dumped = false;  // a core file was written
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

class DaemonProcess {
 public:
  // Starts and waits until it says that it is ready.
  explicit DaemonProcess(DaemonOptions options = {});
  ~DaemonProcess();
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  // Starts it again on the same socket after it has ended.
  void start();
  // Starts without waiting for readiness; then either wait_ready() or wait().
  void launch();
  // True: ready. False: it exited instead (wait() has its status at once).
  bool wait_ready();

  void kill(int signal);
  // Waits until it has exited, under the watchdog.
  ExitStatus wait();
  // What it said to the service manager since the last call, one "KEY=VALUE" per element; waits for at least one.
  std::vector<std::string> next_notification();

  bool running();
  pid_t pid() const { return pid_; }
  const std::string& socket() const { return socket_; }
  std::filesystem::path directory() const { return directory_.path(); }
  // All that it has written to standard error so far.
  std::string log() const;
  // Waits until its log contains `text`.
  void wait_for_log(std::string_view text) const;

  // Starts the program with other flags, waits for its end and returns what it wrote: for --print-config and refusals.
  struct Output {
    ExitStatus status;
    std::string out;
    std::string error;
  };
  static Output run(const std::vector<std::string>& arguments,
                    const std::vector<std::pair<std::string, std::string>>& environment = {});
  // An object that has not started anything yet: for launch().
  static DaemonOptions options(std::vector<std::string> flags);
  struct NotStarted {};
  DaemonProcess(NotStarted, DaemonOptions options);

 private:
  bool receive_notification(bool& ready, std::vector<std::string>& lines);

  DaemonOptions options_;
  TempDirectory directory_;
  std::string socket_;
  std::string notify_path_;
  int notify_ = -1;
  pid_t pid_ = -1;
  int pidfd_ = -1;
  std::optional<ExitStatus> ended_;
  int exceptions_at_start_ = 0;
};

}  // namespace onced::testing
