#include "engine/key_fields.hpp"

#include <doctest/doctest.h>

#include <onced/protocol/key.hpp>

using namespace onced;
using namespace onced::engine;

TEST_CASE("the function of a key is found whatever the length of its name and session") {
  for (const std::size_t length : {1U, 31U, 32U, 255U, 256U}) {
    for (const std::optional<std::uint64_t> session : {std::optional<std::uint64_t>(), std::optional<std::uint64_t>(5),
                                                       std::optional<std::uint64_t>(300), std::optional<std::uint64_t>(1ULL << 40)}) {
      const std::string name(length, 'f');
      const auto key = KeyBuilder(name, "v1", session).add(1).build();
      REQUIRE(key.ok());
      CHECK(function_of(key->bytes()) == name);
      const bool begins = key->bytes().starts_with(first_bytes_of_function(name));
      CHECK(begins == !session.has_value());
    }
  }
}

TEST_CASE("bytes that are no key have no function, however they are cut") {
  const auto key = KeyBuilder("function").add(1).build();
  for (std::size_t length = 0; length < 11; ++length) CHECK(function_of(key->bytes().substr(0, length)).empty());
  CHECK(function_of("\x94\xc0\xda\xff\xff").empty());
  CHECK(function_of("nonsense").empty());
  CHECK(display("nonsense") == "(not a key)");
}
