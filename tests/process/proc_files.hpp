// What the kernel says of a process.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>

namespace onced::testing {

// Anonymous memory that it has in use.
inline std::size_t memory_in_use(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  std::size_t kilobytes = 0;
  for (std::string word; in >> word;)
    if (word == "RssAnon:" && in >> kilobytes) break;
  return kilobytes * 1024;
}

inline std::size_t open_descriptors(pid_t pid) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) ++count;
  return count;
}

}  // namespace onced::testing
