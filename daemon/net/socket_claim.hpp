// The path that a daemon serves, and the proof that no other one serves it.
//
// A lock on <path>.lock is held from before the path is looked at until the process ends; the kernel frees it however the
// process ends. Under it: a socket file that somebody answers on is never removed (it belongs to a program without our
// lock); one that nobody answers on is the rest of a daemon that died, and goes. Other files are never touched. The lock
// file stays for good: removing it would let two daemons hold two locks of the same name.
//
// Modes are set before listen(), so that nobody gets in early.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

#include <onced/protocol/result.hpp>

#include "memory/file_descriptor.hpp"

namespace onced::net {

struct SocketPath {
  std::filesystem::path path;
  mode_t socket_mode = 0660;
  mode_t directory_mode = 0700;  // of the last directory, when it has to be made; one that is there is left as it is
};

class SocketClaim {
 public:
  // Locks, checks and binds; listen() is the second step. The error says who is in the way ("another onced (pid 17)...").
  static Result<SocketClaim> take(const SocketPath& where);
  SocketClaim(SocketClaim&&) = default;
  SocketClaim& operator=(SocketClaim&&) = delete;
  // Removes the socket's file if it is still ours, then frees the lock.
  ~SocketClaim();

  // From now on clients get in. The descriptor is non-blocking and refuses descriptors where the kernel can do that.
  Result<void> listen();
  // Clients are refused from here on, those that wait to be accepted too; the lock stays.
  void stop_listening();
  int socket() const { return socket_.get(); }
  const std::filesystem::path& path() const { return path_; }
  // Whether the kernel keeps clients from sending us descriptors.
  bool descriptors_refused() const { return descriptors_refused_; }

 private:
  SocketClaim() = default;
  std::filesystem::path path_;
  memory::FileDescriptor lock_;  // declared first: freed last
  memory::FileDescriptor socket_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  bool descriptors_refused_ = false;
};

}  // namespace onced::net
