#include "tiers/audience.hpp"

#include <doctest/doctest.h>

using namespace onced;
using namespace onced::tiers;

TEST_CASE("a rule comes back as it was") {
  for (const engine::AccessRule& rule : {engine::AccessRule{}, engine::AccessRule{.restricted = true}, engine::AccessRule{.restricted = true, .uids = {0, 1000, 4294967295}},
                                         engine::AccessRule{.restricted = true, .uids = {7}, .gids = {1, 2, 3}}}) {
    CHECK(decode_audience(encode(rule)) == rule);
  }
}

TEST_CASE("cut anywhere, with a byte too many, of another format or out of order it is none") {
  const std::string whole = encode(engine::AccessRule{.restricted = true, .uids = {7, 9}, .gids = {1}});
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    CAPTURE(bytes);
    CHECK_FALSE(decode_audience(std::string_view(whole).substr(0, bytes)));
  }
  CHECK_FALSE(decode_audience(whole + '\0'));
  for (const std::size_t at : {0U, 1U}) {
    std::string other = whole;
    other[at] = 2;
    CHECK_FALSE(decode_audience(other));
  }
  std::string twice = whole;
  twice[10] = 7;  // the second uid
  CHECK_FALSE(decode_audience(twice));
  std::string endless = whole;
  endless[5] = '\x7f';  // two thousand million uids
  CHECK_FALSE(decode_audience(endless));
}
