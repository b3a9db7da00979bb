#include "net/socket_io.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include <onced/protocol/result.hpp>

namespace onced::net {
namespace {

constexpr std::size_t descriptors_received_max = 253;  // SCM_MAX_FD: the most that one message can carry
constexpr int so_passrights = 83;                      // SO_PASSRIGHTS; not in the headers of older systems

}  // namespace

Received receive(int socket, std::span<std::byte> room) {
  iovec vector{room.data(), room.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(descriptors_received_max * sizeof(int))];
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t count = 0;
  do {
    count = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_NOSIGNAL);
  } while (count < 0 && errno == EINTR);

  Received result;
  if (count < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return result;
    result.kind = Received::Kind::broken;
    result.error = errno;
    return result;
  }
  result.bytes = static_cast<std::size_t>(count);
  result.kind = count == 0 ? Received::Kind::ended : Received::Kind::bytes;
  if (message.msg_controllen == 0) [[likely]] return result;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t numbers = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < numbers; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      result.descriptors.push_back(descriptor);
    }
    result.kind = Received::Kind::descriptors;
  }
  return result;
}

Sent send(int socket, std::span<const std::byte> bytes, std::span<const int> descriptors) {
  ONCED_ASSERT(descriptors.size() <= descriptors_per_message_max);
  iovec vector{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(descriptors_per_message_max * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  ssize_t count = 0;
  do {
    count = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (count < 0 && errno == EINTR);

  Sent result;
  if (count >= 0) {
    result.kind = Sent::Kind::bytes;
    result.bytes = static_cast<std::size_t>(count);
  } else if (errno == ETOOMANYREFS) {
    result.kind = Sent::Kind::too_many_descriptors;
    result.error = errno;
  } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
    result.kind = Sent::Kind::broken;
    result.error = errno;
  }
  return result;
}

bool hung_up(int socket) {
  pollfd state{socket, 0, 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & POLLHUP) != 0;
}

bool refuse_descriptors(int socket) {
  const int off = 0;
  return ::setsockopt(socket, SOL_SOCKET, so_passrights, &off, sizeof(off)) == 0;
}

}  // namespace onced::net
