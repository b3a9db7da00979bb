#include "service/lifecycle.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <utility>

namespace onced::service {
namespace {

// Keys and values stand in the heap and on stacks too, so it is not enough to leave out the segments. No core file at all where the
// limit counts; programs that take cores through a pipe are sent one in spite of it, with the registers of each thread and nothing
// else: the filter leaves out every mapping. The process stays one that its own user may look at (/proc/<pid>/fd,
// which `oncectl doctor` reads), who is no stranger to its memory anyway.
void keep_memory_out_of_cores() {
  rlimit core{};
  if (::getrlimit(RLIMIT_CORE, &core) == 0) {
    core.rlim_cur = 0;
    ::setrlimit(RLIMIT_CORE, &core);
  }
  const int filter = ::open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
  const bool filtered = filter >= 0 && ::write(filter, "0", 1) == 1;
  if (filter >= 0) ::close(filter);
  if (!filtered) ::prctl(PR_SET_DUMPABLE, 0);
}

}  // namespace

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
  std::signal(SIGXFSZ, SIG_IGN);  // under `ulimit -f` an error to answer with, not the end of the daemon
  keep_memory_out_of_cores();
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
