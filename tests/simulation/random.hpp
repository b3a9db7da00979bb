// Numbers that are the same on every machine for the same seed (std distributions are not): splitmix64.
#pragma once

#include <cstddef>
#include <cstdint>

namespace onced::simulation {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // In [low, high], both included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + next() % (high - low + 1); }
  bool percent(std::uint64_t chance) { return next() % 100 < chance; }
  template <typename Container>
  auto& pick(Container& from) {
    return from[static_cast<std::size_t>(next() % from.size())];
  }

 private:
  std::uint64_t state_;
};

}  // namespace onced::simulation
