#include "mapping.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <new>

#include <onced/protocol/segment.hpp>

#include "errors.hpp"

namespace onced::client_detail {

namespace {

// Above it, memory that nobody has touched yet is worth a system call.
constexpr std::uint64_t heap_bytes_max = 256 * 1024;

Error cannot_map(const std::string& name, std::uint64_t bytes) {
  return {ErrorCode::out_of_memory, name + ": cannot map " + std::to_string(bytes) + " bytes: " + std::strerror(errno)};
}

std::string names_of_seals(int seals) {
  constexpr std::pair<int, const char*> known[] = {{F_SEAL_SHRINK, "shrinking"},
                                                   {F_SEAL_GROW, "growing"},
                                                   {F_SEAL_WRITE, "writing"},
                                                   {F_SEAL_FUTURE_WRITE, "writing through new mappings"},
                                                   {F_SEAL_SEAL, "further seals"}};
  std::string names;
  for (const auto& [seal, name] : known) {
    if ((seals & seal) != 0) names += (names.empty() ? "" : ", ") + std::string(name);
  }
  return names;
}

}  // namespace

Mapping::~Mapping() {
  if (address_ != nullptr) munmap(address_, bytes_);
}

Result<void> check_sealed(const Descriptor& descriptor, const std::string& name, int seals, std::uint64_t bytes) {
  const int present = fcntl(descriptor.number(), F_GET_SEALS);
  if (present < 0) return malformed(name + ": is no memory that can be sealed: " + std::strerror(errno));
  if ((present & seals) != seals) return malformed(name + ": not sealed against " + names_of_seals(seals & ~present));
  struct stat status{};
  if (fstat(descriptor.number(), &status) != 0) return malformed(name + ": " + std::strerror(errno));
  if (static_cast<std::uint64_t>(status.st_size) != bytes) {
    return malformed(name + ": " + std::to_string(status.st_size) + " bytes, the daemon says " + std::to_string(bytes));
  }
  return {};
}

Result<void> check_file(const Descriptor& descriptor, const std::string& name, std::uint64_t bytes, std::uint32_t owner) {
  struct stat status{};
  const int flags = fcntl(descriptor.number(), F_GETFL);
  if (flags < 0 || fstat(descriptor.number(), &status) != 0) return malformed(name + ": " + std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return malformed(name + ": the daemon says that it is a file, and it is none");
  if ((flags & O_ACCMODE) != O_RDONLY) return malformed(name + ": a file that could be written by its descriptor");
  if (status.st_uid != owner) {
    return malformed(name + ": a file of uid " + std::to_string(status.st_uid) + ", the daemon's memory belongs to uid " + std::to_string(owner));
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) return malformed(name + ": a file that others than its owner may write");
  if (static_cast<std::uint64_t>(status.st_size) != bytes) {
    return malformed(name + ": " + std::to_string(status.st_size) + " bytes, the daemon says " + std::to_string(bytes));
  }
  return {};
}

Result<std::uint32_t> owner_of(const Descriptor& descriptor, const std::string& name) {
  struct stat status{};
  if (fstat(descriptor.number(), &status) != 0) return malformed(name + ": " + std::strerror(errno));
  return std::uint32_t{status.st_uid};
}

Result<Mapping> map(const Descriptor& descriptor, const std::string& name, std::uint64_t bytes, int protection, int flags) {
  if (bytes == 0) return Mapping();
  void* const address = mmap(nullptr, bytes, protection, flags, descriptor.number(), 0);
  if (address == MAP_FAILED) return cannot_map(name, bytes);
  return Mapping(address, bytes);
}

Result<PrivateMemory> PrivateMemory::make(std::uint64_t bytes) {
  if (bytes > heap_bytes_max) {
    auto mapping = map(Descriptor(), "memory of this process", bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    if (!mapping) return mapping.error();
    return PrivateMemory(std::move(*mapping));
  }
  PrivateMemory memory;
  if (bytes == 0) return memory;
  memory.on_heap_ = ::operator new(bytes, std::align_val_t(protocol::value_alignment), std::nothrow);
  if (memory.on_heap_ == nullptr) return Error{ErrorCode::out_of_memory, "no memory for " + std::to_string(bytes) + " bytes"};
  std::memset(memory.on_heap_, 0, bytes);
  memory.bytes_ = {static_cast<std::byte*>(memory.on_heap_), bytes};
  return memory;
}

Result<PrivateMemory> PrivateMemory::copy_of(std::span<const std::byte> bytes) {
  auto memory = make(bytes.size());
  if (memory.ok() && !bytes.empty()) std::memcpy(memory->bytes().data(), bytes.data(), bytes.size());
  return memory;
}

PrivateMemory::~PrivateMemory() {
  if (on_heap_ != nullptr) ::operator delete(on_heap_, std::align_val_t(protocol::value_alignment));
}

}  // namespace onced::client_detail
