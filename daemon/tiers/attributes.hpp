// What the engine knows of a value and the store need not: the attributes of its record (DISK.md: "the engine's, and opaque there").
//
//   version of this format 1 byte, was put 1 byte, epoch 8 bytes, fresh until (time word) 8 bytes,
//   origin: length 4 bytes and text, tags: count 4 bytes, then each like the origin; numbers little-endian
//
// Errors: bytes that do not follow this give nothing; the value is then as good as not there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onced::tiers {

struct Attributes {
  std::uint64_t epoch = 0;
  std::uint64_t fresh_until_ms = 0;
  bool was_put = false;
  std::string origin;
  std::vector<std::string> tags;
  friend bool operator==(const Attributes&, const Attributes&) = default;
};

std::string encode(const Attributes& attributes);
std::optional<Attributes> decode_attributes(std::string_view bytes);

}  // namespace onced::tiers
