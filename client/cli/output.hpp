// Where oncectl writes: data to standard output, talk to standard error.
//
// Threads: one. Errors: a write to standard output that fails throws OutputFailed, which main() turns into an exit code:
// whoever reads may go at any time (`oncectl ls | head -1`). Talk that cannot be written is lost.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace onced::cli {

struct OutputFailed {
  int error;  // errno
};

// Opens /dev/null in place of a standard descriptor that the caller has closed, so that no socket gets its number and
// no output goes into that socket. Call first in main().
void occupy_standard_descriptors();

// All of it to a descriptor; false with errno set when it cannot be.
bool write_all(int descriptor, std::string_view bytes);

// What a descriptor's other end can show.
struct Screen {
  bool terminal = false;   // a person may be watching
  bool live = false;       // a terminal, not TERM=dumb: a line can be drawn again in its place
  bool colour = false;     // a terminal, not TERM=dumb, and NO_COLOR is unset or empty
  std::size_t width = 80;  // columns; 0: not a terminal, lines need no cutting
  std::size_t height = 24; // lines; 0: not a terminal
};
Screen screen_of(int descriptor);

class Output {
 public:
  Output();
  // To standard output, unchanged, at once.
  void data(std::string_view bytes);
  // One line to standard error, after "oncectl: ".
  void talk(std::string_view line);

  const Screen& data_screen() const { return data_screen_; }
  const Screen& talk_screen() const { return talk_screen_; }
  // The text in a colour when standard output shows colours.
  std::string bold(std::string_view text) const { return painted("1", text); }
  std::string green(std::string_view text) const { return painted("32", text); }
  std::string yellow(std::string_view text) const { return painted("33", text); }
  std::string red(std::string_view text) const { return painted("31", text); }

  // A line on standard error that the next one replaces; clear_live() removes it. Nothing where the screen is not live.
  void live(std::string_view line);
  void clear_live();

 private:
  std::string painted(std::string_view code, std::string_view text) const;

  Screen data_screen_;
  Screen talk_screen_;
  bool live_shown_ = false;
};

}  // namespace onced::cli
