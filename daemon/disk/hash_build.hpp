// One build of XXH3 as a table of functions. Only plain types: a file that is compiled for other processors than the rest includes this, and an
// inline function of a library that was compiled there could end up in the whole program.
#pragma once

#include <cstddef>
#include <cstdint>

namespace onced::disk {

inline constexpr std::size_t hash_state_bytes = 640;  // an XXH3_state_t, aligned to 64

struct HashBuild {
  struct Hash128 {
    std::uint64_t low;
    std::uint64_t high;
  };
  Hash128 (*hash_128)(const void* bytes, std::size_t size, std::uint64_t seed);
  std::uint64_t (*hash_64)(const void* bytes, std::size_t size, std::uint64_t seed);
  // XXH3-128, seed 0, of bytes that come in pieces.
  void (*begin)(void* state);
  void (*add)(void* state, const void* bytes, std::size_t size);
  Hash128 (*end)(const void* state);
};

extern const HashBuild baseline_hash_build;
extern const HashBuild avx2_hash_build;  // where ONCED_HASH_AVX2 is defined; for processors that have it

}  // namespace onced::disk
