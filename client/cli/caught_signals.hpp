// Signals that arrive as reads from a descriptor in place of interrupting, while the object lives.
//
// Ignored:   one that is ignored when the object is made (nohup, a script's background) stays so and never arrives. Blocked, it would: as if
//            somebody who must not be stopped by it were to be stopped.
// Threads: made and ended by the only one. release() gives back the mask earlier; again does nothing more.
#pragma once

#include <csignal>
#include <initializer_list>
#include <optional>

#include <sys/signalfd.h>
#include <unistd.h>

#include "descriptor.hpp"

namespace onced::cli {

class CaughtSignals {
 public:
  explicit CaughtSignals(std::initializer_list<int> signals) {
    sigset_t caught;
    sigemptyset(&caught);
    for (const int signal : signals) {
      if (!is_ignored(signal)) sigaddset(&caught, signal);
    }
    ::sigprocmask(SIG_BLOCK, &caught, &previous_);
    queue_ = client_detail::Descriptor(::signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  CaughtSignals(const CaughtSignals&) = delete;
  CaughtSignals& operator=(const CaughtSignals&) = delete;
  ~CaughtSignals() { release(); }

  // To be polled.
  int descriptor() const { return queue_.number(); }
  // The next that has come.
  std::optional<signalfd_siginfo> next() const {
    signalfd_siginfo info{};
    if (::read(queue_.number(), &info, sizeof(info)) != static_cast<ssize_t>(sizeof(info))) return std::nullopt;
    return info;
  }
  // They interrupt again.
  void release() const { ::sigprocmask(SIG_SETMASK, &previous_, nullptr); }

 private:
  static bool is_ignored(int signal) {
    struct sigaction now {};
    return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
  }

  client_detail::Descriptor queue_;
  sigset_t previous_{};
};

}  // namespace onced::cli
