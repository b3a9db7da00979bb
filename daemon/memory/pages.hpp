// Pages of memory, and multiples of them.
#pragma once

#include <cstdint>

namespace onced::memory {

inline constexpr std::uint64_t page_bytes = 4096;

// The next multiple that is not less. `alignment` is not 0; the sum of both must fit.
constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) { return (value + alignment - 1) / alignment * alignment; }

}  // namespace onced::memory
