// For loops over every place where something may go wrong: all of them where code runs at its own speed, each third with sanitizers.
#pragma once

#include <cstddef>

namespace onced::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr std::size_t stride = 3;
#else
inline constexpr std::size_t stride = 1;
#endif

}  // namespace onced::testing
