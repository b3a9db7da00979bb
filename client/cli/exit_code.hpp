// The exit codes of oncectl: a contract that scripts rely on (README.md repeats it).
#pragma once

#include <onced/protocol/result.hpp>

namespace onced::cli {

namespace exit_code {
inline constexpr int ok = 0;                  // done, or a hit
inline constexpr int miss = 1;                // there is no such value; `doctor`, `disk verify`: something is wrong
inline constexpr int usage = 2;               // the command line or an argument is wrong; nothing was done
inline constexpr int unreachable = 3;         // no daemon, or one that speaks another version
inline constexpr int timed_out = 4;           // --timeout passed first
inline constexpr int not_permitted = 5;       // this user may not
inline constexpr int computation_failed = 6;  // the computation said so, or somebody cancelled it
inline constexpr int not_durable = 7;         // done in memory; the disk failed, or keeps no such value
inline constexpr int own_fault = 125;         // onced could not: no room for a value (in memory, in its session or function), too many clients, a defect; in `run` the only code that is not the command's
inline constexpr int not_executable = 126;    // `run`: found, but could not be executed (as shells say it)
inline constexpr int not_found = 127;         // `run`: no such command (as shells say it)
inline constexpr int output_closed = 141;     // whoever reads standard output has gone (128 + SIGPIPE)
}  // namespace exit_code

int exit_code_for(ErrorCode code);

}  // namespace onced::cli
