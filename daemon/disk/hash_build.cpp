// Compiled as everything else, and once more for AVX2 (CMakeLists.txt).
#include "disk/hash_build.hpp"

#include <xxhash.h>

#ifndef ONCED_HASH_BUILD
#define ONCED_HASH_BUILD baseline_hash_build
#endif

namespace onced::disk {
namespace {

static_assert(sizeof(XXH3_state_t) <= hash_state_bytes && alignof(XXH3_state_t) <= 64);

HashBuild::Hash128 of(XXH128_hash_t hash) { return {hash.low64, hash.high64}; }

}  // namespace

const HashBuild ONCED_HASH_BUILD = {
    [](const void* bytes, std::size_t size, std::uint64_t seed) { return of(XXH3_128bits_withSeed(bytes, size, seed)); },
    [](const void* bytes, std::size_t size, std::uint64_t seed) -> std::uint64_t { return XXH3_64bits_withSeed(bytes, size, seed); },
    [](void* state) { XXH3_128bits_reset(static_cast<XXH3_state_t*>(state)); },
    [](void* state, const void* bytes, std::size_t size) { XXH3_128bits_update(static_cast<XXH3_state_t*>(state), bytes, size); },
    [](const void* state) { return of(XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state))); },
};

}  // namespace onced::disk
