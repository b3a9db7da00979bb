#include "memory/reader_barrier.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace onced::memory {

namespace {

long membarrier(int command) {
  return ::syscall(SYS_membarrier, command, 0U, 0);
}

// Going on without it would let readers read reused memory.
void barrier_or_end() {
  if (membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0) [[likely]] return;
  std::fprintf(stderr, "onced: membarrier(GLOBAL_EXPEDITED) worked when the daemon started and fails now: %s; readers rely on it\n",
               std::strerror(errno));
  std::abort();
}

}  // namespace

ReaderBarrier kernel_reader_barrier() {
  const long commands = membarrier(MEMBARRIER_CMD_QUERY);
  if (commands < 0 || (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0) return {};
  // What is offered may be filtered all the same.
  if (membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0) return {};
  return barrier_or_end;
}

}  // namespace onced::memory
