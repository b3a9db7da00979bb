// Durations and sizes as people read them, in the engine's texts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/types.hpp"

namespace onced::engine {

std::string duration_text(Duration duration);       // "850 us", "3.4 s", "12 min", "3.2 h"
std::string bytes_text(std::uint64_t bytes);        // "900 bytes", "1.2 KiB"
// "5.0 GiB > 4.0 GiB"; in bytes when the two look the same otherwise.
std::string exceeds_text(std::uint64_t bytes, std::uint64_t bytes_max);
// "1 request", "2 requests"
std::string count_text(std::uint64_t count, std::string_view noun);
// At most `bytes_max` bytes, cut between characters of UTF-8.
std::string cut(std::string_view text, std::size_t bytes_max);

}  // namespace onced::engine
