#include "refresh_lottery.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>

using onced::client_detail::RefreshLottery;

TEST_CASE("a draw wins with the probability of XFetch: exp(-left / (beta * cost))") {
  constexpr int draws = 400'000;
  constexpr std::uint32_t early_ms = 14'000;  // beta * cost is 1 s
  RefreshLottery lottery(4711);
  for (const std::uint32_t left_ms : {1U, 100U, 500U, 1000U, 2000U, 4000U, 7000U}) {
    int won = 0;
    for (int i = 0; i < draws; ++i) won += lottery.wins(left_ms, early_ms);
    const double probability = std::exp(-(left_ms / 1000.0));
    const double deviation = std::sqrt(draws * probability * (1 - probability));
    CAPTURE(left_ms);
    CHECK(std::abs(won - draws * probability) < 5 * deviation);
  }
}

TEST_CASE("at the beginning of the early stretch hardly anybody wins, at its end nearly everybody") {
  RefreshLottery lottery(1);
  int won = 0;
  for (int i = 0; i < 100'000; ++i) won += lottery.wins(1000, 1000);
  CHECK(won <= 3);  // 0.08 on average
  won = 0;
  for (int i = 0; i < 100'000; ++i) won += lottery.wins(1, 0xffff'ffff);
  CHECK(won >= 99'997);
  CHECK(lottery.wins(0, 1));
}

TEST_CASE("two generators that the kernel seeded draw differently") {
  RefreshLottery one;
  RefreshLottery other;
  int different = 0;
  for (int i = 0; i < 1000; ++i) different += one.wins(693, 14'000) != other.wins(693, 14'000);
  CHECK(different > 0);  // the chance that it is none is 2^-1000
}
