// A hash table by bytes (keys, function names) that is searched with a string_view, without making a string.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace onced::engine {

struct BytesHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view bytes) const { return std::hash<std::string_view>{}(bytes); }
};

template <typename T>
using KeyMap = std::unordered_map<std::string, T, BytesHash, std::equal_to<>>;

}  // namespace onced::engine
