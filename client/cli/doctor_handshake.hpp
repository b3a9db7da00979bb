// One greeting with the daemon, done by hand, to look at what a client receives: the peer and the two descriptors.
//
// The library keeps these to itself, rightly; a doctor wants to see them before they are trusted.
//
// Ownership: the descriptors are closed with the object.
// Errors:    unavailable, not_permitted, timed_out, version_mismatch: each with what to do about it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <sys/socket.h>

#include <onced/protocol/messages.hpp>
#include <onced/protocol/result.hpp>

namespace onced::cli {

class Handshake {
 public:
  static Result<Handshake> make(const std::string& socket_path, const std::string& namespace_name,
                                std::chrono::milliseconds timeout);
  Handshake(Handshake&& other) noexcept;
  Handshake& operator=(Handshake&&) = delete;
  ~Handshake();

  const protocol::Welcome& welcome() const { return welcome_; }
  const ucred& peer() const { return peer_; }
  // -1: did not come.
  int segment() const { return descriptors_.empty() ? -1 : descriptors_[0]; }
  int pin_page() const { return descriptors_.size() < 2 ? -1 : descriptors_[1]; }

 private:
  Handshake() = default;
  Result<void> receive_welcome(std::chrono::steady_clock::time_point end);

  int socket_ = -1;
  ucred peer_{};
  protocol::Welcome welcome_;
  std::vector<int> descriptors_;
};

}  // namespace onced::cli
