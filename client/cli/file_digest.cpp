#include "file_digest.hpp"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "descriptor.hpp"

namespace onced::cli {

using client_detail::Descriptor;

Result<ContentDigest> digest_of_descriptor(int descriptor) {
  constexpr std::size_t read_bytes = 256 * 1024;
  ContentHasher hasher;
  std::vector<std::byte> buffer(read_bytes);
  while (true) {
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got == 0) return hasher.finish();
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{ErrorCode::invalid_argument, std::string("cannot be read: ") + std::strerror(errno)};
    hasher.update(std::span(buffer).first(static_cast<std::size_t>(got)));
  }
}

Result<ContentDigest> digest_of_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) return Error{ErrorCode::invalid_argument, path + " cannot be opened: " + std::strerror(errno)};
  Result<ContentDigest> digest = digest_of_descriptor(file.number());
  if (!digest) return Error{ErrorCode::invalid_argument, path + " " + digest.error().text};
  return digest;
}

}  // namespace onced::cli
