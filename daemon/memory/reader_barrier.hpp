// The fence that readers leave out of their look-ups (SHM.md, "Who fences").
//
// A reader with a pin line of its own stores a pin and then looks at the slot again, with no fence between the two: its
// store may become visible after its load. A reader barrier makes up for it. Between the slot stores and the pin loads of
// a scan it makes every running thread of every registered process execute a full memory barrier: each thread either
// has its pin visible before the scan begins, or looks at the slot after it was stored over.
//
// Contract:  after a call, every store that a registered thread has made before some point of the call is visible, and every
//            load that it makes after that point sees what the caller stored before the call.
// Errors:    none once one was made: a segment has promised it to its readers. A kernel that refuses it later ends the process.
// Threads:   any. Costs a system call and an interrupt on each processor that runs a registered thread: about a microsecond.
#pragma once

#include <functional>

namespace onced::memory {

// Empty: there is none, readers fence themselves.
using ReaderBarrier = std::function<void()>;

// membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED), for processes registered with MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED. Empty
// when the kernel (before 4.16) or a filter of system calls does not allow it; tries it out.
ReaderBarrier kernel_reader_barrier();

}  // namespace onced::memory
