// The directions of dependence (ARCHITECTURE.md) as data, and the check of a source tree against them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace onced::testing {

struct Room {
  std::string path;                        // of a directory or file below the project's root
  std::vector<std::string> may_include;    // beginnings of project and third-party headers; the standard library is free
  std::vector<std::string> must_not_include;  // whole names or, ending in "/", beginnings
  std::vector<std::string> must_not_say;      // words of code
  std::vector<std::string> neighbours;        // directories whose headers it may include by bare name, beside its own
};

// The most special room comes first: a file belongs to the first whose path it lies below.
const std::vector<Room>& rooms();

// What is wrong with one file, one sentence with file and line each. `path` is relative to the root.
std::vector<std::string> violations_of(const std::filesystem::path& root, const std::string& path, std::string_view source);

// Of every C++ file below protocol/, daemon/ and client/; `files` counts them.
std::vector<std::string> violations_below(const std::filesystem::path& root, std::size_t& files);

}  // namespace onced::testing
