#include "command.hpp"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/watchdog.hpp"

extern char** environ;

namespace onced::testing {
namespace {

// The other side of a new terminal.
int open_terminal() {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (terminal < 0 || ::grantpt(terminal) != 0 || ::unlockpt(terminal) != 0) throw std::runtime_error("cannot make a terminal");
  return terminal;
}

// The caller's session, controlling terminal and standard descriptors from here on.
void sit_down_at(int terminal) {
  ::setsid();
  const int own_side = ::open(::ptsname(terminal), O_RDWR);  // a session's first terminal is its controlling one
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(own_side, descriptor);
  if (own_side > STDERR_FILENO) ::close(own_side);
}

[[noreturn]] void become(const std::vector<std::string>& words, const CommandOptions& options, const TempDirectory& files, int terminal) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int in = ::open((files / "in").c_str(), O_RDONLY);
  const int out = options.output >= 0 ? options.output : ::open((files / "out").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int err = ::open((files / "err").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  if (terminal >= 0) sit_down_at(terminal);
  if (options.close_output) ::close(STDOUT_FILENO);
  std::vector<std::string> stale;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "ONCED_", 6) == 0) stale.emplace_back(*variable, std::strcspn(*variable, "="));
  }
  for (const std::string& name : stale) ::unsetenv(name.c_str());
  for (const auto& [name, value] : options.environment) ::setenv(name.c_str(), value.c_str(), 1);
  if (!options.directory.empty() && ::chdir(options.directory.c_str()) != 0) ::_exit(126);
  for (const int signal : {SIGPIPE, SIGINT, SIGQUIT}) ::signal(signal, SIG_DFL);  // whatever started the tests may ignore them
  for (const int signal : options.ignored) ::signal(signal, SIG_IGN);
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

}  // namespace

Command::Command(std::vector<std::string> words, CommandOptions options) {
  write_file(files_ / "in", options.input);
  if (options.terminal) terminal_ = open_terminal();
  const winsize size{.ws_row = 40, .ws_col = options.columns, .ws_xpixel = 0, .ws_ypixel = 0};
  if (options.columns != 0 && ::ioctl(terminal_, TIOCSWINSZ, &size) != 0) throw std::runtime_error("cannot size a terminal");
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("cannot fork");
  if (pid_ == 0) become(words, options, files_, terminal_);
}

Command::~Command() {
  if (terminal_ >= 0) ::close(terminal_);
  if (status_ >= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Command::type(std::string_view keys) const {
  if (::write(terminal_, keys.data(), keys.size()) != static_cast<ssize_t>(keys.size())) throw std::runtime_error("cannot type");
}

const std::string& Command::shown() const {
  char chunk[4096];
  for (ssize_t got = 0; (got = ::read(terminal_, chunk, sizeof(chunk))) > 0;) shown_.append(chunk, static_cast<std::size_t>(got));
  return shown_;
}

void Command::kill(int signal) {
  if (status_ < 0) ::kill(pid_, signal);
}

int Command::wait() {
  if (status_ >= 0) return status_;
  int status = 0;
  wait_until([&] {
    if (terminal_ >= 0) shown();  // or it may block for want of room
    return ::waitpid(pid_, &status, WNOHANG) == pid_;
  }, "the end of a command; it said: " + err());
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

Outcome run_command(std::vector<std::string> words, CommandOptions options) {
  Command command(std::move(words), std::move(options));
  const int status = command.wait();
  return {status, command.out(), command.err()};
}

}  // namespace onced::testing
