#include "net/closer.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <netinet/in.h>

#include <atomic>
#include <memory>

#include "net/gate.hpp"
#include "net/socket_pair.hpp"
#include "support/watchdog.hpp"

using namespace onced::net;
using onced::testing::Gate;
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

TEST_CASE("who gave a descriptor is told when it is closed, and not before") {
  const auto gate = std::make_shared<Gate>();
  Closer closer(Closer::Options{.close = Gate::of(gate)});
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const auto was_open = std::make_shared<std::atomic<int>>(-1);
  closer.give(null, Closer::Kind::own, Closer::nobody, [was_open, null] { *was_open = is_open(null) ? 1 : 0; });
  wait_until([&] { return gate->entered == 1; }, "the closer to hang");
  CHECK(*was_open == -1);
  gate->let_go();
  wait_until([&] { return *was_open != -1; }, "the word that it is closed");
  CHECK(*was_open == 0);
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
  Closer closer({.foreign = &foreign});
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

namespace {

int null_device() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

constexpr std::size_t waiting_max = onced::limits::foreign_descriptors_waiting_max;

}  // namespace

TEST_CASE("a user whose descriptors wait to be closed is overfull, others are not, until they are closed") {
  const auto gate = std::make_shared<Gate>();
  Closer foreign({.close = Gate::of(gate)});
  for (std::size_t i = 0; i < waiting_max - 1; ++i) foreign.give(null_device(), Closer::Kind::foreign, 1000);
  wait_until([&] { return gate->entered == 1; }, "the closer to hang");
  CHECK_FALSE(foreign.overfull(1000));
  foreign.give(null_device(), Closer::Kind::foreign, 1000);
  CHECK(foreign.overfull(1000));  // the one that hangs counts too
  foreign.give(null_device(), Closer::Kind::foreign, 1001);
  CHECK_FALSE(foreign.overfull(1001));
  gate->let_go();
  wait_until([&] { return foreign.closed() == waiting_max + 1; }, "the closer");
  CHECK_FALSE(foreign.overfull(1000));
}

TEST_CASE("what lies in a connection's queue stays there while its user's descriptors cannot be closed") {
  const auto gate = std::make_shared<Gate>();
  Closer foreign({.close = Gate::of(gate)});
  Closer closer({.foreign = &foreign});
  for (std::size_t i = 0; i < waiting_max; ++i) foreign.give(null_device(), Closer::Kind::foreign, 1000);
  wait_until([&] { return gate->entered == 1; }, "the closer to hang");
  SocketPair hostile;
  const int null = null_device();
  for (int i = 0; i < 20; ++i) hostile.send("x", {null, null, null});
  ::close(null);
  SocketPair harmless;
  const int unread = ::dup(hostile.ours);
  closer.give(std::exchange(hostile.ours, -1), Closer::Kind::connection, 1000);
  closer.give(std::exchange(harmless.ours, -1), Closer::Kind::connection, 1001);
  wait_until([&] { return closer.closed() == 2; }, "the other closer, which waits for nobody");
  char byte = 0;
  CHECK(::recv(unread, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
  ::close(unread);
  gate->let_go();
  wait_until([&] { return foreign.closed() == waiting_max + 61; }, "all that was sent and the socket");
  CHECK_FALSE(foreign.overfull(1000));
}

TEST_CASE("a closer that hangs does not keep its owner from ending") {
  const auto gate = std::make_shared<Gate>();
  {
    Closer closer({.close = Gate::of(gate)});
    closer.give(null_device(), Closer::Kind::own);
    wait_until([&] { return gate->entered == 1; }, "the closer to hang");
  }
  gate->let_go();
}
