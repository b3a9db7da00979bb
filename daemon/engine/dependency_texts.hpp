// What `oncectl explain` says of the dependencies of a key.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/entry.hpp"

namespace onced::engine {

inline constexpr std::size_t upstreams_explained_max = 8;

std::vector<std::string> dependency_texts(const Entry& entry);

}  // namespace onced::engine
