// What the engine knows of a value and the store need not: the attributes of its record (DISK.md: "the engine's, and opaque there").
//
//   version of this format 1 byte, was put 1 byte, epoch 8 bytes, fresh until (time word) 8 bytes,
//   origin: length 4 bytes and text, tags: count 4 bytes, then each like the origin; numbers little-endian.
//   Version 1 ends here, and is that of a value that was computed from no other. Version 2 goes on with those that it was computed from, over all steps:
//   count 4 bytes (at least 1), then of each key (like the origin), epoch 8 bytes, version 8 bytes, tags (as above)
//
// A daemon that knows version 1 only takes no value of version 2 for one: it would not ask what has become of its upstreams.
//
// Errors: bytes that do not follow this give nothing; the value is then as good as not there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/disk_tier.hpp"

namespace onced::tiers {

struct Attributes {
  std::uint64_t epoch = 0;
  std::uint64_t fresh_until_ms = 0;
  bool was_put = false;
  std::string origin;
  std::vector<std::string> tags;
  std::vector<engine::DiskUpstream> upstreams{};
  friend bool operator==(const Attributes&, const Attributes&) = default;
};

std::string encode(const Attributes& attributes);
std::optional<Attributes> decode_attributes(std::string_view bytes);

}  // namespace onced::tiers
