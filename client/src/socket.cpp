#include "socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <thread>

namespace onced::client_detail {

namespace {

Error gone(const std::string& what) { return {ErrorCode::unavailable, what}; }
std::string reason(int number) { return std::strerror(number); }

}  // namespace

Result<Socket> Socket::connect(const std::string& path, Deadline deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Error{ErrorCode::invalid_argument, "socket path of " + std::to_string(path.size()) + " bytes > " +
                                                  std::to_string(sizeof(address.sun_path) - 1) + ": " + path};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!descriptor.open()) return gone("cannot make a socket: " + reason(errno));
  for (;;) {
    if (::connect(descriptor.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      // From here on it blocks where no flag says otherwise: receive() waits in the receive itself.
      if (::fcntl(descriptor.number(), F_SETFL, 0) != 0) return gone("cannot set up a socket: " + reason(errno));
      return Socket(std::move(descriptor));
    }
    if (errno == EINTR) continue;
    if (errno == EACCES || errno == EPERM) {
      return Error{ErrorCode::not_permitted, "this user may not connect to " + path + ": " + reason(errno)};
    }
    if (errno != EAGAIN) return gone("no daemon at " + path + ": " + reason(errno));
    // The queue of connections to accept is full, and a Unix socket has no way to wait for room in it.
    if (Clock::now() >= deadline) return gone("the daemon at " + path + " accepts no connections at the moment");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Result<std::size_t> Socket::send_some(std::string_view bytes) {
  for (;;) {
    const ssize_t sent = ::send(descriptor_.number(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EAGAIN || errno == ENOBUFS) return std::size_t{0};
    if (errno != EINTR) return gone("the daemon is gone: " + reason(errno));
  }
}

Result<Socket::Received> Socket::receive_some(std::span<std::byte> room) { return receive_with(room, MSG_DONTWAIT); }

Result<Socket::Received> Socket::receive(std::span<std::byte> room, Deadline deadline) {
  const Clock::duration left = deadline - Clock::now();
  if (left <= Clock::duration::zero()) return receive_some(room);
  if (wait_at_most(left)) return receive_with(room, 0);
  wait_for(descriptor_.number(), POLLIN, deadline);
  return receive_some(room);
}

// Requests have the same few time-outs again and again: most find the socket's as they need it.
bool Socket::wait_at_most(Clock::duration time) {
  if (receive_timeout_ > Clock::duration::zero() && receive_timeout_ >= time / 4 && receive_timeout_ <= time + time / 8) return true;
  const auto microseconds = std::chrono::ceil<std::chrono::microseconds>(time).count();
  const timeval limit{static_cast<time_t>(microseconds / 1'000'000), static_cast<suseconds_t>(microseconds % 1'000'000)};
  if (::setsockopt(descriptor_.number(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0) return false;
  receive_timeout_ = time;
  return true;
}

Result<Socket::Received> Socket::receive_with(std::span<std::byte> room, int flags) {
  // Room for descriptors in every receive: what does not fit, or is not read with its bytes, leaks or is lost.
  alignas(cmsghdr) char control[CMSG_SPACE(descriptors_max * sizeof(int))];
  iovec vector{room.data(), room.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t received = ::recvmsg(descriptor_.number(), &message, flags | MSG_CMSG_CLOEXEC);
  if (received < 0) {
    if (errno == EAGAIN || errno == EINTR) return Received{0, true};
    return gone("the daemon is gone: " + reason(errno));
  }
  std::size_t count = 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t numbers = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < numbers; ++i, ++count) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      received_descriptors_.emplace_back(number);
    }
  }
  if (count > 0 && !descriptors_welcome_) {
    received_descriptors_.clear();
    return Error{ErrorCode::malformed, "the daemon sent a descriptor that nobody asked for"};
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0 || received_descriptors_.size() > descriptors_max) {
    received_descriptors_.clear();
    return Error{ErrorCode::malformed, "descriptors from the daemon were cut off (too many, or this process has none free)"};
  }
  if (received == 0) return gone("the daemon closed the connection");
  return Received{static_cast<std::size_t>(received), false};
}

}  // namespace onced::client_detail
