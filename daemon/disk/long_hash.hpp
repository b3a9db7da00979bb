// XXH3 of long inputs by the widest vectors that this processor has. The hashes are the same whoever computes them.
//
// xxHash chooses its vectors when it is compiled, and what runs on every processor has SSE2: half as fast as AVX2. Its own choice at run time
// (xxh_x86dispatch.h) is not in every distribution's build of the library, so the same header is compiled here once more. (AVX-512, tried: no
// faster than AVX2 for bytes that have just been read, and it slows the clock of older processors.)
//
// Threads: any; a LongHash belongs to one at a time.
#pragma once

#include <array>
#include <cstddef>

#include "disk/format.hpp"
#include "disk/hash_build.hpp"

namespace onced::disk {

// The one for this processor.
const HashBuild& hash_build();

// XXH3-128 of bytes that come in pieces, seed 0.
class LongHash {
 public:
  explicit LongHash(const HashBuild& build = hash_build()) : build_(build) { build_.begin(state_.data()); }
  void add(Bytes bytes) { build_.add(state_.data(), bytes.data(), bytes.size()); }
  Digest end() const {
    const HashBuild::Hash128 hash = build_.end(state_.data());
    return {hash.low, hash.high};
  }

 private:
  const HashBuild& build_;
  alignas(64) std::array<std::byte, hash_state_bytes> state_;
};

}  // namespace onced::disk
