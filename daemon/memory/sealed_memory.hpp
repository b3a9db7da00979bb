// Anonymous memory that is shared by passing its descriptor, and sealed against what a receiver might do to it.
//
//   segment   mapped writable here, then sealed SHRINK|GROW|FUTURE_WRITE|SEAL: nobody, not even this process, can get
//             another way to write to it
//   pin page  sealed SHRINK|GROW|SEAL: its client writes to it too
//
// The file is sparse: memory is used as pages are touched. Nothing is preallocated (fallocate beyond a memory cgroup's
// limit kills the process instead of failing). It is left out of core files. Newer kernels may add seals of their own; compare with a mask.
//
// Ownership: descriptor and mapping; both go with the object. Receivers' mappings live on.
// Errors:    what the kernel refuses, with its reason. Boost's exceptions end in sealed_memory.cpp.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include <onced/protocol/result.hpp>

#include "memory/file_descriptor.hpp"

namespace boost::interprocess {
class mapped_region;
}

namespace onced::memory {

class SealedMemory {
 public:
  enum class Use { segment, pin_page };

  // Zeroed. `name` is shown in /proc/<pid>/maps. `bytes` is rounded up to whole pages of 4096.
  static Result<SealedMemory> create(const char* name, std::size_t bytes, Use use);
  SealedMemory(SealedMemory&&) noexcept;
  SealedMemory& operator=(SealedMemory&&) noexcept;
  ~SealedMemory();

  std::span<std::byte> bytes() const;
  // To be passed to clients. Stays ours.
  int descriptor() const { return descriptor_.get(); }

  // The seals that memory of this use must have, for F_GET_SEALS & mask == mask.
  static int seals(Use use);

 private:
  SealedMemory(FileDescriptor descriptor, std::unique_ptr<boost::interprocess::mapped_region> mapping);

  FileDescriptor descriptor_;
  std::unique_ptr<boost::interprocess::mapped_region> mapping_;
};

}  // namespace onced::memory
