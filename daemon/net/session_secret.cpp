#include "net/session_secret.hpp"

#include <sys/random.h>

#include <cerrno>
#include <variant>

#include <onced/protocol/result.hpp>

namespace onced::net {

bool makes_session_id(const protocol::Request& request) {
  return std::holds_alternative<protocol::NewSession>(request) || std::holds_alternative<protocol::RotateSession>(request);
}

engine::SessionSecret fresh_session_secret() {
  engine::SessionSecret secret{};
  ssize_t drawn = 0;
  // Up to 256 bytes come whole; before the first seeding a signal may interrupt the wait.
  do {
    drawn = ::getrandom(secret.data(), secret.size(), 0);
  } while (drawn < 0 && errno == EINTR);
  ONCED_ASSERT(drawn == static_cast<ssize_t>(secret.size()));
  return secret;
}

}  // namespace onced::net
