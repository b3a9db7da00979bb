#include "doctor_handshake.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include <poll.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <onced/protocol/frame.hpp>
#include <onced/protocol/limits.hpp>

namespace onced::cli {
namespace {

using Clock = std::chrono::steady_clock;

NoHandshake cannot_connect(const std::string& path) {
  const std::string start = "`onced --socket " + path + "`";
  const std::string what = "cannot connect: " + std::string(std::strerror(errno));
  switch (errno) {
    case ENOENT: return {ErrorCode::unavailable, what, "start one: " + start};
    case ECONNREFUSED:
      return {ErrorCode::unavailable, "the socket is left over from a daemon that has gone, nobody serves it", "start it again with the configuration that it had: " + start + " and what else it was given"};
    case EACCES:
    case EPERM: return {ErrorCode::not_permitted, "this user may not connect", "join the group that owns the socket"};
    case EAGAIN: return {ErrorCode::unavailable, "accepts no connections: too many wait already", "its log may say why; restart it"};
    default: return {ErrorCode::unavailable, what, "its log may say why"};
  }
}

// "1234 (name) T ...", proc(5); '?' when it cannot be read.
char state_of_process(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(in, line);
  const std::size_t name_end = line.rfind(") ");  // a name may hold anything
  return name_end == std::string::npos || name_end + 2 >= line.size() ? '?' : line[name_end + 2];
}

bool wait_readable(int socket, Clock::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
  pollfd readable{socket, POLLIN, 0};
  return left > 0 && ::poll(&readable, 1, static_cast<int>(left)) > 0;
}

}  // namespace

std::string remedy_for(ErrorCode code) {
  switch (code) {
    case ErrorCode::version_mismatch: return "install oncectl and onced of the same version and restart the daemon";
    case ErrorCode::not_permitted: return "ask for this user in the daemon's configuration";
    case ErrorCode::limit_reached: return "end clients that are not needed, or raise the limit in the daemon's configuration";
    default: return "its log may say more";
  }
}

Handshake::Handshake(Handshake&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)),
      peer_(other.peer_),
      welcome_(std::move(other.welcome_)),
      descriptors_(std::exchange(other.descriptors_, {})) {}

Handshake::~Handshake() {
  for (const int descriptor : descriptors_) ::close(descriptor);
  if (socket_ >= 0) ::close(socket_);
}

std::variant<Handshake, NoHandshake> Handshake::make(const std::string& socket_path, const std::string& namespace_name,
                                                     std::chrono::milliseconds timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(address.sun_path)) {
    return NoHandshake{ErrorCode::invalid_argument,
                       "the socket's path is longer than " + std::to_string(sizeof(address.sun_path) - 1) + " bytes", "choose a shorter one"};
  }
  socket_path.copy(address.sun_path, socket_path.size());
  Handshake made;
  made.socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (made.socket_ < 0) {
    return NoHandshake{ErrorCode::limit_reached, std::string("cannot make a socket: ") + std::strerror(errno), "ulimit -n 1024"};
  }
  // A queue of connections that nobody accepts must not hold us for ever.
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
  const timeval patience{seconds.count(), std::chrono::microseconds(timeout - seconds).count()};
  ::setsockopt(made.socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  if (::connect(made.socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return cannot_connect(socket_path);
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
    return NoHandshake{ErrorCode::unavailable, std::string("does not listen: ") + std::strerror(errno), "its log may say why"};
  }
  if (auto failed = made.receive_welcome(Clock::now() + timeout)) return std::move(*failed);
  return made;
}

NoHandshake Handshake::silent() const {
  const std::string who = "pid " + std::to_string(peer_.pid);
  if (state_of_process(peer_.pid) == 'T') {
    return {ErrorCode::unavailable, who + " does not answer: it was stopped", "kill -CONT " + std::to_string(peer_.pid)};
  }
  return {ErrorCode::unavailable, who + " does not answer: it is overloaded or stuck", "its log may say why; restart it"};
}

std::optional<NoHandshake> Handshake::receive_welcome(Clock::time_point end) {
  protocol::FrameReader reader(limits::frame_payload_bytes_max);
  while (true) {
    const Result<std::optional<protocol::Frame>> frame = reader.next();
    const std::string other = "stop what serves this socket, or name onced's with --socket or ONCED_SOCKET";
    if (!frame) return NoHandshake{ErrorCode::malformed, "whoever serves this socket is no onced: " + frame.error().text, other};
    if (frame->has_value()) {
      Result<protocol::Reply> reply = protocol::decode_reply((*frame)->header.type, (*frame)->payload);
      if (!reply) return NoHandshake{reply.error().code, reply.error().text, other};
      if (const auto* refused = std::get_if<protocol::Refused>(&*reply)) {
        return NoHandshake{refused->code, refused->text, remedy_for(refused->code)};
      }
      if (auto* welcome = std::get_if<protocol::Welcome>(&*reply)) {
        welcome_ = std::move(*welcome);
        return std::nullopt;
      }
      return NoHandshake{ErrorCode::malformed, "whoever serves this socket does not greet as onced does", other};
    }
    if (!wait_readable(socket_, end)) return silent();
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
    if (got <= 0) return NoHandshake{ErrorCode::unavailable, "closed the connection without a greeting", "its log says why"};
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
