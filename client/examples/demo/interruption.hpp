// Ctrl-C and SIGTERM as an exception, so that destructors end what was started.
//
// Threads: the main one only. Blocking calls return with EINTR; then comes check_interruption().
#pragma once

namespace onced::demo {

struct Interrupted {
  int signal;
};

void catch_interruptions();
// Throws Interrupted when a signal has come.
void check_interruption();
// In a forked child: signals do again what they do everywhere.
void restore_default_signals();

}  // namespace onced::demo
