#include "doctor_permission.hpp"

#include <cerrno>
#include <filesystem>
#include <system_error>

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text_format.hpp"

namespace onced::cli {
namespace {

std::string user_name(uid_t uid) {
  const passwd* entry = ::getpwuid(uid);  // one thread
  return entry != nullptr ? entry->pw_name : std::to_string(uid);
}

std::string group_name(gid_t gid) {
  const group* entry = ::getgrgid(gid);
  return entry != nullptr ? entry->gr_name : std::to_string(gid);
}

bool refused(const std::string& path, int how) { return ::access(path.c_str(), how) != 0 && errno == EACCES; }

PermissionProblem problem_of(const std::string& path, bool directory) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return {path + " cannot be looked at", "ask who runs the daemon"};
  return permission_words(path, directory, user_name(status.st_uid), group_name(status.st_gid), status.st_mode);
}

}  // namespace

PermissionProblem permission_words(const std::string& path, bool directory, const std::string& owner, const std::string& group, unsigned mode) {
  const std::string text = std::string(directory ? "this user may not enter " : "this user may not connect to ") + path + ": owner " + owner + ", group " +
                           group + ", mode " + octal_mode(mode);
  const bool group_may = (mode & (directory ? S_IXGRP : S_IWGRP)) != 0;
  const std::string as_owner = "run this as its owner (`sudo -u " + owner + " oncectl ...`)";
  if (group_may) return {text, "join the group (`sudo usermod -aG " + group + " USER`, then log in again), " + as_owner + ", or ask who runs the daemon"};
  return {text, as_owner + ", or ask who runs the daemon to open it" + (directory ? "" : " (its setting socket_mode)")};
}

std::optional<PermissionProblem> permission_problem(const std::string& path) {
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::absolute(path, error);
  std::filesystem::path above;
  for (const std::filesystem::path& part : whole.parent_path()) {
    above /= part;
    if (refused(above.string(), X_OK)) return problem_of(above.string(), true);
  }
  if (refused(path, W_OK)) return problem_of(path, false);
  return std::nullopt;
}

}  // namespace onced::cli
