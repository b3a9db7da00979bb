// A thread whose end is waited for only so long: it does what may hang (close(), write()), and a daemon that ends must not
// hang with it.
//
// Ownership: the body owns, or shares, all that it touches: it may outlive the object, until the end of the process.
// Threads:   one of its own, with every signal blocked; signals are the loop's business.
// Errors:    std::system_error when the system gives no thread.
#pragma once

#include <pthread.h>

#include <chrono>
#include <csignal>
#include <future>
#include <thread>
#include <utility>

namespace onced::threads {

class LeavableThread {
 public:
  template <typename Body>
  explicit LeavableThread(Body body) {
    std::promise<void> end;
    ended_ = end.get_future();
    const SignalsBlocked blocked;
    thread_ = std::thread([body = std::move(body), end = std::move(end)]() mutable {
      body();
      end.set_value();
    });
  }
  LeavableThread(const LeavableThread&) = delete;
  LeavableThread& operator=(const LeavableThread&) = delete;
  // stop() comes first.
  ~LeavableThread() { stop(std::chrono::milliseconds(0)); }

  // The body has been told to return. Waits for it, and leaves it behind after `patience`.
  void stop(std::chrono::milliseconds patience) {
    if (!thread_.joinable()) return;
    if (ended_.wait_for(patience) == std::future_status::ready) thread_.join();
    else thread_.detach();
  }

 private:
  // A new thread inherits what its maker blocks.
  class SignalsBlocked {
   public:
    SignalsBlocked() {
      sigset_t all;
      ::sigfillset(&all);
      ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;
    ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

   private:
    sigset_t before_{};
  };

  std::future<void> ended_;
  std::thread thread_;
};

}  // namespace onced::threads
