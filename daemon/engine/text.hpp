// Durations and sizes as people read them, in the engine's texts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/types.hpp"

namespace onced::engine {

std::string duration_text(Duration duration);       // "850 us", "3.4 s", "12 min", "3.2 h"
std::string bytes_text(std::uint64_t bytes);        // "900 bytes", "1.2 KiB"
// At most `bytes_max` bytes, cut between characters of UTF-8.
std::string cut(std::string_view text, std::size_t bytes_max);

}  // namespace onced::engine
