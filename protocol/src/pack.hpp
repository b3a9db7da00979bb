// The one encoding that each value has in a key (WIRE.md, "Keys"), appended to a string.
//
// Not msgpack-cxx: its packer writes 1.0 as the integer 1, and what a key looks like must not depend on the habits of a
// library's version.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <onced/protocol/key.hpp>

namespace onced::protocol {

inline constexpr std::uint64_t canonical_nan_bits = 0x7ff8'0000'0000'0000ULL;
inline constexpr std::int8_t timestamp_extension = -1;
inline constexpr std::int8_t digest_extension = 1;
inline constexpr std::uint32_t nanoseconds_max = 999'999'999;

// A first byte and `width` bytes of `number`, big-endian.
template <std::size_t width>
void pack_head(std::string& out, std::uint8_t first, std::uint64_t number) {
  char bytes[1 + width];
  bytes[0] = static_cast<char>(first);
  for (std::size_t i = 0; i < width; ++i) bytes[1 + i] = static_cast<char>(number >> (8 * (width - 1 - i)) & 0xff);
  out.append(bytes, sizeof bytes);
}

inline void pack_nil(std::string& out) { out.push_back(static_cast<char>(0xc0)); }
inline void pack_boolean(std::string& out, bool value) { out.push_back(static_cast<char>(value ? 0xc3 : 0xc2)); }

inline void pack_unsigned(std::string& out, std::uint64_t value) {
  if (value < 0x80) out.push_back(static_cast<char>(value));
  else if (value <= 0xff) pack_head<1>(out, 0xcc, value);
  else if (value <= 0xffff) pack_head<2>(out, 0xcd, value);
  else if (value <= 0xffff'ffff) pack_head<4>(out, 0xce, value);
  else pack_head<8>(out, 0xcf, value);
}

inline void pack_signed(std::string& out, std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  if (value >= 0) pack_unsigned(out, bits);
  else if (value >= -32) out.push_back(static_cast<char>(value));
  else if (value >= INT8_MIN) pack_head<1>(out, 0xd0, bits);
  else if (value >= INT16_MIN) pack_head<2>(out, 0xd1, bits);
  else if (value >= INT32_MIN) pack_head<4>(out, 0xd2, bits);
  else pack_head<8>(out, 0xd3, bits);
}

inline void pack_real(std::string& out, double value) {
  pack_head<8>(out, 0xcb, std::isnan(value) ? canonical_nan_bits : std::bit_cast<std::uint64_t>(value));
}

inline void pack_text_head(std::string& out, std::size_t bytes) {
  if (bytes < 32) out.push_back(static_cast<char>(0xa0 | bytes));
  else if (bytes <= 0xff) pack_head<1>(out, 0xd9, bytes);
  else if (bytes <= 0xffff) pack_head<2>(out, 0xda, bytes);
  else pack_head<4>(out, 0xdb, bytes);
}
inline void pack_text(std::string& out, std::string_view utf8) {
  pack_text_head(out, utf8.size());
  out.append(utf8);
}

inline void pack_bytes(std::string& out, std::string_view bytes) {
  if (bytes.size() <= 0xff) pack_head<1>(out, 0xc4, bytes.size());
  else if (bytes.size() <= 0xffff) pack_head<2>(out, 0xc5, bytes.size());
  else pack_head<4>(out, 0xc6, bytes.size());
  out.append(bytes);
}

inline void pack_array_head(std::string& out, std::size_t count) {
  if (count < 16) out.push_back(static_cast<char>(0x90 | count));
  else if (count <= 0xffff) pack_head<2>(out, 0xdc, count);
  else pack_head<4>(out, 0xdd, count);
}
inline void pack_map_head(std::string& out, std::size_t count) {
  if (count < 16) out.push_back(static_cast<char>(0x80 | count));
  else if (count <= 0xffff) pack_head<2>(out, 0xde, count);
  else pack_head<4>(out, 0xdf, count);
}

// The shortest of the three forms of MessagePack's timestamp extension. Precondition: nanoseconds in range.
inline void pack_timestamp(std::string& out, const Timestamp& value) {
  const auto seconds = static_cast<std::uint64_t>(value.seconds);
  if (seconds >> 34 == 0) {
    const std::uint64_t both = std::uint64_t{value.nanoseconds} << 34 | seconds;
    if (both <= 0xffff'ffff) {
      out.append("\xd6\xff", 2);
      for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(both >> shift & 0xff));
    } else {
      out.append("\xd7\xff", 2);
      for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(both >> shift & 0xff));
    }
    return;
  }
  out.append("\xc7\x0c\xff", 3);
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value.nanoseconds >> shift & 0xff));
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(seconds >> shift & 0xff));
}

inline void pack_digest(std::string& out, const std::uint8_t (&digest)[32]) {
  out.append("\xc7\x20\x01", 3);
  for (const std::uint8_t byte : digest) out.push_back(static_cast<char>(byte));
}

}  // namespace onced::protocol
