// Memory of this process: mappings, and bytes that are aligned like those in shared memory.
//
// Ownership: each is freed once, by whoever holds it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <onced/protocol/result.hpp>

#include "descriptor.hpp"

namespace onced::client_detail {

// A mapping that is unmapped once.
class Mapping {
 public:
  Mapping() = default;
  Mapping(void* address, std::size_t bytes) : address_(address), bytes_(bytes) {}
  Mapping(Mapping&& other) noexcept : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping();
  // Gives it up without unmapping it: it is not there (a child, MADV_DONTFORK).
  void abandon() { address_ = nullptr; }
  void* address() const { return address_; }
  std::size_t bytes() const { return bytes_; }
  std::span<const std::byte> span() const { return {static_cast<const std::byte*>(address_), bytes_}; }
  std::span<std::byte> writable() const { return {static_cast<std::byte*>(address_), bytes_}; }

 private:
  void* address_ = nullptr;
  std::size_t bytes_ = 0;
};

// Checks that `descriptor` is memory of this size with these seals (and maybe others: newer kernels add some). `name` is
// for the error, `malformed`.
Result<void> check_sealed(const Descriptor& descriptor, const std::string& name, int seals, std::uint64_t bytes);
// Checks that `descriptor` is a file of this size that cannot be written by it, and that belongs to the user who owns `segment` and to nobody
// else: the daemon's user, who is trusted not to cut it. `malformed` otherwise.
Result<void> check_file(const Descriptor& descriptor, const std::string& name, std::uint64_t bytes, std::uint32_t owner);
// Of what it is open on.
Result<std::uint32_t> owner_of(const Descriptor& descriptor, const std::string& name);
// mmap(); errors: out_of_memory. No bytes: an empty mapping.
Result<Mapping> map(const Descriptor& descriptor, const std::string& name, std::uint64_t bytes, int protection, int flags);

// Zeroed memory of this process alone, aligned to 64 bytes: on the heap when small, else a mapping that uses no memory
// before it is touched; or what was mapped in another way.
class PrivateMemory {
 public:
  PrivateMemory() = default;
  // Errors: out_of_memory.
  static Result<PrivateMemory> make(std::uint64_t bytes);
  static Result<PrivateMemory> copy_of(std::span<const std::byte> bytes);
  explicit PrivateMemory(Mapping mapping) : mapping_(std::move(mapping)), bytes_(mapping_.writable()) {}
  PrivateMemory(PrivateMemory&& other) noexcept
      : mapping_(std::move(other.mapping_)), on_heap_(std::exchange(other.on_heap_, nullptr)), bytes_(std::exchange(other.bytes_, {})) {}
  PrivateMemory& operator=(PrivateMemory&& other) noexcept {
    std::swap(mapping_, other.mapping_);
    std::swap(on_heap_, other.on_heap_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~PrivateMemory();
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  Mapping mapping_;
  void* on_heap_ = nullptr;
  std::span<std::byte> bytes_;
};

}  // namespace onced::client_detail
