#include "handshake.hpp"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <onced/protocol/limits.hpp>

namespace onced::client_detail {

namespace {

std::string environment(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? std::string() : std::string(text);
}

std::string default_socket_path() {
  if (std::string path = environment("ONCED_SOCKET"); !path.empty()) return path;
  const std::string of_the_service = "/run/onced/onced.sock";
  const std::string runtime = environment("XDG_RUNTIME_DIR");
  if (runtime.empty() || ::access(of_the_service.c_str(), F_OK) == 0) return of_the_service;
  return runtime + "/onced/onced.sock";
}

Error no_answer(const Identity& identity) {
  return {ErrorCode::unavailable, "the daemon at " + identity.socket_path + " did not answer in time"};
}

Result<protocol::Reply> first_reply(Socket& socket, protocol::FrameReader& reader, const Identity& identity,
                                    Deadline deadline) {
  for (;;) {
    auto frame = reader.next();
    if (!frame) return frame.error();
    if (frame->has_value()) return protocol::decode_reply((*frame)->header.type, (*frame)->payload);
    auto received = socket.receive(reader.room(), deadline);
    if (!received) return received.error();
    if (received->descriptor_lost) return Error{ErrorCode::limit_reached, no_free_descriptor};
    if (received->nothing_yet && Clock::now() >= deadline) return no_answer(identity);
    reader.received(received->bytes);
  }
}

}  // namespace

Identity identity_of(const ClientOptions& options) {
  Identity identity;
  identity.socket_path = options.socket.empty() ? default_socket_path() : options.socket;
  identity.namespace_name = options.namespace_name.empty() ? "default" : options.namespace_name;
  identity.client_name = options.name.empty() ? std::string(program_invocation_short_name) : options.name;
  identity.client_name.resize(std::min(identity.client_name.size(), limits::client_name_bytes_max));
  return identity;
}

Result<Socket> say_hello(const Identity& identity, bool wants_mapping, Deadline deadline) {
  auto socket = Socket::connect(identity.socket_path, deadline);
  if (!socket) return socket.error();
  protocol::Hello hello;
  hello.protocol_version = limits::protocol_version;
  hello.namespace_name = identity.namespace_name;
  hello.client_name = identity.client_name;
  hello.wants_mapping = wants_mapping;
  std::string frame;
  protocol::encode(0, protocol::Request(hello), frame);
  // A new socket has room for all of it. A daemon that refuses at once may have closed before this is sent: the reply
  // that it left says more than the failed send.
  const auto sent = socket->send_some(frame);
  if (sent.ok() && *sent != frame.size()) return Error{ErrorCode::unavailable, "the daemon's socket has no room for a greeting"};
  return socket;
}

Result<protocol::Welcome> check_welcome(protocol::Reply reply) {
  if (const auto* refused = std::get_if<protocol::Refused>(&reply)) return Error{refused->code, refused->text};
  auto* welcome = std::get_if<protocol::Welcome>(&reply);
  if (welcome == nullptr) return Error{ErrorCode::malformed, "the daemon's first message is not a Welcome"};
  if (welcome->protocol_version != limits::protocol_version) {
    return Error{ErrorCode::version_mismatch, "the daemon speaks protocol version " +
                                                  std::to_string(welcome->protocol_version) + ", this library " +
                                                  std::to_string(limits::protocol_version)};
  }
  return std::move(*welcome);
}

Result<Handshake> shake_hands(const Identity& identity, bool wants_mapping, Deadline deadline) {
  auto socket = say_hello(identity, wants_mapping, deadline);
  if (!socket) return socket.error();
  Handshake handshake{std::move(*socket), protocol::FrameReader(), {}, {}};
  auto reply = first_reply(handshake.socket, handshake.reader, identity, deadline);
  if (!reply) return reply.error();
  auto welcome = check_welcome(std::move(*reply));
  if (!welcome) return welcome.error();
  handshake.welcome = std::move(*welcome);
  handshake.descriptors = handshake.socket.take_descriptors();
  const std::size_t expected = wants_mapping ? 2 : 0;
  if (handshake.descriptors.size() != expected) {
    return Error{ErrorCode::malformed, "the daemon's Welcome came with " + std::to_string(handshake.descriptors.size()) +
                                           " descriptors instead of " + std::to_string(expected)};
  }
  if (!wants_mapping) handshake.socket.expect_no_descriptors();  // else the channel knows when to
  handshake.reader.raise_limit(limits::frame_payload_bytes_max);
  return handshake;
}

}  // namespace onced::client_detail
