// Bytes as people write them in tests.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace onced::test {

inline std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(static_cast<std::uint8_t>(byte)));
    text.append(digits);
  }
  return text;
}

// Spaces are for the reader: bytes("94 c0 a166").
inline std::string bytes(std::string_view text) {
  std::string result;
  int half = -1;
  for (const char digit : text) {
    if (digit == ' ') continue;
    const int value = digit <= '9' ? digit - '0' : digit - 'a' + 10;
    if (half < 0) half = value;
    else {
      result.push_back(static_cast<char>(half << 4 | value));
      half = -1;
    }
  }
  return result;
}

}  // namespace onced::test
