#include "input_files.hpp"

#include <algorithm>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace onced::demo {
namespace {

namespace fs = std::filesystem;

// Appends a file's content to `content` after clearing it; false when it cannot be read.
bool read_file(const fs::path& path, std::string& content) {
  content.clear();
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return false;
  constexpr std::size_t chunk = 256 * 1024;
  ssize_t got = 0;
  do {
    const std::size_t before = content.size();
    content.resize(before + chunk);
    got = ::read(file, content.data() + before, chunk);
    content.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  } while (got > 0);
  ::close(file);
  return got == 0;
}

}  // namespace

InputFiles find_files(const fs::path& directory) {
  InputFiles input{directory, {}};
  std::error_code error;
  fs::recursive_directory_iterator entries(directory, fs::directory_options::skip_permission_denied, error);
  if (error) throw std::runtime_error("cannot read " + directory.string() + ": " + error.message());
  for (; entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    if (error) break;
    std::error_code ignored;
    if (entries->symlink_status(ignored).type() == fs::file_type::regular) input.files.push_back(entries->path());
  }
  if (input.files.empty()) throw std::runtime_error("there is no file below " + directory.string());
  std::sort(input.files.begin(), input.files.end());
  return input;
}

fs::path default_directory() {
  for (const char* candidate : {"/usr/include", "/usr/local/include"}) {
    std::error_code ignored;
    if (fs::is_directory(candidate, ignored)) return candidate;
  }
  return ".";
}

Analysis analyze(const InputFiles& input, const std::function<void(std::size_t)>& progress) {
  Analyzer analyzer;
  std::string content;
  // Often enough to be seen half-way when there are few files, seldom enough to cost nothing when there are many.
  const std::size_t step = std::clamp<std::size_t>(input.files.size() / 64, 1, 64);
  for (std::size_t done = 0; done < input.files.size(); ++done) {
    if (done % step == 0) progress(done);
    if (!read_file(input.files[done], content)) continue;
    analyzer.add(input.files[done].lexically_relative(input.directory).string(), content);
  }
  progress(input.files.size());
  return analyzer.finish();
}

std::uint64_t read_all(const InputFiles& input) {
  std::uint64_t bytes = 0;
  std::string content;
  for (const fs::path& path : input.files) {
    if (read_file(path, content)) bytes += content.size();
  }
  return bytes;
}

}  // namespace onced::demo
