#include "workers.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interruption.hpp"

namespace onced::demo {
namespace {

struct Pipe {
  int read = -1;
  int write = -1;
};
Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error(std::string("cannot make a pipe: ") + std::strerror(errno));
  return {ends[0], ends[1]};
}

double seconds(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; }

}  // namespace

Workers::Workers(std::size_t count, const Plan& plan) {
  const Pipe start = make_pipe();
  const Pipe reports = make_pipe();
  start_ = start.write;
  reports_ = reports.read;
  const pid_t parent = ::getpid();
  for (std::uint32_t number = 0; number < count; ++number) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      restore_default_signals();
      ::close(start.write);
      ::close(reports.read);
      // Not exit(): what the demo has open is not the worker's to flush or destroy.
      ::_exit(work(plan, number, start.read, reports.write));
    }
    if (pid > 0) processes_.push_back({pid});
  }
  ::close(start.read);
  ::close(reports.write);
  if (processes_.size() < count) {
    finish();
    throw std::runtime_error("cannot start " + std::to_string(count) + " processes");
  }
  for (std::size_t ready = 0; ready < count; ++ready) {
    const std::optional<Report> report = receive();
    if (report && report->kind == Report::Kind::ready) continue;
    const std::string why = report ? std::string(report->text.data()) : "no reason given";
    finish();
    throw std::runtime_error("a worker did not get ready: " + why);
  }
}

Workers::~Workers() {
  for (const Process& process : processes_) {
    if (process.pid > 0) ::kill(process.pid, SIGKILL);
  }
  finish();
  if (reports_ >= 0) ::close(reports_);
}

std::uint64_t Workers::go() {
  const std::uint64_t begun = monotonic_ns();
  ::close(std::exchange(start_, -1));
  return begun;
}

std::optional<Report> Workers::receive() {
  Report report;
  while (true) {
    const ssize_t got = ::read(reports_, &report, sizeof(report));
    if (got == static_cast<ssize_t>(sizeof(report))) return report;
    if (got >= 0) return std::nullopt;
    check_interruption();
  }
}

void Workers::kill(std::uint32_t worker) { ::kill(processes_[worker].pid, SIGKILL); }

double Workers::finish() {
  if (start_ >= 0) ::close(std::exchange(start_, -1));
  double used = 0;
  for (Process& process : processes_) {
    rusage usage{};
    int status = 0;
    while (process.pid > 0 && ::wait4(process.pid, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    process.pid = -1;
    used += seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  return used;
}

}  // namespace onced::demo
