#include "time_option.hpp"

#include <algorithm>
#include <optional>

#include "text_format.hpp"

namespace onced::cli {

Result<Milliseconds> time_option(std::string_view option, const std::string& text, const TimeBounds& bounds) {
  const auto wrong = [&](const std::string& what) { return Error{ErrorCode::invalid_argument, std::string(option) + " " + text + ": " + what}; };
  const std::optional<Milliseconds> time = parse_duration(text);
  if (!time) {
    const bool bare = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
    return wrong(bare ? "a time needs its unit, as in 500ms, 90s, 5m or 2h" : "not a time such as 500ms, 90s, 5m or 2h");
  }
  const auto said = [](Milliseconds bound) { return human_duration(static_cast<double>(bound.count()) / 1e3); };
  if (time->count() == 0) return wrong("must be longer than nothing");
  if (*time < bounds.least) return wrong("too short; at least " + said(bounds.least));
  if (*time > bounds.most) return wrong("too long; at most " + said(bounds.most));
  return *time;
}

}  // namespace onced::cli
