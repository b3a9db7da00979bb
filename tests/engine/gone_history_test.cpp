#include "engine/gone_history.hpp"

#include <doctest/doctest.h>

using namespace onced::engine;
using namespace std::chrono_literals;

TEST_CASE("the history of what went is bounded, and a key that went twice is known by the last time") {
  GoneHistory history(3);
  history.remember("a", {GoneReason::expired, 1s, {}});
  history.remember("b", {GoneReason::expired, 2s, {}});
  history.remember("a", {GoneReason::invalidated, 3s, "pid 1"});
  history.remember("c", {GoneReason::expired, 4s, {}});  // the first "a" is forgotten, the second is not
  REQUIRE(history.find("a") != nullptr);
  CHECK(history.find("a")->reason == GoneReason::invalidated);
  history.remember("d", {GoneReason::expired, 5s, {}});
  CHECK(history.find("b") == nullptr);
  history.remember("e", {GoneReason::expired, 6s, {}});
  CHECK(history.find("a") == nullptr);
  CHECK(history.find("c") != nullptr);
}
