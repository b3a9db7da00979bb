#include "time_option.hpp"

#include <optional>

#include "text_format.hpp"

namespace onced::cli {

Result<Milliseconds> time_option(std::string_view option, const std::string& text) {
  const std::optional<Milliseconds> time = parse_duration(text);
  const std::string said = std::string(option) + " " + text + ": ";
  if (!time) return Error{ErrorCode::invalid_argument, said + "not a time such as 500ms, 90s, 5m or 2h"};
  if (time->count() == 0) return Error{ErrorCode::invalid_argument, said + "must be longer than nothing"};
  return *time;
}

}  // namespace onced::cli
