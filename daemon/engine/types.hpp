// Words of the engine that are not words of the wire.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>

namespace onced::engine {

// Monotonic time since the daemon's start. The engine never reads a clock: it is told.
using Time = std::chrono::nanoseconds;
using Duration = std::chrono::nanoseconds;

// Connections are numbered from 1 by the host and never reused: a late event for one that is gone names nothing.
enum class ConnectionId : std::uint64_t {};

// Random bytes of the daemon's start, known to nobody else (key_map.hpp).
using HashSecret = std::array<unsigned char, 192>;

// What a session's id is made of: 256 bits that nobody can guess. The host draws them from getrandom(2).
using SessionSecret = std::array<unsigned char, 32>;

}  // namespace onced::engine
