// How this library speaks to the operator; where it goes is the service's business (service/log.hpp).
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace onced::net {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

// Never blocks, never throws. Called on the loop's thread.
using LogFunction = std::function<void(LogLevel, std::string_view)>;

}  // namespace onced::net
