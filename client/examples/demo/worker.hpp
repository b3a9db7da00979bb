// What one worker process does: four chart callbacks in four threads, all of which want the same analysis.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <onced/protocol/key.hpp>

#include "input_files.hpp"

namespace onced::demo {

inline constexpr std::size_t callbacks = 4;

// How a worker gets the analysis.
enum class Way : std::uint8_t {
  alone,   // computes it itself, once for its four callbacks, as a worker with a cache of its own does
  shared,  // asks onced
  visit,   // asks onced and then measures hits
};

struct Plan {
  Way way = Way::alone;
  std::string socket;
  const InputFiles* input = nullptr;
};

// One message of a worker to the demo, written to a pipe in one piece.
struct Report {
  enum class Kind : std::uint32_t { ready, computing, progress, chart, hit, failed };
  Kind kind = Kind::ready;
  std::uint32_t worker = 0;
  std::uint64_t time_ns = 0;    // monotonic, the same clock in all processes
  double number = 0;            // progress: fraction; hit: nanoseconds per hit (median of blocks)
  std::array<char, 160> text{}; // failed: why
};

Key analysis_key(const InputFiles& input);
std::uint64_t monotonic_ns();

// The worker's main(): reports to `reports`, begins when `start` is closed at its other end. Returns the exit status.
int work(const Plan& plan, std::uint32_t number, int start, int reports);

}  // namespace onced::demo
