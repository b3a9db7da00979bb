// A program started by a test: its words in, its output and exit status out.
//
// Output goes to files, so that no reader is needed while it runs; a terminal's is read by out() and wait(). The process is killed and reaped with its object.
// Threads: start it from a thread that lives as long as it (PR_SET_PDEATHSIG).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "support/temp_directory.hpp"

namespace onced::testing {

struct CommandOptions {
  std::string input{};                                           // its standard input
  std::vector<std::pair<std::string, std::string>> environment{};  // beside the test's own without ONCED_*
  std::string directory{};                                       // working directory; empty: the test's
  int output = -1;                                               // standard output goes there instead of out()
  bool close_output = false;                                     // it is started without a standard output
  std::vector<int> ignored{};                                    // signals that it is started with ignoring, as by nohup
  unsigned short columns = 0;  // of the terminal; 0: not said
  bool terminal = false;  // a session on a terminal of its own: out() has what the terminal shows, type() what is typed
};

class Command {
 public:
  explicit Command(std::vector<std::string> words, CommandOptions options = {});
  ~Command();
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  void kill(int signal);
  // Under the watchdog. The exit status as a shell says it: 128 + n for signal n.
  int wait();
  // What it has written so far.
  std::string out() const { return terminal_ < 0 ? read_file(files_ / "out") : shown(); }
  std::string err() const { return read_file(files_ / "err"); }
  pid_t pid() const { return pid_; }
  // To its terminal; "\x03" is Ctrl-C.
  void type(std::string_view keys) const;

 private:
  const std::string& shown() const;

  TempDirectory files_;
  pid_t pid_ = -1;
  int status_ = -1;
  int terminal_ = -1;          // its terminal's other side
  mutable std::string shown_;  // read from there so far
};

struct Outcome {
  int status = 0;
  std::string out;
  std::string err;
};
// Starts it and waits for its end.
Outcome run_command(std::vector<std::string> words, CommandOptions options = {});

// The built programs.
inline const std::string oncectl_path = ONCECTL_BINARY;

}  // namespace onced::testing
