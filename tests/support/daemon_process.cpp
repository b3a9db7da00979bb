#include "support/daemon_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <system_error>

#include "support/watchdog.hpp"

extern char** environ;

namespace onced::testing {
namespace {

[[noreturn]] void throw_errno(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

// Everything a child needs, built before the fork: the test may have threads, so the child allocates nothing.
struct Prepared {
  std::vector<std::string> words;
  std::vector<std::string> variables;
  std::vector<char*> argv;
  std::vector<char*> envp;

  Prepared(const std::vector<std::string>& arguments, const std::vector<std::pair<std::string, std::string>>& environment) {
    words.push_back(ONCED_BINARY);
    words.insert(words.end(), arguments.begin(), arguments.end());
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::string_view text(*variable);
      if (text.starts_with("ONCED_") || text.starts_with("XDG_") || text.starts_with("NOTIFY_SOCKET=") ||
          text.starts_with("WATCHDOG_") || text.starts_with("RUNTIME_DIRECTORY=")) {
        continue;
      }
      variables.emplace_back(text);
    }
    for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
    for (std::string& word : words) argv.push_back(word.data());
    for (std::string& variable : variables) envp.push_back(variable.data());
    argv.push_back(nullptr);
    envp.push_back(nullptr);
  }
};

pid_t spawn(Prepared& prepared, int out, int error) {
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) throw_errno("fork");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    ::dup2(out, 1);
    ::dup2(error, 2);
    ::execve(prepared.argv[0], prepared.argv.data(), prepared.envp.data());
    ::_exit(127);
  }
  return child;
}

ExitStatus decode(int status) {
  if (WIFSIGNALED(status)) return {0, WTERMSIG(status), WCOREDUMP(status) != 0};
  return {WEXITSTATUS(status), 0};
}

int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

int watchdog_ms() { return static_cast<int>(std::chrono::milliseconds(watchdog_limit).count()); }

}  // namespace

DaemonProcess::DaemonProcess(NotStarted, DaemonOptions options) : options_(std::move(options)) {
  socket_ = options_.socket.empty() ? (directory_ / "onced.sock").string() : options_.socket;
  if (options_.log_file.empty()) options_.log_file = (directory_ / "daemon.log").string();
  exceptions_at_start_ = std::uncaught_exceptions();
  notify_path_ = (directory_ / "notify").string();
  notify_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (notify_ < 0) throw_errno("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, notify_path_.c_str(), sizeof(address.sun_path) - 1);
  if (::bind(notify_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    ::close(notify_);
    throw_errno("bind " + notify_path_);
  }
}

DaemonProcess::DaemonProcess(DaemonOptions options) : DaemonProcess(NotStarted{}, std::move(options)) { start(); }

DaemonProcess::~DaemonProcess() {
  if (pid_ > 0 && !ended_) {
    ::kill(pid_, SIGKILL);
    int status = 0;
    ::waitpid(pid_, &status, 0);
  }
  // A defect of the daemon itself, or a test that is failing: its log is what one wants to read next.
  const bool aborted = ended_ && (ended_->signal == SIGABRT || ended_->signal == SIGSEGV || ended_->signal == SIGBUS);
  if (aborted || std::uncaught_exceptions() > exceptions_at_start_) {
    std::fprintf(stderr, "---- log of onced on %s\n%s----\n", socket_.c_str(), log().c_str());
  }
  if (pidfd_ >= 0) ::close(pidfd_);
  if (notify_ >= 0) ::close(notify_);
}

void DaemonProcess::start() {
  launch();
  if (!wait_ready()) throw std::runtime_error("onced exited instead of getting ready:\n" + log());
}

void DaemonProcess::launch() {
  if (pidfd_ >= 0) ::close(pidfd_);
  pidfd_ = -1;
  ended_.reset();
  // What an earlier run said is not news of this one.
  char buffer[4096];
  while (::recv(notify_, buffer, sizeof(buffer), MSG_DONTWAIT) >= 0) {
  }
  std::vector<std::string> arguments{"--socket", socket_};
  if (!options_.memory.empty()) arguments.insert(arguments.end(), {"--memory", options_.memory});
  arguments.insert(arguments.end(), options_.flags.begin(), options_.flags.end());
  auto environment = options_.environment;
  environment.emplace_back("NOTIFY_SOCKET", notify_path_);
  Prepared prepared(arguments, environment);
  const int log = ::open(options_.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) throw_errno("open " + options_.log_file);
  pid_ = spawn(prepared, log, log);
  ::close(log);
  pidfd_ = open_pidfd(pid_);
  if (pidfd_ < 0) throw_errno("pidfd_open");
}

bool DaemonProcess::receive_notification(bool& ready, std::vector<std::string>& lines) {
  pollfd waits[2] = {{notify_, POLLIN, 0}, {pidfd_, POLLIN, 0}};
  const int count = ::poll(waits, 2, watchdog_ms());
  if (count == 0) throw std::runtime_error("watchdog: onced says nothing to its service manager:\n" + log());
  if (count < 0) throw_errno("poll");
  if ((waits[0].revents & POLLIN) == 0) return false;
  char buffer[4096];
  const ssize_t bytes = ::recv(notify_, buffer, sizeof(buffer), 0);
  if (bytes < 0) throw_errno("recv");
  std::string_view rest(buffer, static_cast<std::size_t>(bytes));
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line == "READY=1") ready = true;
    if (!line.empty()) lines.emplace_back(line);
  }
  return true;
}

