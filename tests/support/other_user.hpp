// Runs something as another user: in a child that gives up root for good. For tests that run as root.
#pragma once

#include <grp.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace onced::testing {

struct OtherUser {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups{};
};

inline bool can_be_other_users() { return ::geteuid() == 0; }

// In the child itself. Throws when the kernel does not let it.
inline void become(const OtherUser& user) {
  if (::setgroups(user.groups.size(), user.groups.data()) != 0 || ::setresgid(user.gid, user.gid, user.gid) != 0 ||
      ::setresuid(user.uid, user.uid, user.uid) != 0) {
    throw std::system_error(errno, std::generic_category(), "become uid " + std::to_string(user.uid));
  }
}

// What `work` returns there; what it throws is thrown here.
template <typename Work>
std::string as_user(const OtherUser& user, Work&& work) {
  int pipe[2];
  if (::pipe(pipe) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    ::close(pipe[0]);
    int status = 0;
    std::string text;
    try {
      become(user);
      text = work();
    } catch (const std::exception& error) {
      text = error.what();
      status = 1;
    }
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t count = ::write(pipe[1], text.data() + at, text.size() - at);
      if (count <= 0) break;
      at += static_cast<std::size_t>(count);
    }
    ::_exit(status);
  }
  ::close(pipe[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t count = 0; (count = ::read(pipe[0], buffer, sizeof(buffer))) > 0;) text.append(buffer, static_cast<std::size_t>(count));
  ::close(pipe[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("as uid " + std::to_string(user.uid) + ": " + text);
  return text;
}

}  // namespace onced::testing
