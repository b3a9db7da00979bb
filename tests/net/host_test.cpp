// The loop in this process, behind a listening socket that lets descriptors through, as kernels before 6.16 do.
#include "net/host.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <thread>

#include <boost/asio/post.hpp>

#include "net/socket_pair.hpp"
#include "support/raw_client.hpp"
#include "support/temp_directory.hpp"

using namespace onced;
using onced::testing::RawClient;
using onced::testing::TempDirectory;

namespace {

class RunningHost {
 public:
  explicit RunningHost(net::HostSettings changed = settings())
      : host_(context_, std::move(changed), [](net::LogLevel, std::string_view) {}) {
    REQUIRE(host_.open_namespaces().ok());
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path().c_str(), sizeof(address.sun_path) - 1);
    REQUIRE(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    REQUIRE(::listen(listener_, 64) == 0);
    REQUIRE(host_.serve(listener_).ok());
    thread_ = std::thread([this] { context_.run(); });
  }
  ~RunningHost() {
    context_.stop();
    thread_.join();
    host_.end();
    ::close(listener_);
  }
  std::string path() const { return (directory_ / "host.sock").string(); }

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

// A TCP socket whose last close() would wait an hour for a peer that never reads.
int lingering_socket(int& listener, int& peer) {
  listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0);
  REQUIRE(::listen(listener, 1) == 0);
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  REQUIRE(::connect(socket, reinterpret_cast<sockaddr*>(&address), length) == 0);
  peer = ::accept(listener, nullptr, nullptr);
  const linger hour{1, 3600};
  REQUIRE(::setsockopt(socket, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour)) == 0);
  const std::string data(1 << 20, 'x');
  while (::send(socket, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
  return socket;
}

void send_with_descriptor(int socket, std::string_view bytes, int descriptor) {
  onced::testing::SocketPair sender;
  const int own = std::exchange(sender.theirs, socket);
  try {
    sender.send(bytes, {descriptor});
  } catch (...) {
    sender.theirs = own;  // or the pair would close a socket that is not its own
    throw;
  }
  sender.theirs = own;
}

}  // namespace

TEST_CASE("a descriptor, before or after HELLO, ends its connection with the reason") {
  RunningHost host;
  RawClient bystander(host.path());
  bystander.hello(true);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (const bool after_hello : {false, true}) {
    RawClient client(host.path());
    if (after_hello) client.hello(true);
    send_with_descriptor(client.socket(), "x", null);
    const auto refused = client.receive_end();
    REQUIRE(refused.has_value());
    CHECK(refused->code == ErrorCode::malformed);
    CHECK(refused->text.find("descriptors") != std::string::npos);
  }
  ::close(null);
  bystander.request(2, protocol::GetStatus{});
  bystander.receive_only<protocol::StatusReport>();
}

TEST_CASE("sockets that linger on close, received or left in the queue, do not hold up the loop") {
  RunningHost host;
  RawClient bystander(host.path());
  bystander.hello();
  for (int i = 0; i < 4; ++i) {
    int listener = -1;
    int peer = -1;
    const int lingering = lingering_socket(listener, peer);
    {
      RawClient client(host.path());
      send_with_descriptor(client.socket(), "x", lingering);
      // The daemon reads the first one, and may never look at this one: it lies in the queue when the socket is closed.
      try {
        send_with_descriptor(client.socket(), "y", lingering);
      } catch (const std::system_error&) {  // it has hung up already
      }
      ::close(lingering);
      client.receive_end();
    }
    bystander.request(2, protocol::GetStatus{});
    bystander.receive_only<protocol::StatusReport>();
    ::close(peer);
    ::close(listener);
  }
}
