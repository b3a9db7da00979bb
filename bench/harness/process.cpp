#include "harness/process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>

namespace onced::bench {
namespace {

[[noreturn]] void throw_errno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// In the child: die with the parent. The check closes the gap in which it died before we asked.
void follow_parent(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
}

struct Answer {
  std::uint64_t count = 0;
  double figures[Worker::figures_max] = {};
};

template <typename T>
bool send_whole(int socket, const T& message) {
  return ::send(socket, &message, sizeof message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof message);
}
template <typename T>
bool receive_whole(int socket, T& message) {
  return ::recv(socket, &message, sizeof message, MSG_WAITALL) == static_cast<ssize_t>(sizeof message);
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = std::filesystem::temp_directory_path() / "onced-bench-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) throw_errno("mkdtemp " + pattern);
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

ChildProcess ChildProcess::execute(const std::vector<std::string>& words, const std::filesystem::path& log_file) {
  const int log = ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) throw_errno("open " + log_file.string());
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t id = ::fork();
  if (id == 0) {
    follow_parent(parent);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::execvp(arguments[0], arguments.data());
    std::perror(arguments[0]);
    ::_exit(127);
  }
  ::close(log);
  if (id < 0) throw_errno("fork");
  return ChildProcess(id);
}

ChildProcess ChildProcess::run(const std::function<int()>& body) {
  std::fflush(nullptr);  // or the child prints it once more
  const pid_t parent = ::getpid();
  const pid_t id = ::fork();
  if (id < 0) throw_errno("fork");
  if (id > 0) return ChildProcess(id);
  follow_parent(parent);
  int status = 1;
  try {
    status = body();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "onced-bench: a child process failed: %s\n", error.what());
  }
  ::_exit(status);
}

bool ChildProcess::running() {
  if (id_ == 0) return false;
  if (::waitpid(id_, nullptr, WNOHANG) == 0) return true;
  id_ = 0;
  return false;
}

void ChildProcess::stop() {
  constexpr int patience_ms = 5000;
  if (!running()) return;
  ::kill(id_, SIGTERM);
  for (int waited_ms = 0; waited_ms < patience_ms; ++waited_ms) {
    ::usleep(1000);
    if (!running()) return;
  }
  ::kill(id_, SIGKILL);
  ::waitpid(id_, nullptr, 0);
  id_ = 0;
}

// The child's end is closed in the parent at once, so later siblings do not keep it open and its death is seen.
Worker::Worker(const std::function<Handler()>& set_up)
    : ends_(connect_ends()), process_(ChildProcess::run([&] { return serve(ends_, set_up); })) {
  ::close(ends_.child);
}

Worker::~Worker() {
  ::close(ends_.parent);
}

Worker::Ends Worker::connect_ends() {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) throw_errno("socketpair");
  return {pair[0], pair[1]};
}

int Worker::serve(Ends ends, const std::function<Handler()>& set_up) {
  ::close(ends.parent);
  const Handler handler = set_up();
  std::uint64_t request = 0;
  while (receive_whole(ends.child, request)) {
    const Figures figures = handler(request);
    if (figures.size() > figures_max) throw std::length_error("too many figures from a worker");
    Answer answer;
    answer.count = figures.size();
    for (std::size_t i = 0; i < figures.size(); ++i) answer.figures[i] = figures[i];
    if (!send_whole(ends.child, answer)) break;
  }
  return 0;
}

void Worker::start(std::uint64_t request) {
  if (!send_whole(ends_.parent, request)) throw std::runtime_error("a worker process is gone");
}

Worker::Figures Worker::finish() {
  Answer answer;
  if (!receive_whole(ends_.parent, answer)) throw std::runtime_error("a worker process died over its request");
  return {answer.figures, answer.figures + answer.count};
}

}  // namespace onced::bench
