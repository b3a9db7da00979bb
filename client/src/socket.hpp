// The only file of the client that moves bytes and descriptors over a socket.
//
// Ownership: owns its descriptor and those it receives until they are taken. Close-on-exec, all of them.
// Threads:   one sender and one receiver at a time (channel.hpp sees to that).
// Errors:    `unavailable` when the other end is gone or absent; `malformed` when it sent what it must not.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <onced/protocol/result.hpp>

#include "deadline.hpp"
#include "descriptor.hpp"

namespace onced::client_detail {

// What the operator can do about descriptor_lost.
inline constexpr const char* no_free_descriptor = "this process has no free file descriptor for what the daemon sent: raise ulimit -n";

class Socket {
 public:
  static constexpr std::size_t descriptors_max = 8;  // room for in one receive; a daemon sends two

  explicit Socket(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}
  static Result<Socket> connect(const std::string& path, Deadline deadline);

  int descriptor() const { return descriptor_.number(); }
  // Says that no descriptor may come any more: the next one is an error.
  void expect_no_descriptors() { descriptors_welcome_ = false; }

  // Sends what the socket takes now; 0 when it is full.
  Result<std::size_t> send_some(std::string_view bytes);

  struct Received {
    std::size_t bytes = 0;
    bool nothing_yet = false;  // nothing to read now; bytes is 0 and the stream goes on
    bool descriptor_lost = false;  // one came with the bytes at least, and this process had none free
  };
  // Receives what is there now. The end of the stream is an error.
  Result<Received> receive_some(std::span<std::byte> room);
  // As above, but waits for it. `nothing_yet` comes about when `deadline` passes, or early for no reason: look at the clock.
  Result<Received> receive(std::span<std::byte> room, Deadline deadline);
  std::vector<Descriptor> take_descriptors() { return std::move(received_descriptors_); }

 private:
  Descriptor descriptor_;
  bool descriptors_welcome_ = true;
  std::vector<Descriptor> received_descriptors_;
};

}  // namespace onced::client_detail
