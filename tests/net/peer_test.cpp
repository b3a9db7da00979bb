#include "net/peer.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/wait.h>

#include "net/socket_pair.hpp"

using namespace onced;
using namespace onced::net;
using onced::testing::SocketPair;

TEST_CASE("a peer is known by what the kernel says of it") {
  SocketPair pair;
  auto peer = identify(pair.ours);
  REQUIRE(peer.ok());
  CHECK(peer->pid == ::getpid());
  CHECK(peer->uid == ::geteuid());
  CHECK(peer->gid == ::getegid());
  CHECK_FALSE(peer->already_dead);
  REQUIRE(peer->process);
  pollfd alive{peer->process.get(), POLLIN, 0};
  CHECK(::poll(&alive, 1, 0) == 0);
}

TEST_CASE("the death of the process that connected is seen though another one keeps its socket open") {
  int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  // Autobind: an abstract name that nobody else has.
  sockaddr address{};
  address.sa_family = AF_UNIX;
  REQUIRE(::bind(listener, &address, sizeof(sa_family_t)) == 0);
  REQUIRE(::listen(listener, 1) == 0);
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&bound), &length) == 0);
  int go[2];
  REQUIRE(::pipe(go) == 0);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);  // shared with the child
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    if (::connect(socket, reinterpret_cast<sockaddr*>(&bound), length) != 0) ::_exit(1);
    ::_exit(::read(go[0], &byte, 1) == 1 ? 0 : 1);
  }
  const int accepted = ::accept(listener, nullptr, nullptr);
  auto peer = identify(accepted);
  REQUIRE(peer.ok());
  CHECK(peer->pid == child);
  REQUIRE(peer->process);
  REQUIRE(::write(go[1], "x", 1) == 1);
  pollfd dead{peer->process.get(), POLLIN, 0};
  CHECK(::poll(&dead, 1, 60'000) == 1);
  ::waitpid(child, nullptr, 0);
  for (const int descriptor : {listener, go[0], go[1], socket, accepted}) ::close(descriptor);
}

TEST_CASE("the uid that stands for nobody in particular matches no rule") {
  Peer peer;
  peer.uid = 65534;
  CHECK(check_peer(peer).error().code == ErrorCode::not_permitted);
  peer.uid = 1000;
  CHECK(check_peer(peer).ok());
  peer.uid = 0;
  CHECK(check_peer(peer).ok());
}

TEST_CASE("what a client calls itself is escaped") {
  Peer peer;
  peer.pid = 17;
  CHECK(describe(peer, "gunicorn") == "pid 17 (gunicorn)");
  CHECK(describe(peer, "a\nb\x1b[31m") == "pid 17 (a\\x0ab\\x1b[31m)");
  CHECK(describe(peer, "a\xc2\x9b" "b\xc3\xa4\xc2\xa0") == "pid 17 (a\\xc2\\x9b" "b\xc3\xa4\xc2\xa0)");  // C1, and what is none
  CHECK(describe(peer, "") == "pid 17");
}
