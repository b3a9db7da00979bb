#include "doctor_handshake.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include <onced/protocol/frame.hpp>
#include <onced/protocol/limits.hpp>

namespace onced::cli {
namespace {

using Clock = std::chrono::steady_clock;

Error connect_error(const std::string& path) {
  const std::string what = "cannot connect to " + path + ": " + std::strerror(errno);
  switch (errno) {
    case ENOENT: return {ErrorCode::unavailable, what + "; start a daemon, or name its socket with --socket or ONCED_SOCKET"};
    case ECONNREFUSED:
      return {ErrorCode::unavailable, what + "; the socket is left over from a daemon that has gone: start it again"};
    case EACCES:
    case EPERM:
      return {ErrorCode::not_permitted, what + "; this user may not: join the group that owns the socket"};
    default: return {ErrorCode::unavailable, what};
  }
}

bool wait_readable(int socket, Clock::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
  pollfd readable{socket, POLLIN, 0};
  return left > 0 && ::poll(&readable, 1, static_cast<int>(left)) > 0;
}

}  // namespace

Handshake::Handshake(Handshake&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)),
      peer_(other.peer_),
      welcome_(std::move(other.welcome_)),
      descriptors_(std::exchange(other.descriptors_, {})) {}

Handshake::~Handshake() {
  for (const int descriptor : descriptors_) ::close(descriptor);
  if (socket_ >= 0) ::close(socket_);
}

Result<Handshake> Handshake::make(const std::string& socket_path, const std::string& namespace_name,
                                  std::chrono::milliseconds timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(address.sun_path)) {
    return Error{ErrorCode::invalid_argument, "the socket's path is longer than " +
                                                  std::to_string(sizeof(address.sun_path) - 1) + " bytes: " + socket_path};
  }
  socket_path.copy(address.sun_path, socket_path.size());
  Handshake made;
  made.socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (made.socket_ < 0) return Error{ErrorCode::limit_reached, std::string("cannot make a socket: ") + std::strerror(errno)};
  if (::connect(made.socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return connect_error(socket_path);
  }
  socklen_t size = sizeof(made.peer_);
  ::getsockopt(made.socket_, SOL_SOCKET, SO_PEERCRED, &made.peer_, &size);

  protocol::Hello hello;
  hello.protocol_version = limits::protocol_version;
  hello.namespace_name = namespace_name;
  hello.client_name = "oncectl doctor";
  std::string frame;
  protocol::encode(1, protocol::Request(hello), frame);
  if (::send(made.socket_, frame.data(), frame.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(frame.size())) {
    return Error{ErrorCode::unavailable, std::string("the daemon does not listen: ") + std::strerror(errno)};
  }
  if (Result<void> received = made.receive_welcome(Clock::now() + timeout); !received) return received.error();
  return made;
}

Result<void> Handshake::receive_welcome(Clock::time_point end) {
  protocol::FrameReader reader(limits::frame_payload_bytes_max);
  while (true) {
    const Result<std::optional<protocol::Frame>> frame = reader.next();
    if (!frame) return Error{ErrorCode::malformed, "whoever serves this socket is no onced: " + frame.error().text};
    if (frame->has_value()) {
      Result<protocol::Reply> reply = protocol::decode_reply((*frame)->header.type, (*frame)->payload);
      if (!reply) return reply.error();
      if (const auto* refused = std::get_if<protocol::Refused>(&*reply)) return Error{refused->code, refused->text};
      if (auto* welcome = std::get_if<protocol::Welcome>(&*reply)) {
        welcome_ = std::move(*welcome);
        return {};
      }
      return Error{ErrorCode::malformed, "whoever serves this socket does not greet as onced does"};
    }
    if (!wait_readable(socket_, end)) {
      return Error{ErrorCode::timed_out, "the daemon does not answer; is it stopped or overloaded? Its log may say"};
    }
    const std::span<std::byte> room = reader.room();
    iovec part{room.data(), room.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 8)> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket_, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Error{ErrorCode::unavailable, "the daemon closed the connection without a greeting; its log says why"};
    for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
      if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
      const std::size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      const std::size_t before = descriptors_.size();
      descriptors_.resize(before + count);
      std::memcpy(descriptors_.data() + before, CMSG_DATA(head), count * sizeof(int));
    }
    reader.received(static_cast<std::size_t>(got));
  }
}

}  // namespace onced::cli
