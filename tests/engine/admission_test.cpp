#include "engine/admission.hpp"

#include <doctest/doctest.h>

using namespace onced;
using engine::Admission;

TEST_CASE("one user's connections leave room for others") {
  Admission admission({.connections_max = 3, .connections_per_uid_max = 2});
  CHECK(admission.admit(1000));
  CHECK(admission.admit(1000));
  const auto third = admission.admit(1000);
  REQUIRE_FALSE(third);
  CHECK(third.error().code == ErrorCode::limit_reached);
  CHECK(third.error().text == "user 1000 has 2 connections already; the limit is 2 (limits.connections_per_uid_max)");
  CHECK(admission.admit(0));
  const auto one_too_many = admission.admit(1001);
  REQUIRE_FALSE(one_too_many);
  CHECK(one_too_many.error().text == "there are 3 connections already; the limit is 3 (limits.connections_max)");
  CHECK(admission.refused_of(1000) == 1);
  CHECK(admission.refused_of(1001) == 0);  // not for his own
  admission.leave(1000);
  CHECK(admission.admit(1000));
  CHECK_FALSE(admission.admit(1000));
  CHECK(admission.refused_of(1000) == 1);  // there was no room for anybody
}

TEST_CASE("root is bounded like everybody else") {
  Admission admission({.connections_max = 10, .connections_per_uid_max = 1});
  CHECK(admission.admit(0));
  CHECK_FALSE(admission.admit(0));
}

TEST_CASE("a lower limit of a reload ends no connection") {
  Admission admission({.connections_max = 10, .connections_per_uid_max = 5});
  for (int i = 0; i < 4; ++i) REQUIRE(admission.admit(7));
  admission.reconfigure({.connections_max = 10, .connections_per_uid_max = 4});
  CHECK_FALSE(admission.admit(7));
  admission.leave(7);
  CHECK(admission.admit(7));
  CHECK(admission.connections() == 4);
}
