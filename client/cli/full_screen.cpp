#include "full_screen.hpp"

#include <cerrno>
#include <string>

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "output.hpp"

namespace onced::cli {
namespace {

// The alternate screen, and no cursor (xterm; every terminal that is not dumb ignores or knows them).
constexpr std::string_view take_screen = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view give_screen_back = "\x1b[?25h\x1b[?1049l";

void write_terminal(std::string_view text) {
  if (!write_all(STDOUT_FILENO, text)) throw OutputFailed{errno};
}

}  // namespace

FullScreen::FullScreen() {
  sigemptyset(&caught_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH}) sigaddset(&caught_, signal);
  ::sigprocmask(SIG_BLOCK, &caught_, &previous_);
  signals_ = client_detail::Descriptor(::signalfd(-1, &caught_, SFD_CLOEXEC | SFD_NONBLOCK));
  enter();
}

FullScreen::~FullScreen() {
  leave();
  ::sigprocmask(SIG_SETMASK, &previous_, nullptr);
}

void FullScreen::enter() {
  // What is typed is not echoed into the view, and comes key by key.
  if (::tcgetattr(STDIN_FILENO, &previous_input_) == 0) {
    termios input = previous_input_;
    input.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON);
    input_changed_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &input) == 0;
  }
  write_all(STDOUT_FILENO, take_screen);
}

void FullScreen::leave() const {
  write_all(STDOUT_FILENO, give_screen_back);
  if (input_changed_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &previous_input_);
}

void FullScreen::stop() {
  leave();
  ::raise(SIGSTOP);
  enter();
}

void FullScreen::show(std::string_view lines) {
  std::string frame = "\x1b[H";
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n');
    frame += lines.substr(0, end);
    frame += "\x1b[K";
    lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 1);
    if (!lines.empty()) frame += "\r\n";
  }
  write_terminal(frame + "\x1b[J");
}

FullScreen::Wake FullScreen::pause(Milliseconds time) {
  pollfd polled[] = {{signals_.number(), POLLIN, 0}, {input_changed_ ? STDIN_FILENO : -1, POLLIN, 0}};
  if (::poll(polled, 2, static_cast<int>(time.count())) <= 0) return Wake::time;
  char key = 0;
  if (polled[1].revents != 0) {
    const ssize_t got = ::read(STDIN_FILENO, &key, 1);
    if (got <= 0 || key == 'q') return Wake::end;  // the terminal has gone, or so it is wished
  }
  signalfd_siginfo signal{};
  if (::read(signals_.number(), &signal, sizeof(signal)) != static_cast<ssize_t>(sizeof(signal))) return Wake::redraw;
  if (signal.ssi_signo == SIGWINCH) return Wake::redraw;
  if (signal.ssi_signo != SIGTSTP) return Wake::end;
  stop();
  return Wake::redraw;
}

}  // namespace onced::cli
