#include "socket.hpp"

#include <poll.h>
#include <sys/socket.h>
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

// Two system calls, although one that blocks in recvmsg() would do: a reader that sleeps there is also woken when the daemon
// has read what we sent (unix_write_space() wakes every sleeper of the socket, and recvmsg() then sleeps again). poll() is
// woken for its own events only. Measured: 2 to 3 us of a publish that a waiter gets on the same core.
Result<Socket::Received> Socket::receive(std::span<std::byte> room, Deadline deadline) {
  if (Clock::now() < deadline) wait_for(descriptor_.number(), POLLIN, deadline);
  return receive_some(room);
}

Result<Socket::Received> Socket::receive_some(std::span<std::byte> room) {
  // Room for descriptors in every receive: what does not fit, or is not read with its bytes, leaks or is lost.
  alignas(cmsghdr) char control[CMSG_SPACE(descriptors_max * sizeof(int))];
  iovec vector{room.data(), room.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t received = ::recvmsg(descriptor_.number(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) {
    if (errno == EAGAIN || errno == EINTR) return Received{0, true, false};
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
  const bool cut_off = (message.msg_flags & MSG_CTRUNC) != 0;
  if ((count > 0 || cut_off) && !descriptors_welcome_) {
    received_descriptors_.clear();
    return Error{ErrorCode::malformed, "the daemon sent a descriptor that nobody asked for"};
  }
  if ((cut_off && count >= descriptors_max) || received_descriptors_.size() > descriptors_max) {
    received_descriptors_.clear();
    return Error{ErrorCode::malformed, "the daemon sent more descriptors than there is room for"};
  }
  if (received == 0) return gone("the daemon closed the connection");
  // There was room for more of them: the kernel found no free number.
  return Received{static_cast<std::size_t>(received), false, cut_off};
}

}  // namespace onced::client_detail
