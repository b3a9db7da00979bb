#include "engine/gone_history.hpp"

#include <doctest/doctest.h>

using namespace onced::engine;
using namespace std::chrono_literals;

TEST_CASE("the history of what went is bounded, and a key that went twice is known by the last time") {
  GoneHistory history(BytesHash(HashSecret{}), 3);
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

TEST_CASE("once something was forgotten, the history says how far back it reaches") {
  GoneHistory history(BytesHash(HashSecret{}), 2);
  history.remember("a", {GoneReason::expired, 1s, {}});
  history.remember("b", {GoneReason::expired, 2s, {}});
  CHECK_FALSE(history.forgotten_before());
  history.remember("b", {GoneReason::expired, 3s, {}});
  CHECK(history.forgotten_before() == std::optional<Time>(2s));
  history.remember("c", {GoneReason::expired, 7s, {}});
  CHECK(history.forgotten_before() == std::optional<Time>(3s));
  SUBCASE("also when nothing is left") {
    GoneHistory none(BytesHash(HashSecret{}), 0);
    none.remember("a", {GoneReason::expired, 5s, {}});
    CHECK(none.forgotten_before() == std::optional<Time>(5s));
  }
}

TEST_CASE("long keys are forgotten sooner, so that the history's bytes are bounded") {
  GoneHistory history(BytesHash(HashSecret{}), 100, 2500);
  const auto long_key = [](char c) { return std::string(1000, c); };
  history.remember(long_key('a'), {GoneReason::expired, 1s, {}});
  history.remember(long_key('b'), {GoneReason::expired, 2s, {}});
  CHECK(history.find(long_key('a')) == nullptr);
  CHECK(history.find(long_key('b')) != nullptr);
  history.remember("c", {GoneReason::failed, 3s, std::string(1000, 't')});
  CHECK(history.find(long_key('b')) == nullptr);
  CHECK(history.find("c") != nullptr);
}
