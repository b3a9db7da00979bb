// What a forked child found out, told by its exit status.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>

namespace onced::testing {

// Runs `body` in a child that exits without running the parent's destructors. Returns what `body` returned (0 to 100),
// 101 when it threw, 128 + the signal that killed it.
template <typename Body>
int in_child(Body&& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    int result = 101;
    try {
      result = body();
    } catch (...) {
    }
    _exit(result);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace onced::testing
