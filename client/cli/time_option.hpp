// Times on the command line, as the value of an option.
#pragma once

#include <string>
#include <string_view>

#include <onced/options.hpp>
#include <onced/protocol/result.hpp>

#include "text_format.hpp"

namespace onced::cli {

struct TimeBounds {
  Milliseconds least{1};
  Milliseconds most = duration_max();
};

// "90s" -> 90 seconds. The error names the option and says what is wrong: `--ttl soon: not a time such as ...`.
Result<Milliseconds> time_option(std::string_view option, const std::string& text, const TimeBounds& bounds = {});

}  // namespace onced::cli
