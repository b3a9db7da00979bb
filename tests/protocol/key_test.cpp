#include <array>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <onced/protocol/key.hpp>
#include <onced/protocol/limits.hpp>

#include "hex.hpp"

using namespace onced;
using onced::test::bytes;
using onced::test::hex;

namespace {

std::string arguments_hex(Result<Key> key) {
  REQUIRE(key.ok());
  return hex(key->arguments());
}

ErrorCode code_of(const Result<Key>& key) {
  REQUIRE_FALSE(key.ok());
  CHECK_FALSE(key.error().text.empty());
  return key.error().code;
}

}  // namespace

TEST_CASE("a key is session, function, version and arguments") {
  const auto key = KeyBuilder("sales", "v2").add("north").add(7).add(0.5).build();
  REQUIRE(key.ok());
  // By hand: fixarray 4 · nil · fixstr 5 · fixstr 2 · fixarray 3 of fixstr 5, fixint 7, float 64.
  CHECK(hex(key->bytes()) == "94" "c0" "a573616c6573" "a27632" "93" "a56e6f727468" "07" "cb3fe0000000000000");
  CHECK(key->function() == "sales");
  CHECK(key->version() == "v2");
  CHECK_FALSE(key->session().has_value());
  CHECK(hex(key->arguments()) == "93" "a56e6f727468" "07" "cb3fe0000000000000");

  const auto in_session = KeyBuilder("sales", {}, 300).build();
  REQUIRE(in_session.ok());
  CHECK(in_session->session() == 300);
  CHECK(hex(in_session->bytes()) == "94" "cd012c" "a573616c6573" "a0" "90");
}

TEST_CASE("one, 1.0, \"1\" and true are four keys; 0.0 and -0.0 are two") {
  CHECK(arguments_hex(KeyBuilder("f").add(1).build()) == "9101");
  CHECK(arguments_hex(KeyBuilder("f").add(1.0).build()) == "91cb3ff0000000000000");
  CHECK(arguments_hex(KeyBuilder("f").add("1").build()) == "91a131");
  CHECK(arguments_hex(KeyBuilder("f").add(true).build()) == "91c3");
  CHECK(arguments_hex(KeyBuilder("f").add(0.0).build()) == "91cb0000000000000000");
  CHECK(arguments_hex(KeyBuilder("f").add(-0.0).build()) == "91cb8000000000000000");
  CHECK(arguments_hex(KeyBuilder("f").add(1.5F).build()) == "91cb3ff8000000000000");
}

namespace {
template <typename T>
concept IsArgument = requires(KeyBuilder& builder, T argument) { builder.add(argument); };
}  // namespace

TEST_CASE("what merely converts to a bool is no argument: it would be `true` for every text and address") {
  static_assert(IsArgument<bool> && IsArgument<const char*> && IsArgument<char*> && IsArgument<std::nullptr_t>);
  static_assert(!IsArgument<const char8_t*> && !IsArgument<const wchar_t*> && !IsArgument<const unsigned char*> && !IsArgument<int*> && !IsArgument<void*>);
  CHECK(KeyBuilder("f").add(true).build()->bytes() != KeyBuilder("f").add(false).build()->bytes());
}

TEST_CASE("an integer is the same key whatever type the program holds it in") {
  const std::string seven = arguments_hex(KeyBuilder("f").add(7).build());
  CHECK(arguments_hex(KeyBuilder("f").add(std::int8_t{7}).build()) == seven);
  CHECK(arguments_hex(KeyBuilder("f").add(std::uint64_t{7}).build()) == seven);
  CHECK(arguments_hex(KeyBuilder("f").add(std::size_t{7}).build()) == seven);
  CHECK(arguments_hex(KeyBuilder("f").add(-7LL).build()) == "91f9");
  CHECK(arguments_hex(KeyBuilder("f").add(std::numeric_limits<std::int64_t>::min()).build()) == "91d38000000000000000");
  CHECK(arguments_hex(KeyBuilder("f").add(std::numeric_limits<std::uint64_t>::max()).build()) == "91cfffffffffffffffff");
}

TEST_CASE("all types of arguments can be added one by one") {
  const std::array<std::byte, 2> data{std::byte{1}, std::byte{255}};
  ContentDigest digest{};
  digest.bytes[31] = 9;
  const auto key = KeyBuilder("f").add(nullptr).add(std::span<const std::byte>(data)).add(Timestamp{5, 0}).add(digest)
                       .add(std::string("s")).add(std::string_view("t")).add_msgpack(bytes("dc0001 cc01")).build();
  CHECK(arguments_hex(key) == "97" "c0" "c40201ff" "d6ff00000005" "c72001" + std::string(62, '0') + "09" "a173" "a174" "9101");
}

TEST_CASE("more than fifteen arguments have the longer array header") {
  KeyBuilder builder("f");
  for (int i = 0; i < 15; ++i) builder.add(nullptr);
  CHECK(arguments_hex(builder.build()).substr(0, 2) == "9f");
  CHECK(arguments_hex(builder.add(nullptr).build()).substr(0, 6) == "dc0010");
}

