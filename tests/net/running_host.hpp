// A host in this process, on a socket in a directory of its own.
#pragma once

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "net/host.hpp"
#include "support/temp_directory.hpp"

namespace onced::testing {

class RunningHost {
 public:
  struct Unstarted {};
  RunningHost(Unstarted, net::HostSettings changed, net::LogFunction log = no_log)
      : host_(context_, std::move(changed), std::move(log)) {
    REQUIRE(host_.open_namespaces().ok());
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path().c_str(), sizeof(address.sun_path) - 1);
    REQUIRE(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    REQUIRE(::listen(listener_, 64) == 0);
    REQUIRE(host_.serve(listener_).ok());
  }
  struct ByHand {};
  // Without a thread: the test calls turn().
  RunningHost(ByHand, net::HostSettings changed) : RunningHost(Unstarted{}, std::move(changed)) {}
  // `log` is called on the loop.
  explicit RunningHost(net::HostSettings changed = settings(), net::LogFunction log = no_log)
      : RunningHost(Unstarted{}, std::move(changed), std::move(log)) {
    thread_ = std::thread([this] { context_.run(); });
  }
  ~RunningHost() {
    context_.stop();
    if (thread_.joinable()) thread_.join();
    host_.end();
    ::close(listener_);
  }
  std::string path() const { return (directory_ / "host.sock").string(); }
  // On the loop; returns when it is done. Not with ByHand.
  template <typename Work>
  void run(Work work) {
    const auto done = std::make_shared<std::promise<void>>();
    boost::asio::post(context_, [this, done, &work] {
      work(host_);
      done->set_value();
    });
    done->get_future().wait();
  }
  // One thing that has happened, if any has.
  void turn() { context_.poll_one(); }
  // Other users may connect.
  void open_to_all() const {
    REQUIRE(::chmod(directory_.path().c_str(), 0755) == 0);
    REQUIRE(::chmod(path().c_str(), 0666) == 0);
  }

  static void no_log(net::LogLevel, std::string_view) {}
  static net::HostSettings settings() {
    net::HostSettings settings;
    settings.engine.epoch = 1;
    settings.engine.daemon_version = "test";
    settings.namespaces["default"] = {.memory_bytes = 8 << 20, .blob_bytes_max = 64 << 20};
    return settings;
  }

 private:
  TempDirectory directory_;
  boost::asio::io_context context_{1};
  net::Host host_;
  int listener_ = -1;
  std::thread thread_;
};

}  // namespace onced::testing
