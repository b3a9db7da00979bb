// What the daemon tells its service manager (sd_notify(3)): one datagram to the socket in $NOTIFY_SOCKET per message.
// Written by hand: the protocol is a line of text, the library is a dependency.
//
// Threads: the loop. Errors: a manager that cannot be reached is not told; nothing depends on it. Never blocks.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "service/configuration.hpp"

namespace onced::service {

class Notifier {
 public:
  explicit Notifier(const Environment& environment);

  void ready(std::string_view status) const;
  void reloading() const;
  void stopping() const;
  void alive() const;  // WATCHDOG=1

  // How often alive() is wanted: half of what the manager waits for. Nothing: it does not watch.
  std::optional<std::chrono::microseconds> watchdog_period() const { return watchdog_period_; }

 private:
  void tell(const std::string& message) const;

  std::string socket_;
  std::optional<std::chrono::microseconds> watchdog_period_;
};

}  // namespace onced::service
