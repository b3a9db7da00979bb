// Runs a case: all contestants in a fresh random order in every round, after one round that is thrown away.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/case.hpp"
#include "harness/statistics.hpp"

namespace onced::bench {

struct FigureResult {
  Figure figure;
  std::vector<double> rounds;
  Estimate median;
  double p5 = 0;
  double p95 = 0;
  std::optional<Estimate> ratio;  // ours / this
};

struct ClaimResult {
  Claim claim;
  Estimate measured;
  double pessimistic = 0;  // what may be claimed
  bool met = false;
};

struct CaseResult {
  std::string name;
  std::string title;
  std::string setting;
  std::vector<FigureResult> figures;  // in the order of the contestants
  std::vector<ClaimResult> claims;
};

// `say` is told what is going on, for a person who waits.
CaseResult run_case(const Case& benchmark, const Settings& settings, const std::function<void(std::string_view)>& say);

}  // namespace onced::bench
