// A finite double as the shortest decimal text that reads back as the same double, always recognisable as no integer.
#pragma once

#include <charconv>
#include <string>
#include <string_view>

namespace onced::protocol {

inline std::string real_text(double value) {
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  std::string text(digits, end);
  if (text.find_first_of(".en") == std::string::npos) text.append(".0");
  return text;
}

}  // namespace onced::protocol
