#include "engine/longest_turn.hpp"

#include <doctest/doctest.h>

using namespace onced::engine;
using namespace std::chrono_literals;

TEST_CASE("the longest turn ever stays, that of the last hour goes with its period") {
  LongestTurn turns;
  CHECK(turns.ever().took == 0s);
  CHECK(turns.in_last_hour(10h).took == 0s);
  turns.add(50ms, 1min);
  turns.add(20ms, 2min);
  turns.add(30ms, 50min);
  CHECK(turns.ever().took == 50ms);
  CHECK(turns.ever().ended == 1min);
  CHECK(turns.in_last_hour(59min).took == 50ms);
  CHECK(turns.in_last_hour(60min).took == 30ms);
  CHECK(turns.in_last_hour(60min).ended == 50min);
  CHECK(turns.in_last_hour(110min).took == 0s);
  CHECK(turns.ever().took == 50ms);
}

TEST_CASE("a period of an hour ago makes room for the present one") {
  LongestTurn turns;
  turns.add(50ms, 1min);
  turns.add(10ms, 61min);
  CHECK(turns.in_last_hour(62min).took == 10ms);
  CHECK(turns.ever().took == 50ms);
}
