#include "engine/recency_frequency.hpp"

#include <algorithm>
#include <cmath>

namespace onced::engine {

RecencyFrequency::RecencyFrequency(std::size_t ghosts) : ghosts_(std::max(ghosts / ways, std::size_t{1}) * ways) {}

Crf RecencyFrequency::stored(std::uint64_t key_hash, std::size_t kept) {
  advance(hits_per_miss, kept);
  Ghost* const begin = neighbours(key_hash);
  Ghost* const end = begin + ways;
  Ghost* const found = std::find_if(begin, end, [&](const Ghost& ghost) { return ghost.key_hash == key_hash; });
  if (found == end) return clock_;
  const Crf crf = plus_one(found->crf);
  *found = Ghost{};
  return crf;
}

Crf RecencyFrequency::used(Crf before, std::size_t kept) {
  advance(1, kept);
  return plus_one(before);
}

void RecencyFrequency::evicted(std::uint64_t key_hash, Crf crf) {
  Ghost* const begin = neighbours(key_hash);
  Ghost* place = std::find_if(begin, begin + ways, [&](const Ghost& ghost) { return ghost.key_hash == key_hash; });
  if (place == begin + ways)
    place = std::min_element(begin, begin + ways, [](const Ghost& a, const Ghost& b) { return a.crf < b.crf; });
  *place = {key_hash, crf};
}

double RecencyFrequency::uses(Crf crf) const { return std::exp2(crf - clock_); }

void RecencyFrequency::advance(double hits, std::size_t kept) {
  clock_ += hits / (hits_per_half_life * static_cast<double>(std::max(kept, kept_min)));
}

// log2(2^crf + 2^clock): one use now weighs 2^clock at the clock's zero.
Crf RecencyFrequency::plus_one(Crf crf) const {
  return std::max(crf, clock_) + std::log2(1 + std::exp2(-std::abs(crf - clock_)));
}

}  // namespace onced::engine
