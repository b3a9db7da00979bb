#include <onced/protocol/escape.hpp>

#include <cstddef>
#include <cstdio>

namespace onced::protocol {

std::string escape_controls(std::string_view text) {
  const auto byte_at = [text](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const auto is_c1 = [&](std::size_t at) { return at + 1 < text.size() && byte_at(at) == 0xc2 && byte_at(at + 1) >= 0x80 && byte_at(at + 1) < 0xa0; };
  std::string escaped;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (byte_at(i) >= 0x20 && byte_at(i) != 0x7f && !is_c1(i) && (i == 0 || !is_c1(i - 1))) {
      escaped += text[i];
      continue;
    }
    char digits[5];
    std::snprintf(digits, sizeof(digits), "\\x%02x", byte_at(i));
    escaped += digits;
  }
  return escaped;
}

}  // namespace onced::protocol
