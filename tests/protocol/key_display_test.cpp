#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <onced/protocol/key.hpp>

#include "hex.hpp"

using namespace onced;

namespace {

std::string shown(KeyBuilder& builder, std::size_t width = 120) {
  const auto key = builder.build();
  REQUIRE(key.ok());
  return key->display(width);
}

}  // namespace

TEST_CASE("a key is shown as a call") {
  CHECK(shown(KeyBuilder("sales").add("north").add(7).add(-1).add(0.5).add(1.0).add(true).add(nullptr)) ==
        "sales(\"north\", 7, -1, 0.5, 1.0, true, null)");
  CHECK(shown(KeyBuilder("f").arguments_json("[]")) == "f()");
  CHECK(shown(KeyBuilder("f").arguments_json("{\"fruit\": \"apples\", \"a\": [1, {\"b\": 2}]}")) ==
        "f(a=[1, {\"b\": 2}], fruit=\"apples\")");
}

TEST_CASE("a function's version is shown behind its name, and none is not") {
  CHECK(shown(KeyBuilder("f", "v1").add(1)) == "f@v1(1)");
  CHECK(shown(KeyBuilder("f", "2").arguments_json("{\"a\": 1}")) == "f@2(a=1)");
  CHECK(shown(KeyBuilder("f", "\x1b[2J").add(1)) == "f@\\u001b[2J(1)");
}

TEST_CASE("no named arguments and no positional ones look different, as they are two keys") {
  CHECK(shown(KeyBuilder("f").arguments_json("[]")) == "f()");
  CHECK(shown(KeyBuilder("f").arguments_json("{}")) == "f{}");
  CHECK(shown(KeyBuilder("f", "v1").arguments_json("{}")) == "f@v1{}");
  CHECK(shown(KeyBuilder("f").arguments_json("[{}]")) == "f({})");
}

TEST_CASE("bytes, digests and times are shown by what identifies them") {
  ContentDigest digest{};
  digest.bytes[0] = 0xab;
  const std::byte data[3]{};
  CHECK(shown(KeyBuilder("f").add(std::span<const std::byte>(data)).add(digest)) == "f(<3 bytes>, sha256:ab0000000000)");
  CHECK(shown(KeyBuilder("f").add(Timestamp{0, 0}).add(Timestamp{1'709'210'096, 5}).add(Timestamp{-1, 0})) ==
        "f(1970-01-01T00:00:00Z, 2024-02-29T12:34:56.000000005Z, 1969-12-31T23:59:59Z)");
  CHECK(shown(KeyBuilder("f").add(Timestamp{std::numeric_limits<std::int64_t>::min(), 0})) == "f(@-9223372036854775808)");
  CHECK(shown(KeyBuilder("f").add(std::numeric_limits<double>::infinity()).add(std::numeric_limits<double>::quiet_NaN()).add(1e300)) ==
        "f(inf, nan, 1e+300)");
}

TEST_CASE("nothing in a key can move a cursor or turn text around") {
  CHECK(shown(KeyBuilder("f\x1b[2J").add("a\n\t\r\x07\"\\\x7f")) == "f\\u001b[2J(\"a\\n\\t\\r\\u0007\\\"\\\\\\u007f\")");
  CHECK(shown(KeyBuilder("f").add("\u009b31m \u202egnp.exe \u2028\u200b\ufeff")) ==
        "f(\"\\u009b31m \\u202egnp.exe \\u2028\\u200b\\ufeff\")");
  CHECK(shown(KeyBuilder("größe").add("日本語")) == "größe(\"日本語\")");
  CHECK(shown(KeyBuilder("f").arguments_json("{\"a\\u001b\": 1}")) == "f(a\\u001b=1)");
}

TEST_CASE("a long key is cut to the width, in characters") {
  KeyBuilder builder("f");
  builder.add(std::string(1000, 'x'));
  CHECK(shown(builder, 10) == "f(\"xxxxxx…");
  CHECK(shown(builder, 1) == "…");
  CHECK(shown(builder, 0).empty());
  builder.reset("f");
  builder.add("äöü");
  CHECK(shown(builder, 8) == "f(\"äöü\")");
  CHECK(shown(builder, 7) == "f(\"äöü…");
  CHECK(shown(builder, 5) == "f(\"ä…");
}

TEST_CASE("the largest and the deepest key can be shown") {
  const std::string deep = std::string(31, '\x91') + '\x90';
  CHECK(shown(KeyBuilder("f").arguments_msgpack(deep)) == "f(" + std::string(31, '[') + std::string(31, ']') + ")");
  CHECK(shown(KeyBuilder("f").add(std::string(32'000, '\n')), 20) == "f(\"\\n\\n\\n\\n\\n\\n\\n\\n…");
}
