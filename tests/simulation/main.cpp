// Runs seeded schedules of the engine in a simulated world.
//
//   onced_simulation [--schedules N [--from S]] [--seed S] [--must-fail [--first S]]
//   onced_simulation_broken --broken NUMBER ...   the same with a broken engine
//
// Without --seed: N schedules (ONCED_SIMULATION_SCHEDULES, else 100,000) from seed 1, or S, on. The first violation is printed
// and its seed run again with a trace. With --seed: that one schedule, traced. --must-fail turns the exit status round:
// it is for the broken engines, which must be caught. --first: schedule S goes before all others; it caught the engine once
// (broken/caught_by), and when it does not any more the others still may.
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "broken_engine.hpp"
#include "world.hpp"

namespace {

using onced::simulation::broken_engine;
using onced::simulation::broken_engines;
using onced::simulation::Memory;
using onced::simulation::Schedule;
using onced::simulation::Violation;
using onced::simulation::World;

volatile std::sig_atomic_t must_fail = 0;
volatile std::uint64_t present_seed = 0;

// An assertion of the engine or of the store is a violation as well. Only async-signal-safe calls in here.
void on_abort(int) {
  char text[96] = "a simulation aborted; replay it with --seed ";
  if (must_fail != 0) std::strcpy(text, "caught, by an assertion, by schedule ");
  std::size_t end = std::strlen(text);
  char digits[24];
  std::size_t count = 0;
  for (std::uint64_t seed = present_seed; seed != 0; seed /= 10) digits[count++] = static_cast<char>('0' + seed % 10);
  while (count > 0) text[end++] = digits[--count];
  text[end++] = '\n';
  if (write(must_fail != 0 ? STDOUT_FILENO : STDERR_FILENO, text, end) < 0) _exit(2);
  _exit(must_fail != 0 ? 0 : 1);
}

struct Outcome {
  std::optional<std::string> violation;
  std::uint64_t events = 0;
};

// Sums of the engine's own counters over all schedules: a rule that no schedule reaches is not tested.
using Coverage = std::map<std::string, std::uint64_t>;
constexpr const char* must_be_reached[] = {
    "regrants_abandoned", "regrants_holder_died", "regrants_limit_passed", "regrants_not_taken_up", "detached_publishes", "puts",
    "failures", "cancellations", "invalidations", "evictions", "expirations", "stored_inline", "wait_timeouts",
    "blob_evictions", "reservations_refused", "not_worth_storing", "stale_answers", "refreshes_stale", "refreshes_ahead", "soft_invalidations", "leases_queued",
    "older_versions_dropped",
    "dependants_made_stale", "dependants_dropped", "stored_outdated", "overtaken", "dependency_evictions",
    "recursions_refused", "deadlocks_refused", "tokens_refused", "limits_reached", "protocol_errors", "resyncs",
    "sessions_rotated", "sessions_ended", "sessions_expired", "sessions_evicted", "session_evictions", "function_evictions", "fenced_computations",
    "disk_puts", "disk_loads", "disk_hits", "disk_misses", "disk_not_durable", "derived_loads", "sessions_found", "session_loads", "blob_loads"};

Outcome run(std::uint64_t seed, bool trace, Memory& memory, Coverage& coverage) {
  present_seed = seed;
  Schedule schedule(seed, trace);
  try {
    World world(schedule, memory);
    world.run();
    for (const auto& [name, count] : world.counts()) coverage[name] += count;
    return {std::nullopt, world.events()};
  } catch (const Violation& violation) {
    return {violation.what(), 0};
  }
}

bool choose_broken_engine(std::string_view number) {
  if (number.empty() || broken_engines.find("," + std::string(number) + ",") == std::string_view::npos) {
    std::fprintf(stderr, "this program has no broken engine %s\n", std::string(number).c_str());
    return false;
  }
  broken_engine = std::stoi(std::string(number));
  return true;
}

int usage() {
  std::fprintf(stderr, "usage: onced_simulation[_broken --broken NUMBER] [--schedules N [--from S]] [--seed S] [--must-fail [--first S]]\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t schedules = 100'000;
  if (const char* wanted = std::getenv("ONCED_SIMULATION_SCHEDULES")) schedules = std::strtoull(wanted, nullptr, 10);
  std::uint64_t from = 1;
  std::optional<std::uint64_t> only, first;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--must-fail") {
      must_fail = 1;
    } else if (argument == "--schedules" && i + 1 < argc) {
      schedules = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--from" && i + 1 < argc) {
      from = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--seed" && i + 1 < argc) {
      only = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--first" && i + 1 < argc) {
      first = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--broken" && i + 1 < argc) {
      if (!choose_broken_engine(argv[++i])) return usage();
    } else {
      return usage();
    }
  }
  std::signal(SIGABRT, on_abort);

  Memory memory;
  Coverage coverage;
  if (only) {
    const Outcome outcome = run(*only, true, memory, coverage);
    std::printf("schedule %llu: %s\n", static_cast<unsigned long long>(*only), outcome.violation ? outcome.violation->c_str() : "no violation");
    return outcome.violation ? 1 : 0;
  }
  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t events = 0;
  for (std::uint64_t number = first ? 0 : 1; number <= schedules; ++number) {
    const std::uint64_t seed = number == 0 ? *first : from + number - 1;
    const Outcome outcome = run(seed, false, memory, coverage);
    events += outcome.events;
    if (!outcome.violation && number == 0) std::printf("schedule %llu catches it no longer: run broken/remember\n", static_cast<unsigned long long>(seed));
    if (!outcome.violation) continue;
    if (must_fail != 0) {
      std::printf("caught by schedule %llu: %s\n", static_cast<unsigned long long>(seed), outcome.violation->c_str());
      return 0;
    }
    (void)run(seed, true, memory, coverage);
    const std::string broken = broken_engine == 0 ? "" : " --broken " + std::to_string(broken_engine);
    std::printf("schedule %llu: %s\nreplay it with: %s%s --seed %llu\n", static_cast<unsigned long long>(seed), outcome.violation->c_str(), argv[0],
                broken.c_str(), static_cast<unsigned long long>(seed));
    return 1;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%llu schedules, %llu events, no violation, %.1f s\n", static_cast<unsigned long long>(schedules),
              static_cast<unsigned long long>(events), took.count());
  for (const char* name : must_be_reached) {
    std::printf("  %-24s %llu\n", name, static_cast<unsigned long long>(coverage[name]));
    if (coverage[name] != 0 || schedules < 1000 || must_fail != 0) continue;
    std::fprintf(stderr, "no schedule reached: %s\n", name);
    return 1;
  }
  if (must_fail != 0) std::fprintf(stderr, "the broken engine was not caught\n");
  return must_fail != 0 ? 1 : 0;
}
