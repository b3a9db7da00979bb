#include "net/log_budget.hpp"

#include <doctest/doctest.h>

#include <string>

using onced::net::LogBudget;
using namespace std::chrono_literals;

namespace {

const std::string one = "uid 1000";
const std::string two = "uid 1001";

}  // namespace

TEST_CASE("so many lines in a second are written, and what was left out is told later") {
  LogBudget budget;
  for (std::uint32_t i = 0; i < LogBudget::lines_per_second_max; ++i) CHECK(budget.ask(one, 10ms).write);
  for (int i = 0; i < 7; ++i) CHECK_FALSE(budget.ask(one, 999ms).write);
  const auto verdict = budget.ask(one, 1s);
  CHECK(verdict.write);
  CHECK(verdict.left_out == "7 of uid 1000");
  CHECK(budget.ask(one, 1s).left_out.empty());
}

TEST_CASE("who causes many lines hides none of somebody else") {
  LogBudget budget;
  for (int i = 0; i < 1'000; ++i) (void)budget.ask(one, 10ms);
  for (std::uint32_t i = 0; i < LogBudget::lines_per_second_max; ++i) {
    const auto verdict = budget.ask(two, 10ms);
    CHECK(verdict.write);
    CHECK(verdict.left_out.empty());  // the second is not over
  }
  CHECK_FALSE(budget.ask(two, 10ms).write);
  CHECK(budget.ask("uid 1002", 2s).left_out == "950 of uid 1000, 1 of uid 1001");  // with the first line that there is
}

TEST_CASE("very many have a share together, and the first few are named") {
  LogBudget budget;
  for (std::size_t i = 0; i < LogBudget::shares_max; ++i)
    for (std::uint32_t line = 0; line <= LogBudget::lines_per_second_max; ++line)
      CHECK(budget.ask("uid " + std::to_string(1000 + i), 0s).write == (line < LogBudget::lines_per_second_max));
  std::uint64_t written = 0;
  for (int i = 0; i < 1'000; ++i) written += budget.ask("uid " + std::to_string(5000 + i), 0s).write ? 1U : 0U;
  CHECK(written == LogBudget::lines_per_second_max);
  const std::uint64_t rest = LogBudget::shares_max - LogBudget::named_max + 1'000 - LogBudget::lines_per_second_max;
  CHECK(budget.ask(one, 1s).left_out ==
        "1 of uid 1000, 1 of uid 1001, 1 of uid 1002, 1 of uid 1003, " + std::to_string(rest) + " of others");
}
