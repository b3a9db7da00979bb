// Canonical form for what is only a piece of a key.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <onced/protocol/result.hpp>

namespace onced::protocol {

// As onced::canonical_msgpack(), with at most `depth_max` containers inside of each other.
Result<std::string> canonical_msgpack(std::string_view encoded, std::size_t depth_max);

// Checks that `bytes` are an array or a map in canonical form, of allowed depth, and nothing else.
Result<void> check_arguments(std::string_view bytes);

}  // namespace onced::protocol
