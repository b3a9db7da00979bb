// The one place where bytes and descriptors of client connections are received and sent.
//
// The daemon accepts no descriptor. Where the kernel can refuse them (SO_PASSRIGHTS, Linux 6.16) they never arrive;
// elsewhere every receive has room for all that can be sent at once, so that none is lost or left behind unseen: a plain
// read() would close them on the spot, and closing a foreign descriptor may block.
//
// Threads: any; functions over descriptors that the caller owns. Nothing here blocks. Errors: outcomes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace onced::net {

struct Received {
  enum class Kind : std::uint8_t {
    bytes,        // `bytes` of them, at least one
    nothing,      // not now
    ended,        // the peer has closed, or shut down its sending side
    broken,       // `error` says how; the peer is gone
    descriptors,  // the peer sent some: a violation. `bytes` may have come with them; the caller gives them to a Closer
  };
  Kind kind = Kind::nothing;
  std::size_t bytes = 0;
  int error = 0;
  std::vector<int> descriptors;
};
Received receive(int socket, std::span<std::byte> room);

struct Sent {
  enum class Kind : std::uint8_t {
    bytes,    // `bytes` of them, perhaps not all; descriptors went with the first one
    nothing,  // the socket is full
    broken,   // `error` says how: nobody will read from this connection any more
    // The kernel holds as many undelivered descriptors of ours as it allows; nothing was sent.
    too_many_descriptors,
  };
  Kind kind = Kind::nothing;
  std::size_t bytes = 0;
  int error = 0;
};
// At most descriptors_per_message_max descriptors; they stay ours.
inline constexpr std::size_t descriptors_per_message_max = 4;
Sent send(int socket, std::span<const std::byte> bytes, std::span<const int> descriptors = {});

// Whether the peer's end is closed in every process (or both directions are shut down, which looks the same).
bool hung_up(int socket);

// Makes the kernel refuse descriptors for this socket, and for what a listening one accepts. False: it cannot.
bool refuse_descriptors(int socket);

}  // namespace onced::net
