// Keeps this process from being forked between two system calls that belong together, such as mmap() and
// madvise(MADV_DONTFORK): a child in between would have the mapping.
//
// Threads: any; not within another one, nor within anything that calls Process::here() for the first time.
// A raw clone() does not wait for it.
#pragma once

#include <mutex>

namespace onced::client_detail {

// fork() waits as long as it is held.
[[nodiscard]] std::unique_lock<std::mutex> hold_off_forks();

}  // namespace onced::client_detail
