// The least that a daemon on a Unix socket can be: one epoll loop and messages of a fixed size. The floor under every
// request that onced answers.
//
// It echoes pings, and relays: who has said `wait` gets the next `publish`, without an answer to the publisher. `count`
// is answered with the number of those who wait, so that a benchmark knows when everybody has arrived.
//
// Ownership: BareServer owns its process; BareClient its socket. Threads: one at a time. Errors: std::system_error.
#pragma once

#include <cstdint>
#include <filesystem>

#include "harness/process.hpp"

namespace onced::bench {

struct BareMessage {
  enum class Kind : std::uint64_t { ping, wait, publish, count };
  Kind kind = Kind::ping;
  std::uint64_t number = 0;
  std::uint8_t bytes[112] = {};  // 128 in all: about what a request for a lease, or a small value, takes in onced
};
static_assert(sizeof(BareMessage) == 128);

class BareServer {
 public:
  BareServer();
  pid_t id() const { return process_.id(); }
  std::filesystem::path socket_path() const { return directory_.path() / "bare.sock"; }

 private:
  TemporaryDirectory directory_;
  int listener_;  // bound before the fork, so that clients may connect at once
  ChildProcess process_;
};

// A blocking socket.
class BareClient {
 public:
  explicit BareClient(const BareServer& server);
  ~BareClient();
  BareClient(const BareClient&) = delete;
  BareClient& operator=(const BareClient&) = delete;

  void send(const BareMessage& message);
  BareMessage receive();
  BareMessage exchange(const BareMessage& message) {
    send(message);
    return receive();
  }

 private:
  int socket_;
};

}  // namespace onced::bench
