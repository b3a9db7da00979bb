#include "doctor_daemons.hpp"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <system_error>

namespace onced::cli {
namespace {

namespace fs = std::filesystem;

// Listening sockets by inode, from lines "Num RefCount Protocol Flags Type St Inode Path" (proc(5)).
std::map<std::string, std::string> listening_sockets() {
  constexpr const char* accepts_connections = "00010000";
  std::map<std::string, std::string> sockets;
  std::ifstream in("/proc/net/unix");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string number, references, protocol, flags, type, state, inode, path;
    if (!(words >> number >> references >> protocol >> flags >> type >> state >> inode >> std::ws)) continue;
    std::getline(words, path);
    if (flags == accepts_connections && path.starts_with("/")) sockets["socket:[" + inode + "]"] = path;
  }
  return sockets;
}

bool is_daemon(const fs::path& process) {
  std::ifstream in(process / "comm");
  std::string name;
  return std::getline(in, name) && name == "onced";
}

}  // namespace

std::vector<ServingDaemon> serving_daemons() {
  std::vector<ServingDaemon> daemons;
  const std::map<std::string, std::string> sockets = listening_sockets();
  std::error_code ignored;  // processes come and go while we look
  for (const fs::directory_entry& process : fs::directory_iterator("/proc", ignored)) {
    const std::string name = process.path().filename().string();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc() || !is_daemon(process.path())) continue;
    std::error_code hidden;
    fs::directory_iterator descriptors(process.path() / "fd", hidden);
    for (; !hidden && descriptors != fs::directory_iterator(); descriptors.increment(hidden)) {
      const auto socket = sockets.find(fs::read_symlink(descriptors->path(), ignored).string());
      if (socket != sockets.end()) daemons.push_back({pid, socket->second});
    }
  }
  return daemons;
}

}  // namespace onced::cli
