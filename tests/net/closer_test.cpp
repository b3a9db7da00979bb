#include "net/closer.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <netinet/in.h>

#include "net/socket_pair.hpp"
#include "support/watchdog.hpp"

using namespace onced::net;
using onced::testing::SocketPair;
using onced::testing::is_open;
using onced::testing::wait_until;

namespace {

// A connected TCP socket whose close() would wait for its peer for an hour: data that nobody takes, and SO_LINGER.
struct LingeringSocket {
  int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int peer = -1;
  int lingering = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  LingeringSocket() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(::listen(listener, 1) == 0);
    REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0);
    REQUIRE(::connect(lingering, reinterpret_cast<sockaddr*>(&address), length) == 0);
    peer = ::accept(listener, nullptr, nullptr);
    const linger hour{1, 3600};
    REQUIRE(::setsockopt(lingering, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour)) == 0);
    const std::string data(1 << 20, 'x');
    while (::send(lingering, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
  }
  ~LingeringSocket() {
    ::close(peer);
    ::close(listener);
  }
};

}  // namespace

TEST_CASE("what is given is closed") {
  Closer closer;
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  closer.give(null, Closer::Kind::foreign);
  wait_until([&] { return closer.closed() == 1; }, "the closer");
  CHECK_FALSE(is_open(null));
}

TEST_CASE("a socket that lingers does not keep the closer") {
  Closer closer;
  LingeringSocket socket;
  closer.give(socket.lingering, Closer::Kind::foreign);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  closer.give(null, Closer::Kind::foreign);
  wait_until([&] { return closer.closed() == 2; }, "the closer");
}

TEST_CASE("a lingering socket that lies unread in a connection's queue does not keep it either") {
  Closer foreign;
  Closer closer(&foreign);
  SocketPair pair;
  LingeringSocket socket;
  pair.send("x", {socket.lingering});
  pair.send("y", {socket.lingering});
  ::close(socket.lingering);
  closer.give(pair.ours, Closer::Kind::connection);
  pair.ours = -1;
  wait_until([&] { return closer.closed() == 1 && foreign.closed() == 2; }, "the closers");
}

TEST_CASE("the peer of a connection that is closed still reads what was sent before") {
  Closer closer;
  SocketPair pair;
  REQUIRE(::send(pair.ours, "bye", 3, MSG_NOSIGNAL) == 3);
  pair.send("unread");
  closer.give(pair.ours, Closer::Kind::connection);
  pair.ours = -1;
  wait_until([&] { return closer.closed() == 1; }, "the closer");
  char room[8];
  CHECK(::recv(pair.theirs, room, sizeof(room), 0) == 3);
}
