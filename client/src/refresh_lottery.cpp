#include "refresh_lottery.hpp"

#include <sys/random.h>

#include <chrono>
#include <cmath>

namespace onced::client_detail {

namespace {

// early_ms is so many times beta * cost: a draw that wins before has a probability below 1e-6.
constexpr double early_stretch = 14;

// Without entropy (early at boot) the clock will do: a draw that others can guess harms nobody.
std::uint64_t seed() {
  std::uint64_t seed = 0;
  if (::getrandom(&seed, sizeof seed, GRND_NONBLOCK) == static_cast<ssize_t>(sizeof seed)) return seed;
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

}  // namespace

RefreshLottery::RefreshLottery() : RefreshLottery(seed()) {}

bool RefreshLottery::wins(std::uint32_t left_ms, std::uint32_t early_ms) {
  // SplitMix64 (Steele, Lea, Flood 2014).
  std::uint64_t z = (state_ += 0x9e37'79b9'7f4a'7c15);
  z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9;
  z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11eb;
  z ^= z >> 31;
  const double u = (static_cast<double>(z >> 11) + 0.5) * 0x1p-53;  // neither 0 nor 1
  return -std::log(u) * (early_ms / early_stretch) >= left_ms;
}

}  // namespace onced::client_detail
