#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <onced/protocol/key.hpp>

#include "hex.hpp"

using namespace onced;
using onced::test::bytes;
using onced::test::hex;

namespace {

std::string from_json(std::string_view json) {
  const auto key = KeyBuilder("f").arguments_json(json).build();
  if (!key.ok()) return key.error().text;
  CHECK(check_key(key->bytes()).ok());
  return hex(key->arguments());
}

std::string to_json(std::string_view arguments_hex) {
  const auto key = Key::parse(bytes("94c0a166a0") + bytes(arguments_hex));
  REQUIRE(key.ok());
  const std::string json = key->arguments_json();
  CHECK(nlohmann::json::accept(json));
  // And back to the very same key.
  CHECK(from_json(json) == hex(key->arguments()));
  return json;
}

ErrorCode refused(std::string_view json) {
  const auto key = KeyBuilder("f").arguments_json(json).build();
  REQUIRE_FALSE(key.ok());
  return key.error().code;
}

}  // namespace

TEST_CASE("an array gives positional arguments, an object named ones") {
  CHECK(from_json("[1, \"x\", null, true, -1]") == "9501a178c0c3ff");
  CHECK(from_json("{\"b\": 1, \"a\": 2}") == "82a16102a16201");
  CHECK(from_json(" [ ] ") == "90");
  CHECK(from_json("{}") == "80");
}

TEST_CASE("a number with a point or an exponent is a float, every other an integer") {
  CHECK(from_json("[1]") == "9101");
  CHECK(from_json("[1.0]") == "91cb3ff0000000000000");
  CHECK(from_json("[1e0]") == "91cb3ff0000000000000");
  CHECK(from_json("[-0.0]") == "91cb8000000000000000");
  CHECK(from_json("[-0]") == "9100");
  CHECK(from_json("[18446744073709551615, -9223372036854775808]") == "92cfffffffffffffffffd38000000000000000");
}

TEST_CASE("an integer that does not fit is refused, not rounded") {
  CHECK(from_json("[18446744073709551616]") ==
        "arguments are not JSON that makes a key: the integer 18446744073709551616 does not fit into 64 bits");
  CHECK(refused("[-9223372036854775809]") == ErrorCode::invalid_argument);
  CHECK(refused("[1e999]") == ErrorCode::invalid_argument);
}

TEST_CASE("what JSON has no spelling for has one with a dollar sign, both ways") {
  CHECK(to_json("91c403000102") == "[{\"$bytes\":\"AAEC\"}]");
  CHECK(to_json("92c400c40461626364") == "[{\"$bytes\":\"\"},{\"$bytes\":\"YWJjZA==\"}]");
  CHECK(to_json("91c72001" + std::string(64, 'a')) == "[{\"$digest\":\"" + std::string(64, 'a') + "\"}]");
  CHECK(to_json("92d6ff00000005c70cff00000001ffffffffffffffff") == "[{\"$timestamp\":[5,0]},{\"$timestamp\":[-1,1]}]");
  CHECK(to_json("93cb7ff8000000000000cb7ff0000000000000cbfff0000000000000") ==
        "[{\"$float\":\"nan\"},{\"$float\":\"inf\"},{\"$float\":\"-inf\"}]");
  CHECK(to_json("918101a178") == "[{\"$map\":[[1,\"x\"]]}]");
  CHECK(to_json("81a62462797465730a") == "{\"$map\":[[\"$bytes\",10]]}");
  CHECK(to_json("82a22461c0a22462c0") == "{\"$a\":null,\"$b\":null}");
  CHECK(to_json("93cb3ff0000000000000cb44b52d02c7e14af6cb8000000000000000") == "[1.0,1e+23,-0.0]");
  CHECK(to_json("91a422610a5c") == "[\"\\\"a\\n\\\\\"]");
}

TEST_CASE("a special spelling that is wrong is refused with what it wants") {
  for (const char* json :
       {"[{\"$bytes\": \"AAE\"}]", "[{\"$bytes\": \"AA=A\"}]", "[{\"$bytes\": \"AB==\"}]", "[{\"$bytes\": \"A\\nBC\"}]", "[{\"$bytes\": 1}]",
        "[{\"$digest\": \"ab\"}]", "[{\"$digest\": \"zz\"}]", "[{\"$float\": \"1.0\"}]", "[{\"$float\": 1.0}]", "[{\"$timestamp\": 5}]",
        "[{\"$timestamp\": [5]}]", "[{\"$timestamp\": [5, 1000000000]}]", "[{\"$timestamp\": [9223372036854775808, 0]}]",
        "[{\"$timestamp\": [0, -1]}]", "[{\"$map\": 1}]", "[{\"$map\": [1]}]", "[{\"$map\": [[1]]}]", "[{\"$map\": [[1, 2], [1, 3]]}]",
        "[{\"$unheard\": 1}]"}) {
    CAPTURE(json);
    CHECK(refused(json) == ErrorCode::invalid_argument);
  }
}

TEST_CASE("what is not JSON, or no container of arguments, is refused") {
  for (const char* json : {"", "1", "\"x\"", "null", "[", "[1,]", "{\"a\":}", "[1] 2", "{1: 2}", "nonsense", "[\"\xff\"]",
                           "{\"a\": 1, \"a\": 2}", "{\"$bytes\": \"\"}"}) {
    CAPTURE(json);
    CHECK(refused(json) == ErrorCode::invalid_argument);
  }
}

TEST_CASE("JSON is bounded in depth and length") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(from_json(nested(32)) == hex(std::string(31, '\x91') + '\x90'));
  CHECK(refused(nested(33)) == ErrorCode::too_large);
  CHECK(refused(std::string(1'000'000, '[')) == ErrorCode::too_large);
  CHECK(refused("[\"" + std::string(40'000, 'x') + "\"]") == ErrorCode::too_large);
  // Base64 is longer than the bytes it stands for: it is they that count.
  CHECK(from_json("[{\"$bytes\": \"" + std::string(40'000, 'A') + "\"}]").size() == 2 * (30'000 + 4));
}

TEST_CASE("a deep map that is no object survives the way to JSON and back") {
  std::string deep = bytes("c0");
  for (int i = 0; i < 31; ++i) deep = bytes("81 01") + deep;
  to_json("91" + hex(deep));
}
