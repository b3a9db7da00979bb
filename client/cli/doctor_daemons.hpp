// Which daemons serve this machine (this mount and network namespace), whatever socket the client was told to use: for
// somebody who started one of their own and asks at another door.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace onced::cli {

struct ServingDaemon {
  pid_t pid = 0;
  std::string socket;
};

// Programs named onced that listen at a Unix socket with a path; only those whose descriptors this user may look at.
std::vector<ServingDaemon> serving_daemons();

}  // namespace onced::cli
