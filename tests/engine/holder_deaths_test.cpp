#include "engine/holder_deaths.hpp"

#include <doctest/doctest.h>

using namespace onced::engine;
using namespace std::chrono_literals;

TEST_CASE("the memory of deaths is bounded in keys and bytes; the longest without a death goes first") {
  const Settings settings;
  HolderDeaths deaths(settings, BytesHash(HashSecret{}), 3, 2500);
  for (const char* key : {"a", "b", "c"}) deaths.add(key, 1, 1s);
  CHECK(deaths.add("a", 2, 2s) == 2);
  deaths.add("d", 1, 3s);
  CHECK(deaths.count("b", 3s) == 0);
  CHECK(deaths.count("a", 3s) == 2);
  deaths.add(std::string(1500, 'x'), 1, 4s);
  deaths.add(std::string(1500, 'y'), 1, 5s);
  CHECK(deaths.size() == 1);
  CHECK(deaths.count(std::string(1500, 'y'), 5s) == 1);
}

TEST_CASE("deaths are forgotten some time after the last of them") {
  Settings settings;
  settings.holder_deaths_memory = 10s;
  HolderDeaths deaths(settings, BytesHash(HashSecret{}));
  CHECK(deaths.add("a", 1, 0s) == 1);
  CHECK(deaths.add("a", 2, 9s) == 2);
  CHECK(deaths.count("a", 18s) == 2);
  CHECK(deaths.count("a", 19s) == 0);
  CHECK(deaths.add("a", 3, 19s) == 1);
}

TEST_CASE("the same process counts once, and no more are kept than matter") {
  Settings settings;
  settings.holder_deaths_max = 2;
  HolderDeaths deaths(settings, BytesHash(HashSecret{}));
  CHECK(deaths.add("a", 1, 0s) == 1);
  CHECK(deaths.add("a", 1, 0s) == 1);
  CHECK(deaths.add("a", 2, 0s) == 2);
  CHECK(deaths.add("a", 3, 0s) == 2);
  deaths.forget_if([](std::string_view key) { return key == "a"; });
  CHECK(deaths.size() == 0);
}
