#include "tiers/attributes.hpp"

#include <doctest/doctest.h>

#include <onced/protocol/limits.hpp>

using namespace onced;
using namespace onced::tiers;

namespace {

const Attributes sample{.epoch = 0x1122334455667788, .fresh_until_ms = 61'000, .was_put = true, .origin = "pid 7 (gunicorn)", .tags = {"blue", "", "round"}};

}  // namespace

TEST_CASE("attributes come back as they were") {
  CHECK(decode_attributes(encode(sample)) == sample);
  CHECK(decode_attributes(encode({})) == Attributes{});
}

TEST_CASE("cut anywhere, or with a byte too many, they are none") {
  const std::string whole = encode(sample);
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    CAPTURE(bytes);
    CHECK_FALSE(decode_attributes(std::string_view(whole).substr(0, bytes)));
  }
  CHECK_FALSE(decode_attributes(whole + '\0'));
}

TEST_CASE("another format, and more tags than a value may have, are none") {
  std::string other = encode(sample);
  other[0] = 2;
  CHECK_FALSE(decode_attributes(other));
  Attributes many = sample;
  many.tags.assign(limits::tags_max + 1, "t");
  CHECK_FALSE(decode_attributes(encode(many)));
}
