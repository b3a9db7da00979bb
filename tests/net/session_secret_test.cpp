#include "net/session_secret.hpp"

#include <doctest/doctest.h>

#include <set>

#include <onced/protocol/session.hpp>

using namespace onced;
using namespace onced::net;

TEST_CASE("requests that make an id get a secret, and no others") {
  CHECK(makes_session_id(protocol::NewSession{}));
  CHECK(makes_session_id(protocol::RotateSession{}));
  CHECK_FALSE(makes_session_id(protocol::OpenSession{}));
  CHECK_FALSE(makes_session_id(protocol::EndSession{}));
  CHECK_FALSE(makes_session_id(protocol::GetStatus{}));
}

// That they come from getrandom(2) is seen in session_secret.cpp; here, that nothing of them stays the same.
TEST_CASE("secrets are new every time, in all their bytes") {
  std::set<std::string> ids;
  engine::SessionSecret ones{};
  engine::SessionSecret zeroes{};
  for (int i = 0; i < 2000; ++i) {
    const engine::SessionSecret secret = fresh_session_secret();
    ids.insert(protocol::session_id_of(secret));
    for (std::size_t at = 0; at < secret.size(); ++at) {
      ones[at] |= secret[at];
      zeroes[at] |= static_cast<unsigned char>(~secret[at]);
    }
  }
  CHECK(ids.size() == 2000);
  for (const unsigned char byte : ones) CHECK(byte == 0xff);
  for (const unsigned char byte : zeroes) CHECK(byte == 0xff);
}
