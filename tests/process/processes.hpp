// Worker processes of a test and what they share.
//
// Workers are forked children that leave with _exit(): no destructor of the parent runs twice. Fork them before the
// test starts threads.
#pragma once

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include <onced/client.hpp>

#include "support/watchdog.hpp"

namespace onced::testing {

// An object in memory that a process and the children it forks later have in common.
template <typename T>
class Shared {
 public:
  Shared() {
    void* memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("mmap");
    object_ = new (memory) T{};
  }
  ~Shared() { munmap(object_, sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }

 private:
  T* object_;
};

class Worker {
 public:
  // `body` returns the exit status, 0 for right. 101: it threw.
  template <typename Body>
  explicit Worker(Body&& body) {
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(102);
    int result = 101;
    try {
      result = body();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "worker %d: %s\n", getpid(), error.what());
    } catch (...) {
    }
    _exit(result);
  }
  Worker(Worker&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Worker& operator=(Worker&&) = delete;
  ~Worker() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }

  pid_t pid() const { return pid_; }
  void kill(int signal) const { ::kill(pid_, signal); }
  // Its exit status, or 128 + the signal that ended it.
  int wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
};

inline Key key_named(std::string_view function, int argument = 0) {
  auto key = KeyBuilder(function).add(argument).build();
  if (!key) throw std::runtime_error(key.error().text);
  return *key;
}

inline ClientOptions options_for(const std::string& socket) {
  ClientOptions options;
  options.socket = socket;
  options.connect_timeout = std::chrono::duration_cast<Milliseconds>(watchdog_limit);  // hundreds start at once
  options.on_warning = [](std::string_view) {};
  return options;
}

// What the daemon says of itself, as a number; -1 when it says nothing of that name.
inline double status_of(Client& client, std::string_view name) {
  const auto report = client.status();
  if (!report) return -1;
  for (const auto& [field, value] : *report) {
    if (field != name) continue;
    if (const auto* whole = std::get_if<std::uint64_t>(&value)) return static_cast<double>(*whole);
    if (const auto* real = std::get_if<double>(&value)) return *real;
  }
  return -1;
}

}  // namespace onced::testing
