// Reads canonical MessagePack (WIRE.md, "Keys") one value head at a time and refuses every other encoding.
//
// A pull reader over bytes that it does not own; no allocation, no recursion, no exception. It knows the encoding of
// single values; nesting and the order of map keys are the caller's (canonical.cpp).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "pack.hpp"
#include <onced/protocol/utf8.hpp>

namespace onced::protocol {

enum class LexemeKind : std::uint8_t { nil, boolean, positive, negative, real, text, bytes, timestamp, digest, array, map };

struct Lexeme {
  LexemeKind kind = LexemeKind::nil;
  std::uint64_t number = 0;  // boolean, positive; negative (two's complement); real (its bits); array, map (count)
  std::string_view content;  // text, bytes, digest
  Timestamp time;            // timestamp
};

class CanonicalReader {
 public:
  explicit CanonicalReader(std::string_view bytes) : bytes_(bytes) {}

  std::size_t offset() const { return offset_; }
  bool at_end() const { return offset_ == bytes_.size(); }
  // Why the latest next() said false; the offset is that of the value refused.
  const char* mistake() const { return mistake_; }

  // Reads a scalar, or the head of an array or map, whose values come next.
  bool next(Lexeme& token) {
    if (at_end()) return refuse("ends in the middle");
    const auto first = static_cast<std::uint8_t>(bytes_[offset_]);
    if (first < 0x80) return whole(token, LexemeKind::positive, first, 1);
    if (first >= 0xe0) return whole(token, LexemeKind::negative, sign_extended<std::int8_t>(first), 1);
    if (first < 0x90) return whole(token, LexemeKind::map, first & 0x0f, 1);
    if (first < 0xa0) return whole(token, LexemeKind::array, first & 0x0f, 1);
    if (first < 0xc0) return content(token, LexemeKind::text, 1, first & 0x1f);
    switch (first) {
      case 0xc0: return whole(token, LexemeKind::nil, 0, 1);
      case 0xc2: return whole(token, LexemeKind::boolean, 0, 1);
      case 0xc3: return whole(token, LexemeKind::boolean, 1, 1);
      case 0xc4: return sized<1>(token, LexemeKind::bytes, 0);
      case 0xc5: return sized<2>(token, LexemeKind::bytes, 0x100);
      case 0xc6: return sized<4>(token, LexemeKind::bytes, 0x1'0000);
      case 0xd9: return sized<1>(token, LexemeKind::text, 32);
      case 0xda: return sized<2>(token, LexemeKind::text, 0x100);
      case 0xdb: return sized<4>(token, LexemeKind::text, 0x1'0000);
      case 0xdc: return counted<2>(token, LexemeKind::array, 16);
      case 0xdd: return counted<4>(token, LexemeKind::array, 0x1'0000);
      case 0xde: return counted<2>(token, LexemeKind::map, 16);
      case 0xdf: return counted<4>(token, LexemeKind::map, 0x1'0000);
      case 0xcc: return counted<1>(token, LexemeKind::positive, 0x80);
      case 0xcd: return counted<2>(token, LexemeKind::positive, 0x100);
      case 0xce: return counted<4>(token, LexemeKind::positive, 0x1'0000);
      case 0xcf: return counted<8>(token, LexemeKind::positive, 0x1'0000'0000);
      case 0xd0: return negative<1, std::int8_t>(token, -33);
      case 0xd1: return negative<2, std::int16_t>(token, INT8_MIN - 1);
      case 0xd2: return negative<4, std::int32_t>(token, INT16_MIN - 1);
      case 0xd3: return negative<8, std::int64_t>(token, std::int64_t{INT32_MIN} - 1);
      case 0xca: return refuse("holds a 32-bit float (floats have 64 bits)");
      case 0xcb: return real(token);
      case 0xd6: return extension(token, 2, 4);
      case 0xd7: return extension(token, 2, 8);
      case 0xc7: return has(2) ? extension(token, 3, static_cast<std::uint8_t>(bytes_[offset_ + 1])) : refuse_short();
      default: return refuse("holds a type that keys do not have");
    }
  }

 private:
  bool refuse(const char* why) {
    mistake_ = why;
    return false;
  }
  bool refuse_short() { return refuse("ends in the middle"); }
  bool refuse_long_form() { return refuse("holds a value that is not in its shortest encoding"); }
  bool has(std::uint64_t bytes) const { return bytes_.size() - offset_ >= bytes; }

  template <std::size_t width>
  std::uint64_t big_endian(std::size_t at) const {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < width; ++i) number = number << 8 | static_cast<std::uint8_t>(bytes_[at + i]);
    return number;
  }
  template <typename Signed>
  static std::uint64_t sign_extended(std::uint64_t bits) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<Signed>(bits)));
  }

  bool whole(Lexeme& token, LexemeKind kind, std::uint64_t number, std::size_t bytes) {
    token.kind = kind;
    token.number = number;
    offset_ += bytes;
    return true;
  }
  // A head of 1 + width bytes whose number must be at least `least`, else a shorter form exists.
  template <std::size_t width>
  bool counted(Lexeme& token, LexemeKind kind, std::uint64_t least) {
    if (!has(1 + width)) return refuse_short();
    const std::uint64_t number = big_endian<width>(offset_ + 1);
    return number < least ? refuse_long_form() : whole(token, kind, number, 1 + width);
  }
  template <std::size_t width, typename Signed>
  bool negative(Lexeme& token, std::int64_t most) {
    if (!has(1 + width)) return refuse_short();
    const std::uint64_t bits = sign_extended<Signed>(big_endian<width>(offset_ + 1));
    return static_cast<std::int64_t>(bits) > most ? refuse_long_form() : whole(token, LexemeKind::negative, bits, 1 + width);
  }
  template <std::size_t width>
  bool sized(Lexeme& token, LexemeKind kind, std::uint64_t least) {
    if (!has(1 + width)) return refuse_short();
    const std::uint64_t length = big_endian<width>(offset_ + 1);
    return length < least ? refuse_long_form() : content(token, kind, 1 + width, length);
  }
  bool content(Lexeme& token, LexemeKind kind, std::size_t head, std::uint64_t length) {
    if (!has(head + length)) return refuse_short();
    token.content = bytes_.substr(offset_ + head, length);
    if (kind == LexemeKind::text && !is_utf8(token.content)) return refuse("holds text that is not UTF-8");
    return whole(token, kind, 0, head + length);
  }
  bool real(Lexeme& token) {
    if (!has(9)) return refuse_short();
    const std::uint64_t bits = big_endian<8>(offset_ + 1);
    if (bits != canonical_nan_bits && std::isnan(std::bit_cast<double>(bits)))
      return refuse("holds a NaN other than 7ff8000000000000");
    return whole(token, LexemeKind::real, bits, 9);
  }
  bool extension(Lexeme& token, std::size_t head, std::uint64_t length) {
    if (!has(head + length)) return refuse_short();
    const auto type = static_cast<std::int8_t>(bytes_[offset_ + head - 1]);
    token.content = bytes_.substr(offset_ + head, length);
    if (type == digest_extension && head == 3 && length == 32) return whole(token, LexemeKind::digest, 0, head + length);
    if (type != timestamp_extension) return refuse("holds an extension that keys do not have");
    const std::size_t at = offset_ + head;
    if (head == 2 && length == 4) {
      token.time = {static_cast<std::int64_t>(big_endian<4>(at)), 0};
    } else if (head == 2 && length == 8) {
      const std::uint64_t both = big_endian<8>(at);
      if (both <= 0xffff'ffff) return refuse_long_form();
      token.time = {static_cast<std::int64_t>(both & 0x3'ffff'ffff), static_cast<std::uint32_t>(both >> 34)};
    } else if (head == 3 && length == 12) {
      const std::uint64_t seconds = big_endian<8>(at + 4);
      if (seconds >> 34 == 0) return refuse_long_form();
      token.time = {static_cast<std::int64_t>(seconds), static_cast<std::uint32_t>(big_endian<4>(at))};
    } else {
      return refuse("holds an extension that keys do not have");
    }
    if (token.time.nanoseconds > nanoseconds_max) return refuse("holds a timestamp with more than 999999999 nanoseconds");
    return whole(token, LexemeKind::timestamp, 0, head + length);
  }

  std::string_view bytes_;
  std::size_t offset_ = 0;
  const char* mistake_ = "";
};

// Steps over one whole value. Precondition: the reader reads valid canonical bytes.
inline void skip_value(CanonicalReader& reader) {
  for (std::uint64_t rest = 1; rest > 0; --rest) {
    Lexeme token;
    if (!reader.next(token)) return;
    if (token.kind == LexemeKind::array) rest += token.number;
    if (token.kind == LexemeKind::map) rest += 2 * token.number;
  }
}

}  // namespace onced::protocol
