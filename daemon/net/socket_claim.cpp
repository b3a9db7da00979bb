#include "net/socket_claim.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

#include "net/socket_io.hpp"

namespace onced::net {
namespace {

constexpr int backlog = 4096;  // the kernel lowers it to net.core.somaxconn

Error failed(std::string_view action, const std::filesystem::path& path, std::string_view hint = {}) {
  const int error = errno;
  std::string text = "cannot " + std::string(action) + " " + path.string() + ": " + std::strerror(error);
  if (!hint.empty()) text += "; " + std::string(hint);
  return Error{error == EACCES || error == EPERM ? ErrorCode::not_permitted : ErrorCode::unavailable, text};
}

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (text.empty()) return Error{ErrorCode::invalid_argument, "the socket's path is empty"};
  if (text.size() >= sizeof(address.sun_path)) {
    return Error{ErrorCode::invalid_argument, "the socket's path has " + std::to_string(text.size()) + " bytes, more than " +
                                                  std::to_string(sizeof(address.sun_path) - 1) + ": " + text};
  }
  std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
  return address;
}

Result<void> prepare_directory(const std::filesystem::path& directory, mode_t mode) {
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0) {
    if (errno != ENOENT) return failed("look at", directory);
    std::error_code error;
    if (directory.has_parent_path()) std::filesystem::create_directories(directory.parent_path(), error);
    if (::mkdir(directory.c_str(), 0700) == 0) {
      if (::chmod(directory.c_str(), mode) != 0) return failed("set the mode of", directory);
    } else if (errno != EEXIST) {  // another start may have made it in this moment
      return failed("make the directory", directory, "make it yourself, or choose another place with --socket");
    }
    if (::stat(directory.c_str(), &status) != 0) return failed("look at", directory);
  }
  if (!S_ISDIR(status.st_mode)) {
    return Error{ErrorCode::invalid_argument, directory.string() + " is not a directory; choose another place with --socket"};
  }
  if ((status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0) {
    return Error{ErrorCode::not_permitted, "anybody can replace files in " + directory.string() +
                                               "; take write permission from others (chmod o-w) or choose another place"};
  }
  return {};
}

std::string holder_of(int lock) {
  char text[32] = {};
  const ssize_t count = ::pread(lock, text, sizeof(text) - 1, 0);
  std::string pid(text, count > 0 ? static_cast<std::size_t>(count) : 0);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  if (pid.empty() || pid.find_first_not_of("0123456789") != std::string::npos) return "another onced";
  return "another onced (pid " + pid + ")";
}

Result<memory::FileDescriptor> lock_beside(const std::filesystem::path& path) {
  const std::filesystem::path lock_path = path.string() + ".lock";
  memory::FileDescriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return failed("open", lock_path);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed("lock", lock_path);
    return Error{ErrorCode::unavailable, holder_of(lock.get()) + " serves " + path.string() +
                                             "; stop it first, or choose another place with --socket"};
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock.get(), 0) != 0 || ::pwrite(lock.get(), pid.data(), pid.size(), 0) < 0) {
    return failed("write to", lock_path);
  }
  return lock;
}

// Leaves the path free, or says who is there.
Result<void> clear_path(const std::filesystem::path& path, const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return failed("look at", path);
  }
  if (!S_ISSOCK(status.st_mode)) {
    return Error{ErrorCode::invalid_argument,
                 path.string() + " is there and is not a socket; remove it, or choose another place with --socket"};
  }
  const memory::FileDescriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe) return failed("open a socket for", path);
  const int connected = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  if (connected != 0 && errno == ECONNREFUSED) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failed("remove the stale socket", path);
    return {};
  }
  if (connected != 0 && errno == ENOENT) return {};
  if (connected != 0 && errno != EAGAIN) return failed("find out who serves", path);
  return Error{ErrorCode::unavailable, "another program serves " + path.string() + "; it does not hold " + path.string() +
                                           ".lock, so it is not this version of onced"};
}

}  // namespace

Result<SocketClaim> SocketClaim::take(const SocketPath& where) {
  std::error_code error;
  SocketClaim claim;
  claim.path_ = std::filesystem::absolute(where.path, error);
  if (error) return Error{ErrorCode::invalid_argument, "no such path: " + where.path.string()};
  const Result<sockaddr_un> address = address_of(claim.path_);
  if (!address) return address.error();
  if (auto prepared = prepare_directory(claim.path_.parent_path(), where.directory_mode); !prepared) return prepared.error();
  Result<memory::FileDescriptor> lock = lock_beside(claim.path_);
  if (!lock) return lock.error();
  claim.lock_ = std::move(*lock);
  if (auto cleared = clear_path(claim.path_, *address); !cleared) return cleared.error();

  memory::FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return failed("open a socket for", claim.path_);
  claim.descriptors_refused_ = refuse_descriptors(socket.get());
  // Closed to all until its mode is set; nobody can connect before listen() anyway.
  const mode_t before = ::umask(0177);
  const int bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address));
  const int bind_error = errno;
  ::umask(before);
  errno = bind_error;
  if (bound != 0) return failed("bind", claim.path_);
  claim.socket_ = std::move(socket);
  struct stat status {};
  if (::lstat(claim.path_.c_str(), &status) != 0) return failed("look at", claim.path_);
  claim.device_ = status.st_dev;
  claim.inode_ = status.st_ino;
  if (::chmod(claim.path_.c_str(), where.socket_mode) != 0) return failed("set the mode of", claim.path_);
  return claim;
}

Result<void> SocketClaim::listen() {
  if (::listen(socket_.get(), backlog) != 0) return failed("listen on", path_);
  return {};
}

void SocketClaim::stop_listening() {
  if (!socket_) return;
  struct stat status {};
  if (::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_) ::unlink(path_.c_str());
  socket_ = {};
}

SocketClaim::~SocketClaim() { stop_listening(); }

}  // namespace onced::net
