#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include <onced/protocol/key.hpp>
#include <onced/protocol/session.hpp>

#include "hex.hpp"

using namespace onced;
using namespace onced::protocol;

TEST_CASE("an id is the base64url of its 256 bits") {
  std::array<unsigned char, session_secret_bytes> secret{};
  CHECK(session_id_of(secret) == std::string(43, 'A'));
  secret.fill(0xff);
  CHECK(session_id_of(secret) == std::string(42, '_') + "8");
  for (std::size_t i = 0; i < secret.size(); ++i) secret[i] = static_cast<unsigned char>(i);
  CHECK(session_id_of(secret) == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");  // Python: base64.urlsafe_b64encode
}

TEST_CASE("every bit of the secret is in the id") {
  std::array<unsigned char, session_secret_bytes> secret{};
  const std::string none = session_id_of(secret);
  for (std::size_t bit = 0; bit < 256; ++bit) {
    secret[bit / 8] ^= static_cast<unsigned char>(1U << (bit % 8));
    const std::string id = session_id_of(secret);
    CHECK(id != none);
    CHECK(is_session_id(id));
    secret[bit / 8] = 0;
  }
}

TEST_CASE("what cannot be an id is told from one") {
  const std::string id = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
  CHECK(is_session_id(id));
  CHECK_FALSE(is_session_id(""));
  CHECK_FALSE(is_session_id(id + "A"));
  CHECK_FALSE(is_session_id(id.substr(1)));
  CHECK_FALSE(is_session_id(id.substr(0, 42) + "9"));  // a bit behind the last
  for (const char wrong : {'+', '/', '=', ' ', '\n', '\0', '\xff'}) {
    std::string other = id;
    other[10] = wrong;
    CHECK_FALSE(is_session_id(other));
  }
}

TEST_CASE("a key's session is found in its bytes") {
  for (const std::uint64_t number : {0ULL, 1ULL, 127ULL, 128ULL, 255ULL, 256ULL, 65'535ULL, 65'536ULL, 4'294'967'295ULL, 4'294'967'296ULL, ~0ULL}) {
    const auto key = KeyBuilder("f", "v", number).add(1).build();
    REQUIRE(key.ok());
    CHECK(names_session(key->bytes()));
    CHECK(session_in(key->bytes()) == number);
  }
  CHECK_FALSE(names_session(KeyBuilder("f").build()->bytes()));
  CHECK_FALSE(session_in(KeyBuilder("f").build()->bytes()).has_value());
  for (const char* const cut : {"", "94", "94cf00", "94cd01", "94ce000102", "94e0"}) CHECK_FALSE(session_in(test::bytes(cut)).has_value());
}

TEST_CASE("a session's number as digits has one spelling") {
  CHECK(session_number_in("0") == 0);
  CHECK(session_number_in("65537") == 65'537);
  CHECK(session_number_in("18446744073709551615") == ~std::uint64_t{0});
  for (const char* const wrong : {"", "00", "01", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "a"}) CHECK_FALSE(session_number_in(wrong).has_value());
}
