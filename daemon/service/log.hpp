// The daemon's log: lines of text or JSON, written by a thread of its own.
//
// The loop only formats a line and leaves it in a bounded queue. A log that is slow, full or closed costs lines and
// nothing else: what does not fit is counted, and the count is written when there is room again. Values never get here;
// what clients say is escaped, so that a line stays a line.
//
// Ownership: the queue and the thread; standard error is borrowed, a file is opened.
// Threads:   write() and set_level() from any thread; reopen() and the destructor from one.
// Limits:    lines_waiting_max lines wait; a line has at most line_bytes_max bytes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <onced/protocol/result.hpp>

#include "service/configuration.hpp"

namespace onced::service {

class Log {
 public:
  static constexpr std::size_t lines_waiting_max = 4096;
  static constexpr std::size_t line_bytes_max = 8 * 1024;

  // `file` empty: standard error. Fails when the file cannot be opened.
  static Result<std::unique_ptr<Log>> open(const std::string& file, Format format, Level level);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void write(Level level, std::string_view text);
  void set_level(Level level);
  // Opens the file anew under its name, after a rotation. The old one stays in use when that fails.
  Result<void> reopen();

  // Lines that were not written because the log did not keep up or did not take them.
  std::uint64_t dropped() const;

 private:
  struct Implementation;
  explicit Log(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace onced::service
