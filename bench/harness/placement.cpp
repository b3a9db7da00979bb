#include "harness/placement.hpp"

#include <sched.h>

#include <filesystem>
#include <onced/protocol/result.hpp>
#include <system_error>
#include <vector>

namespace onced::bench {
namespace {

// As it was at the first call, before anything was pinned.
const std::vector<int>& cores() {
  static const std::vector<int> allowed = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    ONCED_ASSERT(::sched_getaffinity(0, sizeof set, &set) == 0);
    std::vector<int> found;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) found.push_back(cpu);
    }
    return found;
  }();
  return allowed;
}

void set_affinity(pid_t process, const std::vector<int>& wanted) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : wanted) CPU_SET(static_cast<std::size_t>(cpu), &set);
  const std::string tasks = process == 0 ? "/proc/self/task" : "/proc/" + std::to_string(process) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    if (::sched_setaffinity(std::stoi(task.path().filename()), sizeof set, &set) != 0) {
      throw std::system_error(errno, std::generic_category(), "sched_setaffinity of " + task.path().string());
    }
  }
}

}  // namespace

std::string name_of(Placement placement) {
  switch (placement) {
    case Placement::same_core:
      return "same core";
    case Placement::cross_core:
      return "cross-core";
    case Placement::unpinned:
      return "unpinned";
  }
  return {};
}

std::size_t core_count() {
  return cores().size();
}

void place(pid_t process, Placement placement, Party party) {
  if (placement == Placement::unpinned) return set_affinity(process, cores());
  pin_to_core(process, placement == Placement::cross_core && party == Party::server ? 1 : 0);
}

void pin_to_core(pid_t process, std::size_t number) {
  set_affinity(process, {cores()[number % cores().size()]});
}

}  // namespace onced::bench
