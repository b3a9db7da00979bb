// From a path to a connection that has said Hello and got its Welcome.
#pragma once

#include <string>
#include <vector>

#include <onced/options.hpp>
#include <onced/protocol/frame.hpp>
#include <onced/protocol/messages.hpp>
#include <onced/protocol/result.hpp>

#include "socket.hpp"

namespace onced::client_detail {

struct Handshake {
  Socket socket;                          // takes no more descriptors
  protocol::FrameReader reader;           // may hold bytes that came after the Welcome
  protocol::Welcome welcome;
  std::vector<Descriptor> descriptors;    // segment and pin page, when a mapping was wanted
};

// What a client tells the daemon of itself.
struct Identity {
  std::string socket_path;
  std::string namespace_name;
  std::string client_name;
};
// Fills in defaults: environment, program name.
Identity identity_of(const ClientOptions& options);

// The steps of it, for who must not block: connects and says Hello; then judges the first reply.
Result<Socket> say_hello(const Identity& identity, bool wants_mapping, Deadline deadline);
Result<protocol::Welcome> check_welcome(protocol::Reply reply);

// Errors: unavailable; what the daemon refused with (version_mismatch, not_permitted, limit_reached, ...); malformed.
Result<Handshake> shake_hands(const Identity& identity, bool wants_mapping, Deadline deadline);

}  // namespace onced::client_detail
