// The builds of XXH3 for different processors make the same hashes: files that one has written another reads.
#include "disk/long_hash.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

using namespace onced::disk;

namespace {

std::vector<std::byte> some_bytes(std::size_t size) {
  std::mt19937_64 random(size + 1);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

Digest digest_by(const HashBuild& build, Bytes bytes, std::uint64_t seed) {
  const HashBuild::Hash128 hash = build.hash_128(bytes.data(), bytes.size(), seed);
  return {hash.low, hash.high};
}

}  // namespace

TEST_CASE("every build of the hash makes the same hashes, of any length, with any seed") {
  std::vector<std::size_t> sizes;
  for (std::size_t size = 0; size < 1'300; ++size) sizes.push_back(size);
  for (const std::size_t size : {4'095UL, 4'096UL, 4'097UL, 65'537UL, 1'048'576UL, 1'048'583UL}) sizes.push_back(size);
  for (const std::size_t size : sizes) {
    const std::vector<std::byte> bytes = some_bytes(size);
    for (const std::uint64_t seed : {0ULL, 1ULL, 0x0123'4567'89ab'cdefULL}) {
      REQUIRE(digest_by(hash_build(), bytes, seed) == digest_by(baseline_hash_build, bytes, seed));
      REQUIRE(hash_build().hash_64(bytes.data(), bytes.size(), seed) == baseline_hash_build.hash_64(bytes.data(), bytes.size(), seed));
      REQUIRE(digest_of(bytes, seed) == digest_by(baseline_hash_build, bytes, seed));
      REQUIRE(check_of(bytes, seed) == baseline_hash_build.hash_64(bytes.data(), bytes.size(), seed));
    }
  }
}

TEST_CASE("bytes that come in pieces have the hash of the whole, whichever build") {
  const std::vector<std::byte> bytes = some_bytes(300'001);
  const Digest whole = digest_by(baseline_hash_build, bytes, 0);
  std::mt19937_64 random(7);
  for (int round = 0; round < 50; ++round) {
    LongHash chosen;
    LongHash baseline(baseline_hash_build);
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t n = std::min<std::size_t>(bytes.size() - at, 1 + random() % (round % 2 == 0 ? 300 : 100'000));
      chosen.add(Bytes(bytes).subspan(at, n));
      baseline.add(Bytes(bytes).subspan(at, n));
      at += n;
    }
    REQUIRE(chosen.end() == whole);
    REQUIRE(baseline.end() == whole);
  }
}

TEST_CASE("the wide build is the one that is used where the processor has it") {
#ifdef ONCED_HASH_AVX2
  CHECK(&hash_build() == (__builtin_cpu_supports("avx2") ? &avx2_hash_build : &baseline_hash_build));
#else
  CHECK(&hash_build() == &baseline_hash_build);
#endif
}
