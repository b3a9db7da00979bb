// SipHash-2-4 of two numbers: a short code that nobody without the key can predict, however many codes he has seen.
//
// J.-P. Aumasson, D. J. Bernstein, *SipHash: a fast short-input PRF*, 2012. The hash of the tables (key_map.hpp) is no
// substitute: it is fast and secret, but its results must not leave the daemon.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace onced::engine {

inline std::uint64_t sip_hash(const std::array<std::uint64_t, 2>& key, std::uint64_t first, std::uint64_t second) {
  std::uint64_t v0 = 0x736f6d6570736575 ^ key[0];
  std::uint64_t v1 = 0x646f72616e646f6d ^ key[1];
  std::uint64_t v2 = 0x6c7967656e657261 ^ key[0];
  std::uint64_t v3 = 0x7465646279746573 ^ key[1];
  const auto rounds = [&](int count) {
    while (count-- > 0) {
      v0 += v1;
      v1 = std::rotl(v1, 13) ^ v0;
      v0 = std::rotl(v0, 32);
      v2 += v3;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v2 = std::rotl(v2, 32);
    }
  };
  constexpr std::uint64_t end = std::uint64_t{16} << 56;  // the length in bytes
  for (const std::uint64_t word : {first, second, end}) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  v2 ^= 0xff;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace onced::engine
