#include "engine/ranked_queue.hpp"

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <rapidcheck.h>

using onced::engine::RankedQueue;

TEST_CASE("whoever comes stands behind those that are there, and moves up when one of them leaves") {
  RankedQueue<const int> queue;
  const int a = 1, b = 2, c = 3;
  CHECK(queue.empty());
  const auto of_a = queue.push(&a);
  const auto of_b = queue.push(&b);
  const auto of_c = queue.push(&c);
  CHECK(queue.position(of_a) == 1);
  CHECK(queue.position(of_c) == 3);
  CHECK(queue.at(2) == &b);
  queue.remove(of_b);
  CHECK(queue.size() == 2);
  CHECK(queue.position(of_c) == 2);
  CHECK(queue.at(2) == &c);
  queue.remove(of_a);
  queue.remove(of_c);
  CHECK(queue.empty());
  CHECK(queue.position(queue.push(&a)) == 1);
}

TEST_CASE("a ranked queue agrees with a list, whoever comes and leaves") {
  const bool holds = rc::check([](const std::vector<std::pair<bool, std::uint16_t>>& steps) {
    RankedQueue<const int> queue;
    std::deque<int> members;
    std::vector<std::pair<RankedQueue<const int>::Ticket, const int*>> expected;
    // Seven times over, so that the array is closed up now and then.
    for (int round = 0; round < 7; ++round) {
      for (const auto& [comes, which] : steps) {
        if (comes || expected.empty()) {
          const int* member = &members.emplace_back(static_cast<int>(members.size()));
          expected.emplace_back(queue.push(member), member);
        } else {
          const auto leaving = expected.begin() + which % static_cast<std::ptrdiff_t>(expected.size());
          queue.remove(leaving->first);
          expected.erase(leaving);
        }
        RC_ASSERT(queue.size() == expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i) {
          RC_ASSERT(queue.position(expected[i].first) == i + 1);
          RC_ASSERT(queue.at(i + 1) == expected[i].second);
        }
      }
    }
    std::vector<const int*> walked;
    queue.walk([&](const int& member) { walked.push_back(&member); });
    RC_ASSERT(std::equal(walked.begin(), walked.end(), expected.begin(), expected.end(),
                         [](const int* member, const auto& one) { return member == one.second; }));
  });
  CHECK(holds);
}

TEST_CASE("gaps are closed up: memory is as much as the members need") {
  RankedQueue<const int> queue;
  const int member = 0;
  std::vector<RankedQueue<const int>::Ticket> tickets;
  for (int i = 0; i < 10'000; ++i) {
    tickets.push_back(queue.push(&member));
    if (i >= 3) queue.remove(tickets[static_cast<std::size_t>(i) - 3]);
  }
  CHECK(queue.size() == 3);
  CHECK(queue.places() <= 2 * 3 + 17);
  CHECK(queue.position(tickets.back()) == 3);
}
