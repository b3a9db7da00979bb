#include "service/systemd.hpp"

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "support/temp_directory.hpp"

using namespace onced::service;
using onced::testing::TempDirectory;
using namespace std::chrono_literals;

namespace {

struct Manager {
  int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  explicit Manager(const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    REQUIRE(::bind(socket, reinterpret_cast<sockaddr*>(&address), length) == 0);
  }
  ~Manager() { ::close(socket); }
  std::string next() const {
    char buffer[1024];
    const ssize_t count = ::recv(socket, buffer, sizeof(buffer), MSG_DONTWAIT);
    return count < 0 ? std::string("nothing") : std::string(buffer, static_cast<std::size_t>(count));
  }
};

}  // namespace

TEST_CASE("the manager is told what it has to know, by path and by abstract name") {
  const TempDirectory directory;
  for (const std::string& name : {(directory / "notify").string(), "@onced-test-" + std::to_string(::getpid())}) {
    const Manager manager(name);
    const Notifier notifier({{"NOTIFY_SOCKET", name}});
    notifier.ready("serving");
    CHECK(manager.next() == "READY=1\nSTATUS=serving");
    notifier.reloading();
    CHECK(manager.next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    notifier.alive();
    CHECK(manager.next() == "WATCHDOG=1");
    notifier.stopping();
    CHECK(manager.next() == "STOPPING=1");
    CHECK(manager.next() == "nothing");
  }
}

TEST_CASE("the watchdog is fed at half its time, if it is meant for us") {
  CHECK_FALSE(Notifier(Environment{}).watchdog_period().has_value());
  CHECK(Notifier(Environment{{"WATCHDOG_USEC", "30000000"}}).watchdog_period() == 15s);
  CHECK(Notifier(Environment{{"WATCHDOG_USEC", "30000000"}, {"WATCHDOG_PID", std::to_string(::getpid())}}).watchdog_period() == 15s);
  CHECK_FALSE(Notifier(Environment{{"WATCHDOG_USEC", "30000000"}, {"WATCHDOG_PID", "1"}}).watchdog_period().has_value());
  CHECK_FALSE(Notifier(Environment{{"WATCHDOG_USEC", "soon"}}).watchdog_period().has_value());
}

TEST_CASE("without a manager nothing happens") {
  Notifier(Environment{}).ready("x");
  Notifier(Environment{{"NOTIFY_SOCKET", "/nonexistent/notify"}}).ready("x");
  Notifier(Environment{{"NOTIFY_SOCKET", std::string(500, 'x')}}).ready("x");
}
