// What `oncectl disk` shows of a namespace's values on disk: the daemon's report (Client::disk()) as text. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <onced/protocol/messages.hpp>
#include <onced/protocol/result.hpp>

#include "output.hpp"

namespace onced::cli {

// One line for status screens: "1.2 GiB of 10 GiB (12.0 %), 1,234 values"; of the fields disk_... of a status.
std::string disk_text(const protocol::Report& status);

// Of a value of the command line, which depends on no other, that was to be durable and is not: why, as far as the namespace's status tells.
std::string not_durable_text(const Result<protocol::Report>& status);

std::string disk_screen(const protocol::Report& report, const Output& output);

// What the daemon is doing to all that is there: "verify" or "compact"; empty: nothing.
std::string task_of(const protocol::Report& report);
// How far that is, from 0 to 1; NaN: not known yet.
double task_fraction(const protocol::Report& report);
// "verify: 1.2 GiB of 10 GiB".
std::string task_text(const protocol::Report& report);

// How the latest task ended, when it was this one.
struct TaskEnd {
  bool known = false;    // false: another one has begun or ended since
  bool failed = false;
  bool stopped = false;
  std::uint64_t damaged = 0;
  std::string text;      // a sentence, escaped
};
TaskEnd end_of_task(const protocol::Report& report, std::string_view task);

}  // namespace onced::cli
