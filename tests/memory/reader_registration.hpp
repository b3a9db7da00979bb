// Registers this process for the barrier of memory/reader_barrier.hpp, as a client does before it claims pins without a fence.
#pragma once

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace onced::test {

// False: the kernel does not offer it, and LineUse::exclusive_fenced must not be used.
inline bool register_reader() {
  return ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0U, 0) == 0;
}

}  // namespace onced::test
