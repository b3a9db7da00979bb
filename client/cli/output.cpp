#include "output.hpp"

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace onced::cli {

void occupy_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    // Standard output is opened for reading, so that writing to it still fails and is noticed.
    ::open("/dev/null", descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
}

bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // the descriptor's other owners made it non-blocking
      pollfd writable{descriptor, POLLOUT, 0};
      ::poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

Screen screen_of(int descriptor) {
  Screen screen;
  screen.terminal = ::isatty(descriptor) == 1;
  if (!screen.terminal) {
    screen.width = 0;
    screen.height = 0;
    return screen;
  }
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  screen.live = !dumb;
  screen.colour = !dumb && (no_color == nullptr || *no_color == '\0');
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0) {
    if (size.ws_col >= 20) screen.width = size.ws_col;
    if (size.ws_row >= 8) screen.height = size.ws_row;
  }
  return screen;
}

Output::Output() : data_screen_(screen_of(STDOUT_FILENO)), talk_screen_(screen_of(STDERR_FILENO)) {}

void Output::data(std::string_view bytes) {
  if (!write_all(STDOUT_FILENO, bytes)) throw OutputFailed{errno};
}

void Output::talk(std::string_view line) {
  clear_live();
  write_all(STDERR_FILENO, "oncectl: " + std::string(line) + "\n");
}

void Output::live(std::string_view line) {
  if (!talk_screen_.live) return;
  write_all(STDERR_FILENO, "\r\x1b[K" + std::string(line));
  live_shown_ = true;
}

void Output::clear_live() {
  if (live_shown_) write_all(STDERR_FILENO, "\r\x1b[K");
  live_shown_ = false;
}

std::string Output::painted(std::string_view code, std::string_view text) const {
  if (!data_screen_.colour) return std::string(text);
  return "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m";
}

}  // namespace onced::cli
