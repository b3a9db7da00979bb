// The demo's input: files below a directory, in a fixed order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "text_analysis.hpp"

namespace onced::demo {

struct InputFiles {
  std::filesystem::path directory;
  std::vector<std::filesystem::path> files;  // regular files, sorted; symbolic links are not followed
};

// Throws std::runtime_error when the directory cannot be read or holds no file.
InputFiles find_files(const std::filesystem::path& directory);

// The directory of C and C++ headers that this machine has.
std::filesystem::path default_directory();

// Reads and analyses every file. `progress` is told the number of files done, now and then and at the end; files that
// vanish or cannot be read are skipped. Throws what `progress` throws.
Analysis analyze(const InputFiles& input, const std::function<void(std::size_t files_done)>& progress);

// Reads every file once, so that whoever comes later finds them in the page cache. Returns the bytes.
std::uint64_t read_all(const InputFiles& input);

}  // namespace onced::demo
