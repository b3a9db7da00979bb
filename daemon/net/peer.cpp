#include "net/peer.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <onced/protocol/escape.hpp>

#include "engine/access.hpp"

namespace onced::net {
namespace {

constexpr int so_peerpidfd = 77;    // SO_PEERPIDFD, Linux 6.5; not in the headers of older systems
constexpr int so_peergroups = 59;   // SO_PEERGROUPS, Linux 4.13; likewise
constexpr std::size_t groups_first = 64;
constexpr std::size_t groups_max = 65536;  // NGROUPS_MAX of the kernel

Error no_descriptor() {
  return Error{ErrorCode::limit_reached,
               "the daemon has no descriptor left for another connection; raise LimitNOFILE of its service"};
}

bool exhausted(int error) { return error == EMFILE || error == ENFILE || error == ENOMEM; }

// Between connect() and pidfd_open() the process may have died and its number may name another one by now. The other
// one would have to run under the same uid, and then it is no stranger.
bool still_the_same(const Peer& peer) {
  struct stat status {};
  const std::string path = "/proc/" + std::to_string(peer.pid);
  if (::stat(path.c_str(), &status) != 0) return errno == EACCES || errno == EPERM || errno == ENOENT;
  return status.st_uid == peer.uid || status.st_uid == 0;  // root owns the directory of a process that is not dumpable
}

}  // namespace

Result<Peer> identify(int socket) {
  ucred credentials{};
  socklen_t length = sizeof(credentials);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return Error{ErrorCode::internal, std::string("cannot tell who connected: ") + std::strerror(errno)};
  }
  Peer peer;
  peer.pid = credentials.pid;
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;

  int process = -1;
  length = sizeof(process);
  if (::getsockopt(socket, SOL_SOCKET, so_peerpidfd, &process, &length) == 0) {
    peer.process = memory::FileDescriptor(process);
    return peer;
  }
  if (exhausted(errno)) return no_descriptor();
  if (errno == ESRCH) {
    peer.already_dead = true;
    return peer;
  }
  if (peer.pid <= 0) return peer;
  process = static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0));
  if (process < 0) {
    if (exhausted(errno)) return no_descriptor();
    peer.already_dead = errno == ESRCH;
    return peer;
  }
  peer.process = memory::FileDescriptor(process);
  if (!still_the_same(peer)) {
    peer.process = {};
    peer.already_dead = true;
  }
  return peer;
}

std::vector<gid_t> further_groups(int socket) {
  std::vector<gid_t> groups(groups_first);
  for (;;) {
    socklen_t length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (::getsockopt(socket, SOL_SOCKET, so_peergroups, groups.data(), &length) == 0) {
      groups.resize(length / sizeof(gid_t));
      return groups;
    }
    const std::size_t wanted = length / sizeof(gid_t);
    if (errno != ERANGE || wanted <= groups.size() || wanted > groups_max) return {};
    groups.resize(wanted);
  }
}

Result<void> check_peer(const Peer& peer) {
  if (peer.uid == engine::unmapped_uid) {
    return Error{ErrorCode::not_permitted, "uid 65534 stands for users that this daemon cannot tell apart; connect as a "
                                           "user of the daemon's own user namespace"};
  }
  return {};
}

std::string describe(const Peer& peer, const std::string& client_name) {
  std::string text = peer.pid > 0 ? "pid " + std::to_string(peer.pid) : std::string("a process of another pid namespace");
  if (client_name.empty()) return text;
  return text + " (" + protocol::escape_controls(client_name) + ")";
}

}  // namespace onced::net
