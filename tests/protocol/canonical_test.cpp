#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <onced/protocol/key.hpp>
#include <onced/protocol/limits.hpp>

#include "hex.hpp"

using namespace onced;
using onced::test::bytes;
using onced::test::hex;

namespace {

std::string canonical_hex(std::string_view encoded) {
  const Result<std::string> canonical = canonical_msgpack(bytes(encoded));
  return canonical.ok() ? hex(*canonical) : std::string(name_of(canonical.error().code));
}

// A key around some arguments, without any check.
std::string key_with(std::string_view arguments) { return bytes("94 c0 a166 a0") + std::string(arguments); }

// A random value in a random, mostly wasteful encoding.
rc::Gen<std::string> any_encoding(int depth) {
  using rc::gen::map;
  const auto wide = [](char first, int width) {
    return [=](std::uint64_t number) {
      std::string out(1, first);
      for (int i = width - 1; i >= 0; --i) out.push_back(static_cast<char>(number >> (8 * i) & 0xff));
      return out;
    };
  };
  const auto number = rc::gen::arbitrary<std::uint64_t>();
  const auto small = rc::gen::inRange<std::uint64_t>(0, 70'000);
  auto scalar = rc::gen::oneOf(
      rc::gen::element<std::string>("\xc0", "\xc2", "\xc3", std::string("\x00", 1), "\x7f", "\xff", "\xe0"),
      map(number, wide('\xcf', 8)), map(small, wide('\xcf', 8)), map(small, wide('\xce', 4)), map(number, wide('\xd3', 8)),
      map(number, wide('\xd0', 1)), map(number, wide('\xd1', 2)), map(number, wide('\xd2', 4)), map(number, wide('\xcb', 8)),
      map(number, wide('\xca', 4)),
      map(rc::gen::container<std::string>(rc::gen::inRange<char>('a', 'd')),
          [=](const std::string& text) { return wide('\xdb', 4)(text.size()) + text; }),
      map(rc::gen::arbitrary<std::string>(), [=](const std::string& data) { return wide('\xc6', 4)(data.size()) + data; }),
      map(small, [=](std::uint64_t seconds) { return bytes("c7 0c ff") + wide('\x00', 3)(0) + wide('\x00', 7)(seconds); }));
  if (depth == 0) return scalar;
  const auto inner = rc::gen::container<std::vector<std::string>>(any_encoding(depth - 1));
  const auto joined = [](const std::vector<std::string>& values) {
    std::string all;
    for (const std::string& value : values) all += value;
    return all;
  };
  return rc::gen::oneOf(scalar, map(inner, [=](std::vector<std::string> values) { return wide('\xdd', 4)(values.size()) + joined(values); }),
                        map(inner, [=](std::vector<std::string> values) {
                          if (values.size() % 2 == 1) values.pop_back();
                          return wide('\xdf', 4)(values.size() / 2) + joined(values);
                        }));
}

}  // namespace

TEST_CASE("every value has one encoding: the shortest") {
  CHECK(canonical_hex("cc 01") == "01");
  CHECK(canonical_hex("cf 0000000000000080") == "cc80");
  CHECK(canonical_hex("d3 0000000000000001") == "01");
  CHECK(canonical_hex("d3 ffffffffffffffff") == "ff");
  CHECK(canonical_hex("d2 ffffff7f") == "d1ff7f");
  CHECK(canonical_hex("d9 03 616263") == "a3616263");
  CHECK(canonical_hex("c6 00000001 ff") == "c401ff");
  CHECK(canonical_hex("dc 0002 01 02") == "920102");
  CHECK(canonical_hex("dd 00000001 cd0001") == "9101");
  CHECK(canonical_hex("df 00000001 d90161 c0") == "81a161c0");
}

TEST_CASE("floats have 64 bits, one NaN and two zeros") {
  CHECK(canonical_hex("ca 3f800000") == "cb3ff0000000000000");
  CHECK(canonical_hex("ca 7fc00001") == "cb7ff8000000000000");
  CHECK(canonical_hex("cb fff8000000000123") == "cb7ff8000000000000");
  CHECK(canonical_hex("ca 80000000") == "cb8000000000000000");
  CHECK(canonical_hex("cb 0000000000000000") == "cb0000000000000000");
}

TEST_CASE("maps are sorted by their encoded keys, at every depth") {
  CHECK(canonical_hex("82 a162 01 a161 02") == "82a16102a16201");
  CHECK(canonical_hex("82 a26161 01 a162 02") == "82a16202a2616101");
  CHECK(canonical_hex("91 82 a162 82 02 c0 01 c3 a161 02") == "9182a16102a1628201c302c0");
  // Two spellings of the same name are the same name, though the bytes came in differently.
  CHECK(canonical_hex("82 a161 01 d90161 02") == "invalid_argument");
}

TEST_CASE("timestamps take the shortest of their three forms") {
  CHECK(canonical_hex("c7 0c ff 00000000 0000000000000005") == "d6ff00000005");
  CHECK(canonical_hex("d7 ff 0000000000000005") == "d6ff00000005");
  CHECK(canonical_hex("c7 0c ff 00000001 0000000000000005") == "d7ff0000000400000005");
  CHECK(canonical_hex("c7 0c ff 00000001 ffffffffffffffff") == "c70cff00000001ffffffffffffffff");
  CHECK(canonical_hex("c7 0c ff 3b9aca00 0000000000000005") == "invalid_argument");
}

TEST_CASE("what has no place in a key is refused with the reason") {
  CHECK(canonical_hex("c7 01 05 00") == "invalid_argument");
  CHECK(canonical_hex("d4 01 00") == "invalid_argument");
  CHECK(canonical_hex("a1 ff") == "invalid_argument");
  CHECK(canonical_hex("c1") == "malformed");
  CHECK(canonical_hex("") == "malformed");
  CHECK(canonical_hex("92 01") == "malformed");
  CHECK(canonical_hex("01 02") == "malformed");
  CHECK(canonical_hex("dd ffffffff") == "malformed");
  CHECK(canonical_msgpack(bytes("c7 01 05 00")).error().text == "extension type 5 with 1 bytes has no meaning in a key");
}

TEST_CASE("canonical bytes are bounded in depth and length, whatever comes in") {
  CHECK(canonical_msgpack(std::string(31, '\x91') + '\x90').ok());
  CHECK(canonical_msgpack(std::string(32, '\x91') + '\x90').error().code == ErrorCode::too_large);
  CHECK(canonical_msgpack(std::string(100'000, '\x91')).error().code == ErrorCode::too_large);
  CHECK(canonical_msgpack(bytes("c6 00010000") + std::string(65536, 'x')).error().code == ErrorCode::too_large);
}

TEST_CASE("canonical form of canonical form is itself, and makes a key that the check takes") {
  rc::check([] {
    const std::string encoded = *any_encoding(3);
    const Result<std::string> once = canonical_msgpack(encoded);
    RC_PRE(once.ok());  // duplicate names
    const Result<std::string> twice = canonical_msgpack(*once);
    RC_ASSERT(twice.ok());
    RC_ASSERT(*twice == *once);
    RC_ASSERT(check_key(key_with("\x91" + *once)).ok());
  });
}

TEST_CASE("only canonical bytes pass the check") {
  rc::check([] {
    const std::string encoded = *any_encoding(2);
    const Result<std::string> canonical = canonical_msgpack(encoded);
    const bool is_canonical = canonical.ok() && *canonical == encoded;
    RC_ASSERT(check_key(key_with("\x91" + encoded)).ok() == is_canonical);
  });
}

TEST_CASE("a flipped bit in a key gives another key or none") {
  const std::string good = key_with(bytes("83 a161 d6ff00000005 a162 92 cb3ff0000000000000 c403010203 a3636465 cd0100"));
  REQUIRE(check_key(good).ok());
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    if (!check_key(flipped).ok()) continue;
    const Result<Key> key = Key::parse(flipped);
    REQUIRE(key.ok());
    const Result<std::string> arguments = canonical_msgpack(key->arguments());
    REQUIRE(arguments.ok());
    CHECK(*arguments == key->arguments());
  }
}

TEST_CASE("a permuted map is the same key") {
  rc::check([](const std::map<std::string, std::int32_t>& entries) {
    std::vector<std::pair<std::string, std::int32_t>> order(entries.begin(), entries.end());
    RC_PRE(order.size() < 60'000);
    const auto encode = [](const auto& pairs) {
      std::string out = bytes("df");
      for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(pairs.size() >> shift & 0xff));
      for (const auto& [name, value] : pairs) {
        out += bytes("c5");  // names as bytes: any will do
        out.push_back(static_cast<char>(name.size() >> 8 & 0xff));
        out.push_back(static_cast<char>(name.size() & 0xff));
        out += name;
        out += bytes("d2");
        for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(static_cast<std::uint32_t>(value) >> shift & 0xff));
      }
      return out;
    };
    const auto sorted = KeyBuilder("f").arguments_msgpack(encode(order)).build();
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[*rc::gen::inRange<std::size_t>(0, i)]);
    const auto permuted = KeyBuilder("f").arguments_msgpack(encode(order)).build();
    RC_ASSERT(sorted.ok());
    RC_ASSERT(permuted.ok());
    RC_ASSERT(*sorted == *permuted);
  });
}