TEST_CASE("a builder that is reset forgets everything, its mistakes too") {
  KeyBuilder builder("f", "v", 1);
  builder.add("\xff");
  CHECK(code_of(builder.build()) == ErrorCode::invalid_argument);
  builder.reset("g");
  builder.add(1);
  const auto key = builder.build();
  REQUIRE(key.ok());
  CHECK(*key == *KeyBuilder("g").add(1).build());

  builder.reset("h");
  builder.arguments_json("{\"a\": 1}");
  REQUIRE(builder.build().ok());
  builder.reset("h");
  CHECK(arguments_hex(builder.add(2).build()) == "9102");
}

TEST_CASE("a view is the same bytes as the key") {
  KeyBuilder builder("f");
  for (int i = 0; i < 3; ++i) {
    builder.reset("sales", "v2", 9);
    builder.add("north").add(i);
    const auto view = builder.build_view();
    REQUIRE(view.ok());
    CHECK(*view == builder.build().value().bytes());
    CHECK(check_key(*view).ok());
  }
}

TEST_CASE("mistakes are reported by build, the first one") {
  CHECK(code_of(KeyBuilder("").build()) == ErrorCode::invalid_argument);
  CHECK(code_of(KeyBuilder(std::string(257, 'f')).build()) == ErrorCode::too_large);
  CHECK(KeyBuilder(std::string(256, 'f')).build().ok());
  CHECK(code_of(KeyBuilder("f", std::string(129, 'v')).build()) == ErrorCode::too_large);
  CHECK(KeyBuilder("f", std::string(128, 'v')).build().ok());
  CHECK(code_of(KeyBuilder("\xff").build()) == ErrorCode::invalid_argument);
  CHECK(code_of(KeyBuilder("f").add("\xc3").build()) == ErrorCode::invalid_argument);
  CHECK(code_of(KeyBuilder("f").add(Timestamp{0, 1'000'000'000}).build()) == ErrorCode::invalid_argument);
  CHECK(code_of(KeyBuilder("f").add_msgpack(bytes("92 01")).build()) == ErrorCode::malformed);
  CHECK(code_of(KeyBuilder("f").arguments_msgpack(bytes("01")).build()) == ErrorCode::invalid_argument);
  CHECK(code_of(KeyBuilder("f").add(1).arguments_json("[]").build()) == ErrorCode::invalid_argument);
  CHECK(code_of(KeyBuilder("f").arguments_json("[]").add(1).build()) == ErrorCode::invalid_argument);
  CHECK(code_of(KeyBuilder("f").arguments_json("[]").arguments_json("[]").build()) == ErrorCode::invalid_argument);
  CHECK(code_of(KeyBuilder("").add("\xff").add(Timestamp{0, 1'000'000'000}).build()) == ErrorCode::invalid_argument);
}

TEST_CASE("a key is at most 32 KiB, and one that is built passes the check") {
  // Around the text: 94 c0 a166 a0 91 da and two bytes of its length.
  constexpr std::size_t around = 9;
  const auto largest = KeyBuilder("f").add(std::string(limits::key_bytes_max - around, 'x')).build();
  REQUIRE(largest.ok());
  CHECK(largest->bytes().size() == limits::key_bytes_max);
  CHECK(check_key(largest->bytes()).ok());
  CHECK(code_of(KeyBuilder("f").add(std::string(limits::key_bytes_max - around + 1, 'x')).build()) == ErrorCode::too_large);
  CHECK(code_of(KeyBuilder("f").add(std::string(10'000'000, 'x')).build()) == ErrorCode::too_large);
}

TEST_CASE("arguments may be nested 32 deep, the outermost container included") {
  const auto nested = [](std::size_t depth) { return std::string(depth - 1, '\x91') + '\x90'; };
  CHECK(Key::parse(KeyBuilder("f").arguments_msgpack(nested(32)).build().value().bytes()).ok());
  CHECK(code_of(KeyBuilder("f").arguments_msgpack(nested(33)).build()) == ErrorCode::too_large);
  CHECK(Key::parse(KeyBuilder("f").add_msgpack(nested(31)).build().value().bytes()).ok());
  CHECK(code_of(KeyBuilder("f").add_msgpack(nested(32)).build()) == ErrorCode::too_large);
}

TEST_CASE("parsing takes canonical bytes only") {
  const auto key = KeyBuilder("f").add(1).build();
  REQUIRE(key.ok());
  CHECK(Key::parse(key->bytes()).value() == *key);
  const auto wasteful = Key::parse(bytes("94 c0 a166 a0 91 cc01"));
  CHECK(code_of(wasteful) == ErrorCode::malformed);
  CHECK(wasteful.error().text == "a key holds a value that is not in its shortest encoding (at byte 6)");
}
