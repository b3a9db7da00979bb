// Both ends of a stream, and descriptors sent through it as a hostile client would.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace onced::testing {

struct SocketPair {
  int ours = -1;
  int theirs = -1;
  SocketPair() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
      throw std::system_error(errno, std::generic_category(), "socketpair");
    }
    ours = ends[0];
    theirs = ends[1];
  }
  ~SocketPair() {
    close_ours();
    close_theirs();
  }
  void close_ours() {
    if (ours >= 0) ::close(ours);
    ours = -1;
  }
  void close_theirs() {
    if (theirs >= 0) ::close(theirs);
    theirs = -1;
  }

  void send(std::string_view bytes, const std::vector<int>& descriptors = {}) const {
    iovec vector{const_cast<char*>(bytes.data()), bytes.size()};
    std::vector<char> control(CMSG_SPACE(descriptors.size() * sizeof(int)) + 1);
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
      std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size() * sizeof(int));
    }
    if (::sendmsg(theirs, &message, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
      throw std::system_error(errno, std::generic_category(), "sendmsg");
    }
  }
};

inline bool is_open(int descriptor) {
  char byte = 0;
  return ::read(descriptor, &byte, 0) >= 0 || errno != EBADF;
}

}  // namespace onced::testing
