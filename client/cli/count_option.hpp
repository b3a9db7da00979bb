// Whole numbers on the command line, as the value of an option.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <onced/protocol/result.hpp>

namespace onced::cli {

// "10" -> 10; 0 where nothing is given: without a bound. The error says what was expected: `--limit x: not a whole number from 1 on`.
Result<std::uint64_t> count_option(std::string_view option, const std::string& text);

}  // namespace onced::cli
