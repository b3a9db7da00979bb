// The whole terminal for a view that is drawn again and again, and given back as it was, however the program ends short of
// SIGKILL.
//
// Signals: while it lives SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP and SIGWINCH come as results of pause(), unless they are ignored. A stop (Ctrl-Z) gives
//          the terminal back first and takes it again afterwards.
// Threads: one.
#pragma once

#include <csignal>
#include <string_view>

#include <termios.h>

#include <onced/options.hpp>

#include "caught_signals.hpp"

namespace onced::cli {

class FullScreen {
 public:
  FullScreen();
  ~FullScreen();
  FullScreen(const FullScreen&) = delete;
  FullScreen& operator=(const FullScreen&) = delete;

  // Replaces what is shown. Lines end in "\n" and fit the width.
  void show(std::string_view lines);
  enum class Wake : std::uint8_t { time, redraw, end };  // redraw: another size, or back from a stop; end: a signal, or "q"
  Wake pause(Milliseconds time);

 private:
  void enter();
  void leave() const;
  void stop();

  CaughtSignals signals_{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
  termios previous_input_{};
  bool input_changed_ = false;
};

}  // namespace onced::cli
