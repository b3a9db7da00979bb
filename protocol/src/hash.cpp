#include <xxhash.h>

#include <onced/protocol/segment.hpp>

namespace onced::protocol {

KeyHash hash_key(std::string_view key, std::uint64_t seed) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(key.data(), key.size(), seed);
  return {hash.low64, hash.high64};
}

}  // namespace onced::protocol
