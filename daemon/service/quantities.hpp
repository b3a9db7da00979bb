// Sizes, durations, counts, factors and modes as people write them, read strictly: "64MiB", "5s", "4096", "1.5", "0660".
//
// No sign, no fraction but a factor's, no blank, no unit that could mean two things: what is read is what was meant. Overflow is an
// error. Pure functions; errors say what is wanted instead.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <onced/protocol/result.hpp>

namespace onced::service {

// "4096", digits only.
Result<std::uint64_t> parse_count(std::string_view text);
// Bytes: digits, then one of B KiB MiB GiB TiB (powers of 1024) or nothing.
Result<std::uint64_t> parse_size(std::string_view text);
Result<std::uint64_t> parse_size_between(std::string_view text, std::uint64_t least, std::uint64_t most);
// Digits, then one of ms s min h d; "m" is "min", as for oncectl.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// In thousandths: digits, perhaps a point and one to three more: "2", "0.25".
Result<std::uint64_t> parse_factor(std::string_view text);
// Permission bits in octal: "0660".
Result<std::uint32_t> parse_mode(std::string_view text);

// In the largest unit that divides it: "256MiB", "90s".
std::string print_size(std::uint64_t bytes);
std::string print_duration(std::chrono::milliseconds duration);
std::string print_factor(std::uint64_t permille);
std::string print_mode(std::uint32_t mode);

// As a TOML string.
std::string in_quotes(std::string_view text);

}  // namespace onced::service
