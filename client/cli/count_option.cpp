#include "count_option.hpp"

#include <charconv>
#include <system_error>

namespace onced::cli {

Result<std::uint64_t> count_option(std::string_view option, const std::string& text) {
  if (text.empty()) return std::uint64_t{0};
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end || number == 0) {
    return Error{ErrorCode::invalid_argument, std::string(option) + " " + text + ": not a whole number from 1 on; without it there is no bound"};
  }
  return number;
}

}  // namespace onced::cli
