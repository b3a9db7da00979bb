// Bringing foreign MessagePack into canonical form, for callers that put the result inside of something else.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <onced/protocol/result.hpp>

namespace onced::protocol {

// As onced::canonical_msgpack(), with at most `depth_max` containers inside of each other.
Result<std::string> canonical_msgpack(std::string_view encoded, std::size_t depth_max);

}  // namespace onced::protocol
