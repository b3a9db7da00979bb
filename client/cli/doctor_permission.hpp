// Why this user may not come to a socket, and who could change that.
#pragma once

#include <optional>
#include <string>

namespace onced::cli {

struct PermissionProblem {
  std::string text;    // what stops: the socket or a directory above it, with its owner, group and mode
  std::string remedy;  // what this user can do about it
};

// The first of the directories above the socket that may not be searched, or the socket that may not be written to. Nothing: this user may.
std::optional<PermissionProblem> permission_problem(const std::string& path);

// The same in words.
PermissionProblem permission_words(const std::string& path, bool directory, const std::string& owner, const std::string& group, unsigned mode);

}  // namespace onced::cli
