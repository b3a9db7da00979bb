// How often and how recently a value was used, as one number: the combined recency and frequency (CRF) of LRFU
// (D. Lee et al., "LRFU: a spectrum of policies that subsumes the least recently used and least frequently used policies",
// IEEE Transactions on Computers 50 (12), 2001): a count of uses in which each use weighs half after every half-life.
//
// All counts fade alike, so their order changes only by uses: a Crf is the count's logarithm as of the clock's zero, and
// nothing has to be done to a value while it is not used.
//
// Clock:     advances with the uses that the daemon hears of, not with time: a half-life is hits_per_half_life known hits
//            per kept value. Readers report only some of their hits; when they report fewer the counts look further back,
//            so that as many reports stand behind each.
// Ghosts:    what is evicted leaves its Crf behind under its key's hash, and goes on from there when it is computed again:
//            misses are always heard of. The table's size is fixed; four neighbours compete for a place, the coldest goes.
// Cost:      everything is O(1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace onced::engine {

// log2 of the count that would have faded to the present one since the clock's zero.
using Crf = double;

class RecencyFrequency {
 public:
  // About so many evicted keys are remembered.
  explicit RecencyFrequency(std::size_t ghosts);

  // A value came to be: its Crf, on from that of its ghost, which is used up. `kept` values are kept at present.
  Crf stored(std::uint64_t key_hash, std::size_t kept);
  // It was used once more.
  Crf used(Crf before, std::size_t kept);
  void evicted(std::uint64_t key_hash, Crf crf);

  // The count that a Crf stands for at present.
  double uses(Crf crf) const;

  // By measurement (bench/cases/eviction.cpp): longer is better while popularity stays, worse when it shifts.
  static constexpr double hits_per_half_life = 4;
  // How far a miss moves the clock, in hits: it makes room for new values when hardly anything hits.
  static constexpr double hits_per_miss = 0.3;
  static constexpr std::size_t kept_min = 64;  // fewer values count as so many: an almost empty cache must not forget at once

 private:
  static constexpr std::size_t ways = 4;
  struct Ghost {
    std::uint64_t key_hash = 0;
    Crf crf = -std::numeric_limits<double>::infinity();
  };

  void advance(double hits, std::size_t kept);
  Crf plus_one(Crf crf) const;
  Ghost* neighbours(std::uint64_t key_hash) { return &ghosts_[(key_hash >> 32) % (ghosts_.size() / ways) * ways]; }

  double clock_ = 0;  // in half-lives
  std::vector<Ghost> ghosts_;
};

}  // namespace onced::engine
