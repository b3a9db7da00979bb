// What people may write for sizes and durations wherever they write them: in the daemon's file, environment and flags, and for oncectl. Each side's
// own test reads these; what one of them takes beside is its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

namespace onced::testing {

inline const std::vector<std::pair<const char*, std::uint64_t>>& sizes_for_all() {
  static const std::vector<std::pair<const char*, std::uint64_t>> sizes{
      {"0", 0}, {"4096", 4096}, {"1B", 1}, {"64KiB", 65536}, {"256MiB", std::uint64_t{256} << 20}, {"4GiB", std::uint64_t{4} << 30}, {"2TiB", std::uint64_t{2} << 40}};
  return sizes;
}

inline const std::vector<std::pair<const char*, std::chrono::milliseconds>>& durations_for_all() {
  using namespace std::chrono_literals;
  static const std::vector<std::pair<const char*, std::chrono::milliseconds>> durations{
      {"0s", 0ms}, {"250ms", 250ms}, {"5s", 5s}, {"5min", 5min}, {"5m", 5min}, {"2h", 2h}, {"1d", 24h}, {"3650d", 24h * 3650}};
  return durations;
}

}  // namespace onced::testing
