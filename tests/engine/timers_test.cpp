#include "engine/timers.hpp"

#include <doctest/doctest.h>

using namespace onced::engine;
using namespace std::chrono_literals;

TEST_CASE("deadlines come in order of time, then of arrival, and only when they are due") {
  TimerQueue queue;
  TimerQueue::Timer late, first, second;
  auto* const one = reinterpret_cast<Entry*>(64);
  auto* const two = reinterpret_cast<Entry*>(128);
  queue.set(late, 10s, FailureEnd{nullptr});
  queue.set(first, 5s, FailureEnd{one});
  queue.set(second, 5s, FailureEnd{two});
  CHECK(queue.earliest() == std::optional<Time>(5s));
  CHECK_FALSE(queue.due(4999ms));
  CHECK(std::get<FailureEnd>(*queue.due(5s)).entry == one);
  queue.clear(first);
  CHECK(std::get<FailureEnd>(*queue.due(5s)).entry == two);
  queue.set(second, 20s, FailureEnd{two});  // setting again moves it
  CHECK(queue.size() == 2);
  CHECK(queue.earliest() == std::optional<Time>(10s));
  queue.clear(second);
  queue.clear(second);
  queue.clear(late);
  CHECK_FALSE(queue.earliest());
}
