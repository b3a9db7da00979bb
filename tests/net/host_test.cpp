// The loop in this process, behind a listening socket that lets descriptors through, as kernels before 6.16 do.
#include "net/host.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <exception>
#include <fstream>
#include <string>
#include <thread>

#include <boost/asio/post.hpp>

#include <onced/protocol/key.hpp>

#include "net/gate.hpp"
#include "net/running_host.hpp"
#include "net/socket_pair.hpp"
#include "support/raw_client.hpp"
#include "support/temp_directory.hpp"

using namespace onced;
using onced::testing::Gate;
using onced::testing::RawClient;
using onced::testing::RunningHost;
using onced::testing::TempDirectory;
using onced::testing::wait_until;

namespace {

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

namespace {

// How much of what was sent the other side has not taken yet.
int unread_by_peer(int socket) {
  int bytes = 0;
  REQUIRE(::ioctl(socket, SIOCOUTQ, &bytes) == 0);
  return bytes;
}

// Whether a client of another user is served now. Only the calling thread changes its user.
bool served_as_other_user(const std::string& path) {
  bool served = false;
  std::thread([&] {
    if (::syscall(SYS_setresuid, -1, 54321, -1) != 0) return;
    try {
      RawClient client(path);
      client.hello();
      client.request(2, protocol::GetStatus{});
      client.receive_only<protocol::StatusReport>();
      served = true;
    } catch (const std::exception& error) {
      MESSAGE(error.what());
    }
  }).join();
  return served;
}

// Takes what has come, without waiting.
class Answers {
 public:
  explicit Answers(int socket) : socket_(socket) {}
  // Whole frames so far.
  std::size_t take() {
    for (;;) {
      const std::span<std::byte> room = frames_.room();
      const ssize_t bytes = ::recv(socket_, room.data(), room.size(), MSG_DONTWAIT);
      if (bytes <= 0) return count_;
      frames_.received(static_cast<std::size_t>(bytes));
      for (auto frame = frames_.next(); frame.ok() && *frame; frame = frames_.next()) ++count_;
    }
  }

