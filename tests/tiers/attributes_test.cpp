#include "tiers/attributes.hpp"

#include <doctest/doctest.h>

#include <onced/protocol/limits.hpp>

using namespace onced;
using namespace onced::tiers;

namespace {

const Attributes sample{.epoch = 0x1122334455667788, .fresh_until_ms = 61'000, .was_put = true, .origin = "pid 7 (gunicorn)", .tags = {"blue", "", "round"}};

const Attributes derived{.epoch = 7, .fresh_until_ms = 0, .was_put = false, .origin = "pid 7", .tags = {"blue"},
                         .upstreams = {{"a key", {7, 3}, {"round", ""}}, {std::string("another\0key", 11), {0x1122334455667788, 9}, {}}}};

}  // namespace

TEST_CASE("attributes come back as they were") {
  CHECK(decode_attributes(encode(sample)) == sample);
  CHECK(decode_attributes(encode({})) == Attributes{});
  CHECK(decode_attributes(encode(derived)) == derived);
}

TEST_CASE("cut anywhere, or with a byte too many, they are none") {
  for (const std::string& whole : {encode(sample), encode(derived)}) {
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
      CAPTURE(bytes);
      CHECK_FALSE(decode_attributes(std::string_view(whole).substr(0, bytes)));
    }
    CHECK_FALSE(decode_attributes(whole + '\0'));
  }
}

TEST_CASE("another format, and more tags than a value may have, are none") {
  std::string other = encode(sample);
  for (const char format : {'\0', '\2', '\3'}) {
    other[0] = format;
    CHECK_FALSE(decode_attributes(other));
  }
  Attributes many = sample;
  many.tags.assign(limits::tags_max + 1, "t");
  CHECK_FALSE(decode_attributes(encode(many)));
}

TEST_CASE("what depends on nothing is written as it always was, and what does is none for who knows that only") {
  CHECK(encode(sample).substr(0, 1) == std::string(1, 1));
  CHECK(encode(derived).substr(0, 1) == std::string(1, 2));
  std::string without = encode(derived);
  without[0] = 1;
  CHECK_FALSE(decode_attributes(without));
}

TEST_CASE("more upstreams than a value on disk may have, or an upstream with more tags than a value may have, are none") {
  Attributes many = sample;
  many.upstreams.assign(limits::disk_upstreams_max, derived.upstreams[0]);
  CHECK(decode_attributes(encode(many)) == many);
  many.upstreams.push_back(derived.upstreams[0]);
  CHECK_FALSE(decode_attributes(encode(many)));
  Attributes tagged = derived;
  tagged.upstreams[0].tags.assign(limits::tags_max + 1, "t");
  CHECK_FALSE(decode_attributes(encode(tagged)));
}
