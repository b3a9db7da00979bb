#include "harness/report.hpp"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace onced::bench {
namespace {

// About three significant digits, never an exponent.
std::string number(double value) {
  const double size = std::abs(value);
  const int decimals = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : size >= 0.01 ? 3 : 4;
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", size == 0 ? 0 : decimals, value);
  return text;
}

std::string with_interval(const Estimate& estimate) {
  return number(estimate.value) + " (" + number(estimate.low) + " to " + number(estimate.high) + ")";
}

const char* sign_of(Bound bound) {
  return bound == Bound::at_most ? "at most " : "at least ";
}
const char* unit_gap(const std::string& unit) {
  return unit == "x" ? "" : " ";
}

void write_claims(const Report& report, std::ostream& out) {
  out << "| claim | target | measured (95 % interval) | may be claimed | met |\n|---|---|---|---|---|\n";
  for (const CaseResult& result : report.cases) {
    for (const ClaimResult& claim : result.claims) {
      const std::string unit = unit_gap(claim.claim.unit) + claim.claim.unit;
      out << "| " << claim.claim.text << " | " << sign_of(claim.claim.bound) << number(claim.claim.target) << unit
          << " | " << with_interval(claim.measured) << unit << " | " << number(claim.pessimistic) << unit << " | "
          << (claim.met ? "yes" : "**no**") << " |\n";
    }
  }
}

void write_figures(const CaseResult& result, std::ostream& out) {
  out << "| figure | unit | median | p5 | p95 | compared with | onced / this (95 % interval) |\n"
         "|---|---|---:|---:|---:|---|---:|\n";
  for (const FigureResult& row : result.figures) {
    out << "| " << row.figure.name << " | " << row.figure.unit << " | " << number(row.median.value) << " | "
        << number(row.p5) << " | " << number(row.p95) << " | " << row.figure.ours << " | "
        << (row.ratio ? with_interval(*row.ratio) : "") << " |\n";
  }
}

nlohmann::ordered_json json_of(const Estimate& estimate) {
  return {{"value", estimate.value}, {"low", estimate.low}, {"high", estimate.high}};
}

}  // namespace

void write_markdown(const Report& report, std::ostream& out) {
  out << "# Speed\n\n"
         "Written by `"
      << report.command << "`; do not edit.\n\n";
  if (report.settings.quick) out << "**A quick run: it shows that the benchmarks work and claims nothing.**\n\n";
  out << "Peers and onced are measured side by side: " << report.settings.rounds
      << " rounds after one that is thrown away, in each round everybody once in random order (seed "
      << report.settings.seed
      << "). A figure is the median of its rounds, p5 and p95 are of the rounds. A ratio is that of two medians; its "
         "interval comes from resampling whole rounds 10,000 times. What is held against a target is the end of the "
         "interval that is worse for onced. Hits are timed in blocks with one clock reading per block, their bytes are "
         "all read, and a round's figure is its median block. What wakes a process is measured with everybody on the "
         "same core, with the server on another core (cross-core), and unpinned.\n\n## Claims\n\n";
  write_claims(report, out);
  for (const CaseResult& result : report.cases) {
    out << "\n## " << result.title << "\n\n" << result.setting << "\n\n";
    write_figures(result, out);
  }
  out << "\n## Conditions\n\n";
  for (const auto& [name, value] : report.machine) out << "- " << name << ": " << value << "\n";
}

void write_json(const Report& report, std::ostream& out) {
  nlohmann::ordered_json document;
  document["command"] = report.command;
  document["quick"] = report.settings.quick;
  document["rounds"] = report.settings.rounds;
  document["seed"] = report.settings.seed;
  for (const auto& [name, value] : report.machine) document["machine"][name] = value;
  document["cases"] = nlohmann::ordered_json::array();
  for (const CaseResult& result : report.cases) {
    nlohmann::ordered_json one{{"name", result.name}, {"title", result.title}, {"setting", result.setting}};
    for (const FigureResult& row : result.figures) {
      nlohmann::ordered_json figure{
          {"name", row.figure.name}, {"unit", row.figure.unit}, {"median", json_of(row.median)}, {"p5", row.p5},
          {"p95", row.p95},          {"rounds", row.rounds}};
      if (row.ratio) {
        figure["compared_with"] = row.figure.ours;
        figure["ratio"] = json_of(*row.ratio);
      }
      one["figures"].push_back(std::move(figure));
    }
    for (const ClaimResult& claim : result.claims) {
      one["claims"].push_back({{"text", claim.claim.text},
                               {"subject", claim.claim.subject},
                               {"reference", claim.claim.reference},
                               {"bound", claim.claim.bound == Bound::at_most ? "at_most" : "at_least"},
                               {"target", claim.claim.target},
                               {"unit", claim.claim.unit},
                               {"measured", json_of(claim.measured)},
                               {"claimed", claim.pessimistic},
                               {"met", claim.met}});
    }
    document["cases"].push_back(std::move(one));
  }
  out << document.dump(2) << '\n';
}

}  // namespace onced::bench
