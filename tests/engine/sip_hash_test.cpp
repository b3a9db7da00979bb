#include "engine/sip_hash.hpp"

#include <doctest/doctest.h>

TEST_CASE("SipHash gives what its authors' reference gives for sixteen bytes") {
  // Key 00 01 .. 0f, input 00 01 .. 0f; vectors.h of the reference implementation.
  CHECK(onced::engine::sip_hash({0x0706050403020100, 0x0f0e0d0c0b0a0908}, 0x0706050403020100, 0x0f0e0d0c0b0a0908) == 0x3f2acc7f57c29bdb);
}
