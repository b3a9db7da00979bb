#include "private_daemon.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <onced/client.hpp>

#include "interruption.hpp"

namespace onced::demo {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

fs::path make_directory() {
  std::string pattern = (fs::temp_directory_path() / "onced-demo-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    throw std::runtime_error("cannot make a directory " + pattern + ": " + std::strerror(errno));
  }
  return pattern;
}

// Beside this program (build/release/bin, /usr/bin).
fs::path daemon_program() {
  const fs::path beside = fs::read_symlink("/proc/self/exe").parent_path() / "onced";
  if (!fs::exists(beside)) throw std::runtime_error("there is no daemon at " + beside.string() + "; build the target onced");
  return beside;
}

}  // namespace

PrivateDaemon::PrivateDaemon() : directory_(make_directory()) {
  try {
    launch(daemon_program());
    wait_until_ready();
  } catch (...) {
    stop();
    throw;
  }
}

PrivateDaemon::~PrivateDaemon() { stop(); }

void PrivateDaemon::launch(const fs::path& program) {
  const std::string log_path = (directory_ / "daemon.log").string();
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error(std::string("cannot start a process: ") + std::strerror(errno));
  if (pid_ > 0) return;
  // A group of its own: Ctrl-C is for the demo, which then ends its daemon in order.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);
  restore_default_signals();
  const int log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execl(program.c_str(), "onced", "--socket", socket().c_str(), static_cast<char*>(nullptr));
  ::_exit(127);
}

void PrivateDaemon::wait_until_ready() {
  ClientOptions options;
  options.socket = socket();
  options.strict = true;
  options.on_warning = [](std::string_view) {};
  const auto end = Clock::now() + std::chrono::seconds(30);
  while (true) {
    check_interruption();
    if (Client(options).connect()) return;
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      throw std::runtime_error("the daemon has ended at once:\n" + log());
    }
    if (Clock::now() > end) throw std::runtime_error("the daemon does not get ready:\n" + log());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

double PrivateDaemon::cpu_seconds() const {
  clockid_t clock{};
  timespec used{};
  if (::clock_getcpuclockid(pid_, &clock) != 0 || ::clock_gettime(clock, &used) != 0) return 0;
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

std::string PrivateDaemon::log() const {
  std::ifstream in(directory_ / "daemon.log", std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void PrivateDaemon::stop() noexcept {
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    // It drains within five seconds; after ten it is told less kindly.
    const auto end = Clock::now() + std::chrono::seconds(10);
    while (::waitpid(pid_, nullptr, WNOHANG) == 0) {
      if (Clock::now() > end) ::kill(pid_, SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    pid_ = -1;
  }
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

}  // namespace onced::demo
