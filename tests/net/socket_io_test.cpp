#include "net/socket_io.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>

#include <array>

#include "net/socket_pair.hpp"

using namespace onced::net;
using onced::testing::SocketPair;

namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

}  // namespace

TEST_CASE("bytes come and go, and nothing is waited for") {
  SocketPair pair;
  std::array<std::byte, 16> room;
  CHECK(receive(pair.ours, room).kind == Received::Kind::nothing);
  pair.send("hello");
  const Received received = receive(pair.ours, room);
  CHECK(received.kind == Received::Kind::bytes);
  CHECK(received.bytes == 5);
  CHECK(send(pair.ours, bytes_of("x")).kind == Sent::Kind::bytes);
  const std::string large(1 << 20, 'y');
  const Sent sent = send(pair.ours, bytes_of(large));
  CHECK(sent.kind == Sent::Kind::bytes);
  CHECK(sent.bytes < large.size());
  CHECK(send(pair.ours, bytes_of("z")).kind == Sent::Kind::nothing);
}

TEST_CASE("a peer that is gone ends the stream after what it has sent") {
  SocketPair pair;
  pair.send("last");
  pair.close_theirs();
  std::array<std::byte, 16> room;
  CHECK(receive(pair.ours, room).bytes == 4);
  CHECK(receive(pair.ours, room).kind == Received::Kind::ended);
  CHECK(send(pair.ours, bytes_of("x")).kind == Sent::Kind::broken);
}

TEST_CASE("every descriptor that can be sent at once is seen") {
  SocketPair pair;
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  REQUIRE(null >= 0);
  for (const std::size_t count : {std::size_t{1}, std::size_t{253}}) {
    pair.send("x", std::vector<int>(count, null));
    std::array<std::byte, 16> room;
    const Received received = receive(pair.ours, room);
    CHECK(received.kind == Received::Kind::descriptors);
    CHECK(received.bytes == 1);
    CHECK(received.descriptors.size() == count);
    for (const int descriptor : received.descriptors) {
      CHECK((::fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0);
      ::close(descriptor);
    }
  }
  ::close(null);
}

TEST_CASE("descriptors are sent with the first byte, once") {
  SocketPair pair;
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const std::array<int, 2> both{null, null};
  CHECK(send(pair.ours, bytes_of("ab"), both).bytes == 2);
  std::array<std::byte, 1> room;
  const Received first = receive(pair.theirs, room);
  CHECK(first.descriptors.size() == 2);
  for (const int descriptor : first.descriptors) ::close(descriptor);
  CHECK(receive(pair.theirs, room).kind == Received::Kind::bytes);
  ::close(null);
}

TEST_CASE("where the kernel can refuse descriptors they do not arrive") {
  SocketPair pair;
  if (!refuse_descriptors(pair.ours)) {
    MESSAGE("skipped: this kernel has no SO_PASSRIGHTS");
    return;
  }
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK_THROWS(pair.send("x", {null}));
  pair.send("y");
  std::array<std::byte, 1> room;
  CHECK(receive(pair.ours, room).kind == Received::Kind::bytes);
  ::close(null);
}
