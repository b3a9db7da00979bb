// What happens to the daemon from outside: signals and the watchdog, on the loop.
//
//   SIGHUP            reload
//   SIGTERM, SIGINT   drain; the second one ends the process at once, with the status that the signal would give
//
// The watchdog is fed from the loop itself, so that a loop that hangs is noticed; without one there is no timer at all.
#pragma once

#include <functional>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "service/systemd.hpp"

namespace onced::service {

class Lifecycle {
 public:
  struct Actions {
    std::function<void()> reload;
    std::function<void()> drain;  // called once
  };
  Lifecycle(boost::asio::io_context& context, const Notifier& notifier, Actions actions);
  Lifecycle(const Lifecycle&) = delete;
  Lifecycle& operator=(const Lifecycle&) = delete;

 private:
  void wait_for_signal();
  void feed_watchdog();

  boost::asio::signal_set signals_;
  boost::asio::steady_timer watchdog_;
  const Notifier& notifier_;
  Actions actions_;
  bool draining_ = false;
};

// For the whole process, before threads are started: SIGPIPE is ignored, no memory of it gets into core files, the limit of open
// descriptors is raised as far as it goes. Returns that limit.
std::uint64_t prepare_process();

}  // namespace onced::service
