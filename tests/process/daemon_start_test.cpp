// Starting: exactly one daemon per socket, and a clear word from every other.
#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "process/bystander.hpp"
#include "support/contains.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using onced::testing::Bystander;
using onced::testing::DaemonOptions;
using onced::testing::DaemonProcess;
using onced::testing::TempDirectory;

namespace {

using onced::testing::contains;

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status {};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

// A socket file with a listener of another program behind it, or with none.
class Squatter {
 public:
  explicit Squatter(const std::filesystem::path& path) {
    socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    REQUIRE(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    REQUIRE(::listen(socket_, 1) == 0);
  }
  ~Squatter() { leave(); }
  void leave() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

 private:
  int socket_ = -1;
};

DaemonOptions at(const std::filesystem::path& socket) {
  DaemonOptions options;
  options.socket = socket.string();
  options.memory = "8MiB";
  return options;
}

}  // namespace

TEST_CASE("fifty simultaneous starts leave exactly one serving") {
  const TempDirectory directory;
  const auto socket = directory / "onced.sock";
  std::vector<std::unique_ptr<DaemonProcess>> daemons;
  for (int i = 0; i < 50; ++i) daemons.push_back(std::make_unique<DaemonProcess>(DaemonProcess::NotStarted{}, at(socket)));
  for (auto& daemon : daemons) daemon->launch();
  DaemonProcess* serving = nullptr;
  int refused = 0;
  for (auto& daemon : daemons) {
    if (daemon->wait_ready()) {
      CHECK(serving == nullptr);
      serving = daemon.get();
    } else {
      CHECK(daemon->wait().code == 1);
      CHECK(contains(daemon->log(), "another onced"));
      ++refused;
    }
  }
  CHECK(refused == 49);
  REQUIRE(serving != nullptr);
  CHECK(serving->running());
  Bystander(socket.string()).check();
}

TEST_CASE("a second daemon is told who serves") {
  DaemonProcess first;
  DaemonProcess second(DaemonProcess::NotStarted{}, at(first.socket()));
  second.launch();
  CHECK_FALSE(second.wait_ready());
  CHECK(second.wait().code == 1);
  CHECK(contains(second.log(), "another onced (pid " + std::to_string(first.pid()) + ") serves " + first.socket()));
  Bystander(first.socket()).check();
}

TEST_CASE("a daemon that was killed leaves nothing in the way of the next one") {
  DaemonProcess daemon;
  for (int i = 0; i < 5; ++i) {
    daemon.kill(SIGKILL);
    CHECK(daemon.wait().signal == SIGKILL);
    daemon.start();
    Bystander(daemon.socket()).check();
  }
}

TEST_CASE("a socket that another program serves is never removed") {
  const TempDirectory directory;
  const auto path = directory / "onced.sock";
  Squatter squatter(path);
  DaemonProcess daemon(DaemonProcess::NotStarted{}, at(path));
  daemon.launch();
  CHECK_FALSE(daemon.wait_ready());
  CHECK(daemon.wait().code == 1);
  CHECK(contains(daemon.log(), "another program serves " + path.string()));
  CHECK(std::filesystem::is_socket(path));
  // Once it has gone, its file is only a rest.
  squatter.leave();
  daemon.start();
  Bystander(path.string()).check();
}

TEST_CASE("a file that is no socket is never removed") {
  const TempDirectory directory;
  const auto path = directory / "onced.sock";
  onced::testing::write_file(path, "precious");
  DaemonProcess daemon(DaemonProcess::NotStarted{}, at(path));
  daemon.launch();
  CHECK_FALSE(daemon.wait_ready());
  CHECK(contains(daemon.log(), "is not a socket"));
  CHECK(onced::testing::read_file(path) == "precious");
}

TEST_CASE("the modes of socket and directory are as configured") {
  const TempDirectory directory;
  {
    DaemonProcess daemon(at(directory / "private/onced.sock"));
    CHECK(mode_of(directory / "private") == 0700);
    CHECK(mode_of(directory / "private/onced.sock") == 0600);
  }
  DaemonOptions options = at(directory / "shared/onced.sock");
  options.flags = {"--set", "socket_mode=0666", "--set", "directory_mode=0755"};
  DaemonProcess daemon(options);
  CHECK(mode_of(directory / "shared") == 0755);
  CHECK(mode_of(directory / "shared/onced.sock") == 0666);
}

TEST_CASE("a directory in which anybody can replace the socket is refused") {
  const TempDirectory directory;
  const auto open = directory / "open";
  std::filesystem::create_directory(open);
  REQUIRE(::chmod(open.c_str(), 0777) == 0);
  DaemonProcess daemon(DaemonProcess::NotStarted{}, at(open / "onced.sock"));
  daemon.launch();
  CHECK_FALSE(daemon.wait_ready());
  CHECK(contains(daemon.log(), "anybody can replace"));
}

TEST_CASE("a path that is too long for a socket is refused with its length") {
  const TempDirectory directory;
  DaemonProcess daemon(DaemonProcess::NotStarted{}, at(directory / std::string(120, 'x')));
  daemon.launch();
  CHECK_FALSE(daemon.wait_ready());
  CHECK(contains(daemon.log(), "more than 107"));
}

TEST_CASE("help, version and the configuration are printed without starting anything") {
  const auto version = DaemonProcess::run({"--version"});
  CHECK(version.status.code == 0);
  CHECK(contains(version.out, "onced "));
  const auto help = DaemonProcess::run({"--help"});
  CHECK(help.status.code == 0);
  CHECK(contains(help.out, "Examples:"));
  const auto printed = DaemonProcess::run({"--print-config", "--socket", "/x/s", "--memory", "8MiB"});
  CHECK(printed.status.code == 0);
  CHECK(contains(printed.out, "memory = \"8MiB\"  # flag"));
  // What it prints is a file that it reads.
  const TempDirectory directory;
  onced::testing::write_file(directory / "onced.toml", printed.out);
  const auto checked = DaemonProcess::run({"--check-config", "--config", (directory / "onced.toml").string()});
  CHECK(checked.status.code == 0);
  CHECK(checked.error.empty());
}

TEST_CASE("mistakes in flags and configuration end with status 2 and say where they are") {
  const auto unknown = DaemonProcess::run({"--sokcet", "/x"});
  CHECK(unknown.status.code == 2);
  CHECK_FALSE(unknown.error.empty());
  CHECK(DaemonProcess::run({"--memory", "lots", "--socket", "/x"}).status.code == 2);
  const TempDirectory directory;
  const auto file = directory / "onced.toml";
  onced::testing::write_file(file, "memory = \"8MiB\"\n[limits]\nconections_max = 5\n");
  const auto checked = DaemonProcess::run({"--check-config", "--config", file.string(), "--socket", "/x"});
  CHECK(checked.status.code == 2);
  CHECK(contains(checked.error, file.string() + ":3:1"));
  CHECK(contains(checked.error, "did you mean \"limits.connections_max\"?"));
}