bool DaemonProcess::wait_ready() {
  bool ready = false;
  std::vector<std::string> lines;
  while (!ready) {
    if (!receive_notification(ready, lines)) return false;
  }
  return true;
}

std::vector<std::string> DaemonProcess::next_notification() {
  bool ready = false;
  std::vector<std::string> lines;
  receive_notification(ready, lines);
  return lines;
}

void DaemonProcess::kill(int signal) {
  if (pid_ > 0 && !ended_) ::kill(pid_, signal);
}

ExitStatus DaemonProcess::wait() {
  if (ended_) return *ended_;
  pollfd wait{pidfd_, POLLIN, 0};
  if (::poll(&wait, 1, watchdog_ms()) != 1) throw std::runtime_error("watchdog: onced does not exit:\n" + log());
  int status = 0;
  if (::waitpid(pid_, &status, 0) != pid_) throw_errno("waitpid");
  ended_ = decode(status);
  return *ended_;
}

bool DaemonProcess::running() {
  if (ended_ || pid_ <= 0) return false;
  pollfd wait{pidfd_, POLLIN, 0};
  return ::poll(&wait, 1, 0) == 0;
}

std::string DaemonProcess::log() const {
  // Reading a pipe or a device would wait for others.
  return std::filesystem::is_regular_file(options_.log_file) ? read_file(options_.log_file) : std::string();
}

void DaemonProcess::wait_for_log(std::string_view text) const {
  wait_until([&] { return log().find(text) != std::string::npos; }, "\"" + std::string(text) + "\" in the log:\n" + log());
}

DaemonOptions DaemonProcess::options(std::vector<std::string> flags) {
  DaemonOptions result;
  result.flags = std::move(flags);
  return result;
}

DaemonProcess::Output DaemonProcess::run(const std::vector<std::string>& arguments,
                                         const std::vector<std::pair<std::string, std::string>>& environment) {
  const TempDirectory directory;
  const auto out_path = directory / "out";
  const auto error_path = directory / "error";
  const int out = ::open(out_path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const int error = ::open(error_path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (out < 0 || error < 0) throw_errno("open");
  Prepared prepared(arguments, environment);
  const pid_t child = spawn(prepared, out, error);
  ::close(out);
  ::close(error);
  const int pidfd = open_pidfd(child);
  pollfd wait{pidfd, POLLIN, 0};
  if (::poll(&wait, 1, watchdog_ms()) != 1) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(pidfd);
    throw std::runtime_error("watchdog: onced does not exit:\n" + read_file(error_path));
  }
  ::close(pidfd);
  int status = 0;
  ::waitpid(child, &status, 0);
  return {decode(status), read_file(out_path), read_file(error_path)};
}

}  // namespace onced::testing
