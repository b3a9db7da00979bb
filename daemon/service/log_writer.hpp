// Takes lines from any thread and writes them to a descriptor on a thread of its own (log.hpp says why).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "threads/leavable_thread.hpp"

namespace onced::service {

class LogWriter {
 public:
  // Takes the descriptor when `owned`. `count_line` makes the line that says how many are missing.
  LogWriter(int descriptor, bool owned, std::size_t lines_max, std::string (*missing_line)(std::uint64_t count));
  // Waits at most `patience` for lines that are still to be written; a thread that hangs in write() is left behind.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  static constexpr std::chrono::milliseconds patience{1000};

  void push(std::string line);
  // Lines from here on go to another descriptor, which is taken.
  void redirect(int descriptor);
  std::uint64_t dropped() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
  threads::LeavableThread thread_;
};

}  // namespace onced::service
