#include "turned_away.hpp"

#include <doctest/doctest.h>

#include <string>

using onced::client_detail::TurnedAway;
using namespace std::chrono_literals;

TEST_CASE("a key whose refresh was not wanted is not offered again for a while") {
  TurnedAway turned_away;
  const TurnedAway::Time now{1h};
  CHECK_FALSE(turned_away.is_paused("key", now));
  turned_away.note("key", now);
  CHECK(turned_away.is_paused("key", now));
  CHECK(turned_away.is_paused("key", now + TurnedAway::pause - 1ms));
  CHECK_FALSE(turned_away.is_paused("key", now + TurnedAway::pause));
  CHECK_FALSE(turned_away.is_paused("other", now));
}

TEST_CASE("more keys than there are places: each is paused or not, never for longer") {
  TurnedAway turned_away;
  const TurnedAway::Time now{1h};
  for (int i = 0; i < 10'000; ++i) turned_away.note(std::to_string(i), now);
  int paused = 0;
  for (int i = 0; i < 10'000; ++i) {
    paused += turned_away.is_paused(std::to_string(i), now) ? 1 : 0;
    CHECK_FALSE(turned_away.is_paused(std::to_string(i), now + TurnedAway::pause));
  }
  CHECK(paused > 100);
  CHECK(paused <= 256);
  CHECK(turned_away.is_paused("9999", now));
}
