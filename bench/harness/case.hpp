// What a benchmark is: contestants that are measured side by side, and claims about their ratios.
//
// A contestant's `round` measures it once and returns one number for each of its figures. The runner calls the rounds
// of all contestants in random order, again and again; the ratio of two figures is that of their medians over the
// rounds.
//
// Ownership: closures own what they measure (servers, stores, child processes), so a Case that goes takes them along.
// Threads:   the main one. Rounds run alone: nothing else is measured meanwhile.
// Errors:    a contestant that cannot be measured throws; a benchmark with a hole in it is not one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/plot.hpp"

namespace onced::bench {

struct Settings {
  int rounds = 10;
  bool quick = false;  // fewer and smaller rounds: to see that it works, not to claim anything
  std::uint64_t seed = 1;
};

struct Figure {
  std::string name;  // unique within its case
  std::string unit;
  std::string ours;  // the name of onced's figure that this one is compared with (shown: ours / this); empty: none
};

struct Contestant {
  std::vector<Figure> figures;
  std::function<std::vector<double>()> round;
};

enum class Bound : std::uint8_t { at_most, at_least };

// median(subject) / median(reference), or median(subject) where there is no reference, is held against the target by
// the pessimistic end of its interval: the upper end for at_most, the lower for at_least.
struct Claim {
  std::string text;
  std::string subject;
  std::string reference;
  Bound bound = Bound::at_most;
  double target = 0;
  std::string unit = "x";
};

// The median of a figure by its name.
using MedianOf = std::function<double(const std::string& figure)>;

struct Case {
  std::string name;  // for --case
  std::string title;
  std::string setting;  // how it is measured, one paragraph
  std::vector<Contestant> contestants;
  std::vector<Claim> claims;
  std::function<Plot(const MedianOf&)> plot{};  // drawn into <name>.svg where plots are asked for; null: none
};

using MakeCase = Case (*)(const Settings&);

}  // namespace onced::bench
