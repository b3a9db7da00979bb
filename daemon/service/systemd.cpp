#include "service/systemd.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <ctime>

#include "service/quantities.hpp"

namespace onced::service {
namespace {

std::string value_of(const Environment& environment, std::string_view name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

std::uint64_t monotonic_us() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

}  // namespace

Notifier::Notifier(const Environment& environment) : socket_(value_of(environment, "NOTIFY_SOCKET")) {
  const Result<std::uint64_t> microseconds = parse_count(value_of(environment, "WATCHDOG_USEC"));
  if (!microseconds || *microseconds < 2) return;
  // The variables are inherited by children; they are meant for one process.
  const std::string pid = value_of(environment, "WATCHDOG_PID");
  if (!pid.empty() && pid != std::to_string(::getpid())) return;
  watchdog_period_ = std::chrono::microseconds(*microseconds / 2);
}

void Notifier::ready(std::string_view status) const { tell("READY=1\nSTATUS=" + std::string(status)); }
void Notifier::reloading() const { tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_us())); }
void Notifier::stopping() const { tell("STOPPING=1"); }
void Notifier::alive() const { tell("WATCHDOG=1"); }

void Notifier::tell(const std::string& message) const {
  if (socket_.empty()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.size() >= sizeof(address.sun_path)) return;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // the abstract namespace
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  static_cast<void>(::sendto(descriptor, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                             reinterpret_cast<const sockaddr*>(&address), length));
  ::close(descriptor);
}

}  // namespace onced::service