 private:
  int socket_;
  protocol::FrameReader frames_{1024 * 1024};
  std::size_t count_ = 0;
};

}  // namespace

TEST_CASE("who sends more descriptors than can be closed is not read from until they are, and others are") {
  const auto gate = std::make_shared<Gate>();
  net::HostSettings settings = RunningHost::settings();
  settings.foreign_closer.close = Gate::of(gate);
  settings.hello_deadline = std::chrono::hours(1);
  RunningHost host(settings);
  host.open_to_all();
  RawClient greeted(host.path());
  greeted.hello();
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const std::vector<int> many(253, null);  // the most that one message carries
  for (std::size_t sent = 0; sent < limits::foreign_descriptors_waiting_max; sent += many.size()) {
    RawClient client(host.path());
    onced::testing::SocketPair sender;
    const int own = std::exchange(sender.theirs, client.socket());
    sender.send("x", many);
    sender.theirs = own;
    CHECK(client.receive_end().has_value());
  }
  ::close(null);
  wait_until([&] { return gate->entered == 1; }, "the closer to hang");
  greeted.request(2, protocol::GetStatus{});
  RawClient late(host.path());
  late.request(1, RawClient::hello_message(false));
  if (::geteuid() == 0) {
    for (int i = 0; i < 3; ++i) CHECK(served_as_other_user(host.path()));  // the loop has come round since
    CHECK(unread_by_peer(greeted.socket()) > 0);
    CHECK(unread_by_peer(late.socket()) > 0);
  } else {
    MESSAGE("half of it skipped: another user needs root");
  }
  gate->let_go();
  greeted.receive_only<protocol::StatusReport>();
  late.receive_only<protocol::Welcome>();
}

TEST_CASE("the segment of a namespace that has gone is unmapped beside the loop") {
  const auto mapped = [] {
    std::ifstream maps("/proc/self/maps");
    int segments = 0;
    for (std::string line; std::getline(maps, line);) segments += line.find("onced-segment") != std::string::npos ? 1 : 0;
    return segments;
  };
  const auto gate = std::make_shared<Gate>();
  net::HostSettings settings = RunningHost::settings();
  settings.memory_closer.close = Gate::of(gate);
  net::HostSettings with_charts = settings;
  with_charts.namespaces["charts"] = with_charts.namespaces["default"];
  RunningHost host(with_charts);
  const int both = mapped();
  host.run([&](net::Host& loop) { CHECK(loop.reconfigure(settings).ok()); });
  RawClient(host.path()).hello();  // it goes on
  wait_until([&] { return gate->entered == 1; }, "the closer to hang");
  CHECK(mapped() == both);
  gate->let_go();
  wait_until([&] { return mapped() == both - 1; }, "the segment to be unmapped");
}

TEST_CASE("a client that floods is answered in shares: another's request does not wait for all of its own") {
  RunningHost host(RunningHost::ByHand{}, RunningHost::settings());
  RawClient flood(host.path());
  RawClient other(host.path());
  Answers to_flood(flood.socket());
  Answers to_other(other.socket());
  for (RawClient* client : {&flood, &other}) client->request(1, RawClient::hello_message(false));
  wait_until(
      [&] {
        host.turn();
        return to_flood.take() + to_other.take() == 2;
      },
      "two times WELCOME");
  // All is said before the loop turns again, the flood first.
  std::string requests;
  std::size_t asked = 0;
  const auto send_some = [&] {
    const ssize_t count = ::send(flood.socket(), requests.data(), requests.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count > 0) requests.erase(0, static_cast<std::size_t>(count));
    return count > 0;
  };
  do {
    // Small questions with small answers: neither queue ends a share.
    while (requests.size() < 32 * 1024) requests += RawClient::encoded(2 + asked++, protocol::Unsubscribe{1});
  } while (send_some());
  other.request(2, protocol::GetStatus{});

  std::size_t answered = 0;
  std::optional<std::size_t> answered_before;  // when the other one had its answer
  const auto end = std::chrono::steady_clock::now() + onced::testing::watchdog_limit;
  while (answered < asked + 1) {  // WELCOME too
    if (std::chrono::steady_clock::now() > end) FAIL("watchdog: " << answered << " of " << asked);
    host.turn();
    answered = to_flood.take();
    if (to_other.take() == 2 && !answered_before) answered_before = answered;
    if (!requests.empty()) send_some();
  }
  CAPTURE(asked);
  REQUIRE(answered_before.has_value());
  CAPTURE(*answered_before);
  CHECK(*answered_before < asked / 2);
}

TEST_CASE("a HELLO without a namespace means the default one; an unknown one is refused by name") {
  RunningHost host;
  protocol::Hello hello = RawClient::hello_message(true);
  hello.namespace_name.clear();
  RawClient client(host.path());
  client.request(1, hello);
  CHECK(client.receive_only<protocol::Welcome>().segment_bytes > 0);
  // It is the same one: what is put there is found under its name.
  auto key = KeyBuilder("default").build();
  REQUIRE(key.ok());
  client.request(2, protocol::Put{std::string(key->bytes()), {{"", "", "value"}}, 0});
  CHECK(client.receive_only<protocol::Published>().stored);
  RawClient named(host.path());
  named.hello();
  protocol::Acquire acquire;
  acquire.key = key->bytes();
  named.request(2, acquire);
  CHECK(named.receive_only<protocol::Value>().parts.at(0).bytes == "value");
  RawClient stranger(host.path());
  hello.namespace_name = "nowhere";
  stranger.request(1, hello);
  const auto refused = stranger.receive_end();
  REQUIRE(refused.has_value());
  CHECK(refused->code == ErrorCode::not_found);
  CHECK(refused->text.find("nowhere") != std::string::npos);
}
