#include "full_screen.hpp"

#include <cerrno>
#include <string>

#include <poll.h>
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

FullScreen::FullScreen() { enter(); }

FullScreen::~FullScreen() { leave(); }

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
  pollfd polled[] = {{signals_.descriptor(), POLLIN, 0}, {input_changed_ ? STDIN_FILENO : -1, POLLIN, 0}};
  if (::poll(polled, 2, static_cast<int>(time.count())) <= 0) return Wake::time;
  char key = 0;
  if (polled[1].revents != 0) {
    const ssize_t got = ::read(STDIN_FILENO, &key, 1);
    if (got <= 0 || key == 'q') return Wake::end;  // the terminal has gone, or so it is wished
  }
  const auto signal = signals_.next();
  if (!signal || signal->ssi_signo == SIGWINCH) return Wake::redraw;
  if (signal->ssi_signo != SIGTSTP) return Wake::end;
  stop();
  return Wake::redraw;
}

}  // namespace onced::cli
