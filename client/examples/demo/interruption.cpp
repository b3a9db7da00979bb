#include "interruption.hpp"

#include <array>
#include <csignal>

namespace onced::demo {
namespace {

constexpr std::array signals{SIGINT, SIGTERM, SIGHUP};

volatile std::sig_atomic_t interrupted_by = 0;

void note(int signal) { interrupted_by = signal; }

void handle_with(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;  // without SA_RESTART: poll() and read() return
  for (const int signal : signals) ::sigaction(signal, &action, nullptr);
}

}  // namespace

void catch_interruptions() { handle_with(note); }

void check_interruption() {
  if (interrupted_by != 0) throw Interrupted{interrupted_by};
}

void restore_default_signals() { handle_with(SIG_DFL); }

}  // namespace onced::demo
