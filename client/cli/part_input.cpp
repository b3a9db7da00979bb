#include "part_input.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <onced/protocol/limits.hpp>

#include "output.hpp"
#include "text_format.hpp"

namespace onced::cli {
namespace {

using client_detail::Descriptor;

constexpr std::size_t chunk_bytes = 256 * 1024;

Error cannot_read(const std::string& name) { return {ErrorCode::invalid_argument, "cannot read " + name + ": " + std::strerror(errno)}; }

// Up to `room.size()` bytes; fewer only at the end.
Result<std::size_t> read_some(int descriptor, std::string& room, std::size_t bytes, const std::string& name) {
  std::size_t have = 0;
  while (have < bytes) {
    const ssize_t got = ::read(descriptor, room.data() + have, bytes - have);
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return cannot_read(name);
    have += static_cast<std::size_t>(got);
  }
  return have;
}

// What is left of a file whose size is known; nothing for pipes, devices and files such as those of /proc.
std::uint64_t bytes_left(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  const off_t position = ::lseek(descriptor, 0, SEEK_CUR);
  return position < 0 || position >= status.st_size ? 0 : static_cast<std::uint64_t>(status.st_size - position);
}

}  // namespace

Result<Descriptor> keep_all(int descriptor, const std::string& name, std::uint64_t bytes_max) {
  Descriptor memory(::memfd_create("oncectl-input", MFD_CLOEXEC));
  if (!memory.open()) return Error{ErrorCode::out_of_memory, std::string("memfd_create: ") + std::strerror(errno)};
  std::string chunk(chunk_bytes, '\0');
  std::uint64_t kept = 0;
  while (true) {
    const Result<std::size_t> got = read_some(descriptor, chunk, chunk.size(), name);
    if (!got) return got.error();
    kept += *got;
    if (kept > bytes_max) {
      return Error{ErrorCode::too_large, name + " is larger than a part may be (" + human_bytes(bytes_max) + ")"};
    }
    if (!write_all(memory.number(), std::string_view(chunk).substr(0, *got))) {
      return Error{ErrorCode::out_of_memory, "cannot keep " + name + ": " + std::strerror(errno)};
    }
    if (*got < chunk.size()) break;  // asked once more, a terminal would want a second Ctrl-D
  }
  ::lseek(memory.number(), 0, SEEK_SET);
  return memory;
}

Result<PartInput> PartInput::open(const PartSource& source) {
  const bool standard_input = source.path == "-";
  const std::string name = standard_input ? "standard input" : source.path;
  Descriptor file(standard_input ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : ::open(source.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) return Error{ErrorCode::invalid_argument, "cannot open " + name + ": " + std::strerror(errno)};
  if (const std::uint64_t bytes = bytes_left(file.number()); bytes != 0) return PartInput(source, std::move(file), bytes, false);
  Result<Descriptor> memory = keep_all(file.number(), name, limits::part_bytes_max);
  if (!memory) return memory.error();
  const std::uint64_t bytes = bytes_left(memory->number());
  return PartInput(source, std::move(*memory), bytes, true);
}

std::string PartInput::spoken() const { return source_.path == "-" ? "standard input" : source_.path; }

Result<void> PartInput::add_to(ValueBuilder& builder) {
  if (bytes_ <= limits::value_bytes_max) {
    std::string bytes(static_cast<std::size_t>(bytes_), '\0');
    const Result<std::size_t> got = read_some(descriptor_.number(), bytes, bytes.size(), spoken());
    if (!got) return got.error();
    bytes.resize(*got);
    return builder.add(source_.name, std::string_view(bytes), source_.content_type);
  }
  const Result<int> memory = builder.reserve_descriptor(source_.name, bytes_, source_.content_type);
  if (!memory) return memory.error();
  const Result<std::uint64_t> copied = copy_to(*memory);
  if (!copied) return copied.error();
  return *copied == bytes_ ? Result<void>() : builder.set_size(source_.name, *copied);
}

Result<std::uint64_t> PartInput::copy_to(int memory) {
  std::string chunk(chunk_bytes, '\0');
  std::uint64_t copied = 0;
  while (copied < bytes_) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), bytes_ - copied));
    const Result<std::size_t> got = read_some(descriptor_.number(), chunk, wanted, spoken());
    if (!got) return got.error();
    if (*got == 0) break;
    if (!write_all(memory, std::string_view(chunk).substr(0, *got))) {
      return Error{ErrorCode::out_of_memory, "cannot copy " + spoken() + ": " + std::strerror(errno)};
    }
    // Or there would be two of it at the end.
    if (kept_) {
      ::fallocate(descriptor_.number(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(copied), static_cast<off_t>(*got));
    }
    copied += *got;
  }
  return copied;
}

}  // namespace onced::cli
