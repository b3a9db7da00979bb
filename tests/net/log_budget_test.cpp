#include "net/log_budget.hpp"

#include <doctest/doctest.h>

using onced::net::LogBudget;
using namespace std::chrono_literals;

TEST_CASE("so many lines in a second are written, and what was left out is told later") {
  LogBudget budget;
  for (std::uint32_t i = 0; i < LogBudget::lines_per_second_max; ++i) CHECK(budget.ask(10ms).write);
  for (int i = 0; i < 7; ++i) CHECK_FALSE(budget.ask(999ms).write);
  const auto verdict = budget.ask(1s);
  CHECK(verdict.write);
  CHECK(verdict.suppressed == 7);
  CHECK(budget.ask(1s).suppressed == 0);
}
