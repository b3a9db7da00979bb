// A new anonymous file in memory.
#pragma once

#include <sys/mman.h>

#include <cerrno>

#include "memory/file_descriptor.hpp"

// Since Linux 6.3; older headers do not have it.
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace onced::memory {

// Empty, sealable, closed on exec. Not executable where the kernel knows the flag; a plain memfd elsewhere. `name` is shown
// in /proc/<pid>/maps. Without a descriptor errno says why.
inline FileDescriptor create_memfd(const char* name) {
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  FileDescriptor descriptor(::memfd_create(name, flags | MFD_NOEXEC_SEAL));
  if (!descriptor && errno == EINVAL) descriptor = FileDescriptor(::memfd_create(name, flags));
  return descriptor;
}

}  // namespace onced::memory
