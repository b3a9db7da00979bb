#include "service/lifecycle.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <utility>

namespace onced::service {

Lifecycle::Lifecycle(boost::asio::io_context& context, const Notifier& notifier, Actions actions)
    : signals_(context, SIGHUP, SIGTERM, SIGINT), watchdog_(context), notifier_(notifier), actions_(std::move(actions)) {
  wait_for_signal();
  if (notifier_.watchdog_period()) feed_watchdog();
}

void Lifecycle::wait_for_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error) return;
    if (signal == SIGHUP) {
      if (!draining_) actions_.reload();
    } else if (!std::exchange(draining_, true)) {
      notifier_.stopping();
      actions_.drain();
    } else {
      ::_exit(128 + signal);
    }
    wait_for_signal();
  });
}

void Lifecycle::feed_watchdog() {
  notifier_.alive();
  watchdog_.expires_after(*notifier_.watchdog_period());
  watchdog_.async_wait([this](const boost::system::error_code& error) {
    if (!error) feed_watchdog();
  });
}

std::uint64_t prepare_process() {
  std::signal(SIGPIPE, SIG_IGN);
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return 0;
  if (descriptors.rlim_cur < descriptors.rlim_max) {
    descriptors.rlim_cur = descriptors.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &descriptors);
    ::getrlimit(RLIMIT_NOFILE, &descriptors);
  }
  return descriptors.rlim_cur;
}

}  // namespace onced::service
