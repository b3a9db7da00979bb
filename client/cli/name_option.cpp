#include "name_option.hpp"

#include <string>

#include <onced/protocol/limits.hpp>

#include "text_format.hpp"

namespace onced::cli {

Result<void> name_option(std::string_view option, std::string_view name, std::size_t bytes_max) {
  constexpr std::size_t shown = 40;
  const auto wrong = [&](const std::string& what) {
    return Error{ErrorCode::invalid_argument, std::string(option) + " " + cut_to(name, shown) + ": " + what};
  };
  if (!is_utf8(name)) return wrong("is not UTF-8");
  if (name.size() > bytes_max) return wrong("is longer than " + std::to_string(bytes_max) + " bytes (" + std::to_string(name.size()) + ")");
  return {};
}

Result<void> function_option(std::string_view option, std::string_view name) { return name_option(option, name, limits::function_name_bytes_max); }

}  // namespace onced::cli
