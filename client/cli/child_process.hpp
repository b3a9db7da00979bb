// Runs a command with its output passed on as it comes and captured at the same time.
//
// Signals:   SIGINT, SIGTERM, SIGHUP and SIGQUIT sent to us are passed to the child, which decides; we end after it. What
//            the terminal sends to us both (Ctrl-C) is not sent again. Those that are ignored when it begins are so by both.
//            The child dies with us (SIGKILL): if it lived on, the next holder would run it a second time beside it.
// Threads:   call from the main thread of a process with one thread; it changes the signal mask while it runs.
// Blocks:    until the child has ended and nobody holds its output open any more (as `$(...)` does in a shell).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <onced/protocol/result.hpp>

namespace onced::cli {

struct ChildOptions {
  std::vector<std::string> words;
  int standard_input = -1;           // a descriptor; -1: /dev/null
  std::size_t capture_bytes_max = 0; // of both outputs in sum; more is passed on but not captured
};

struct ChildResult {
  std::string out;
  std::string err;
  bool overflow = false;     // out and err are empty: there was more than capture_bytes_max
  int status = 0;            // as a shell says it: 126, 127 when it could not be started, 128 + n for signal n
  bool interrupted = false;  // a signal was passed on to it, or its output was closed before its end: half a result
  int output_error = 0;      // errno: our standard output did not take all of its output
};

// Errors: no pipe, no process: the machine is at a limit. That somebody else has taken the command's status.
Result<ChildResult> run_child(const ChildOptions& options);

}  // namespace onced::cli
