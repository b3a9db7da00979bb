// Who is at the other end of a connection: what the kernel says, and nothing that the client says.
//
// The process is the one that called connect(); children may hold the socket after it. Its death is seen through
// `process` (readable when it is dead) wherever the kernel gives us one: not across a foreign pid namespace on kernels
// without SO_PEERPIDFD (6.5), where only hang-up tells.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include <onced/protocol/result.hpp>

#include "memory/file_descriptor.hpp"

namespace onced::net {

struct Peer {
  pid_t pid = 0;  // in our pid namespace; 0: not visible from here
  uid_t uid = 0;
  gid_t gid = 0;
  memory::FileDescriptor process;         // a pidfd, or none
  bool already_dead = false;  // the process was gone before we could look
};

// Fails with limit_reached when there is no descriptor left for the pidfd.
Result<Peer> identify(int socket);

// The groups of the peer beside its own one, as they were when it connected. A kernel without SO_PEERGROUPS (before 4.13)
// names none, and nothing else is asked: what /proc says of a process may be another one's by then.
std::vector<gid_t> further_groups(int socket);

// Whether the peer may use the daemon at all: whoever the modes of the socket and its directory have let in may, but for the
// uid that stands for all whom our user namespace does not know. Which namespaces it may use is engine/access.hpp's to say.
Result<void> check_peer(const Peer& peer);

// "pid 4711 (gunicorn)": for logs and error texts. The name is the client's claim; control bytes are escaped.
std::string describe(const Peer& peer, const std::string& client_name);

}  // namespace onced::net
