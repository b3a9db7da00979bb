#include <doctest/doctest.h>

#include <cmath>

#include "engine/retention.hpp"

using namespace onced;
using namespace onced::engine;
using namespace std::chrono_literals;
using onced::protocol::Retention;

namespace {
RetentionSettings configured() {
  RetentionSettings settings;
  settings.all.ttl_ms = 1000;
  settings.all.grace_ms = 200;
  settings.functions["chart"] = {.ttl_ms = 50, .failure_ttl_ms = 0};
  return settings;
}
}  // namespace

TEST_CASE("without any setting a value is fresh for ever, has no grace and is not refreshed ahead, and a failure stays for 5 seconds") {
  const Lifespan lifespan = lifespan_of({}, "chart", {});
  CHECK(lifespan.ttl_ms == 0);
  CHECK(lifespan.grace_ms == 0);
  CHECK(lifespan.refresh_ahead_permille == 0);
  CHECK(failure_ttl_of({}, "chart", protocol::as_configured) == 5s);
}

TEST_CASE("what a request leaves open its function decides, and what that leaves open the settings of all") {
  const RetentionSettings settings = configured();
  CHECK(lifespan_of(settings, "chart", {}).ttl_ms == 50);
  CHECK(lifespan_of(settings, "chart", {}).grace_ms == 200);
  CHECK(lifespan_of(settings, "other", {}).ttl_ms == 1000);
  CHECK(lifespan_of(settings, "chart", Retention{.ttl_ms = 0, .grace_ms = 7}).ttl_ms == 0);
  CHECK(lifespan_of(settings, "chart", Retention{.ttl_ms = 0, .grace_ms = 7}).grace_ms == 7);
  CHECK(failure_ttl_of(settings, "chart", protocol::as_configured) == 0s);
  CHECK(failure_ttl_of(settings, "other", protocol::as_configured) == 5s);
  CHECK(failure_ttl_of(settings, "chart", 30) == 30ms);
}

TEST_CASE("a grace is cut to what a record can say") {
  CHECK(lifespan_of({}, "chart", Retention{.grace_ms = protocol::as_configured - 1}).grace_ms == limits::grace_ms_max);
}

TEST_CASE("the early stretch begins where a refresh has become unlikely enough to leave it out") {
  const std::uint32_t early_ms = early_ms_of({.ttl_ms = 1'000'000, .refresh_ahead_permille = 1500}, 2'000'000);
  CHECK(early_ms == 14 * 3000);
  CHECK(std::exp(-static_cast<double>(early_ms) / 3000) < 1e-6);
}

TEST_CASE("the early stretch is no longer than the time-to-live, and there is none without one or without a cost") {
  CHECK(early_ms_of({.ttl_ms = 100, .refresh_ahead_permille = 1000}, 3'600'000'000) == 100);
  CHECK(early_ms_of({.ttl_ms = protocol::as_configured - 1, .refresh_ahead_permille = protocol::as_configured - 1}, ~std::uint64_t{0}) ==
        0xffff'ffff);
  CHECK(early_ms_of({.ttl_ms = 0, .refresh_ahead_permille = 1000}, 1'000'000) == 0);
  CHECK(early_ms_of({.ttl_ms = 100, .refresh_ahead_permille = 0}, 1'000'000) == 0);
  CHECK(early_ms_of({.ttl_ms = 100, .refresh_ahead_permille = 1000}, 0) == 0);
}
