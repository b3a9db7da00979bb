// The outcome of a run as Markdown for people and as JSON for programs. Both hold every row, won or lost.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "harness/case.hpp"
#include "harness/machine.hpp"
#include "harness/runner.hpp"

namespace onced::bench {

struct Report {
  std::string command;  // that produced it
  Settings settings;
  Facts machine;
  std::vector<CaseResult> cases;
};

void write_markdown(const Report& report, std::ostream& out);
// With every round's figures, so that other statistics can be made of them.
void write_json(const Report& report, std::ostream& out);

}  // namespace onced::bench
