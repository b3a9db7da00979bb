// One greeting with the daemon, done by hand, to look at what a client receives: the peer and the two descriptors.
//
// The library keeps these to itself, rightly; a doctor wants to see them before they are trusted.
//
// Ownership: the descriptors are closed with the object.
// Errors:    unavailable (also when it does not answer), not_permitted, version_mismatch and what else it refuses with.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <sys/socket.h>

#include <onced/protocol/messages.hpp>
#include <onced/protocol/result.hpp>

namespace onced::cli {

// Why there was no greeting, and what to do about it.
struct NoHandshake {
  ErrorCode code;
  std::string text;
  std::string remedy;
};

// What to do when the daemon said no.
std::string remedy_for(ErrorCode code);

class Handshake {
 public:
  static std::variant<Handshake, NoHandshake> make(const std::string& socket_path, const std::string& namespace_name,
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
  std::optional<NoHandshake> receive_welcome(std::chrono::steady_clock::time_point end);
  NoHandshake silent() const;

  int socket_ = -1;
  ucred peer_{};
  protocol::Welcome welcome_;
  std::vector<int> descriptors_;
};

}  // namespace onced::cli
