// Which cores the parties of a benchmark run on. What wakes a process is measured in all three ways: placement decides
// wake-ups more than any code does.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>

namespace onced::bench {

enum class Placement : std::uint8_t {
  same_core,   // everybody on the first core
  cross_core,  // servers on the second core, everybody else on the first
  unpinned,    // wherever the kernel likes
};
inline constexpr std::array all_placements{Placement::same_core, Placement::cross_core, Placement::unpinned};
enum class Party : std::uint8_t { client, server };

std::string name_of(Placement placement);

// Moves a process with all its threads; 0 is the caller's. Throws std::system_error.
void place(pid_t process, Placement placement, Party party);

// For readers that wake nobody: the core with this number, modulo the cores that this process may use.
void pin_to_core(pid_t process, std::size_t number);

// Cores that this process was allowed to use when it started.
std::size_t core_count();

}  // namespace onced::bench
