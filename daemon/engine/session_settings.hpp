// How long sessions live and how much they may keep: what the configuration says.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <onced/protocol/limits.hpp>

#include "engine/types.hpp"

namespace onced::engine {

struct SessionSettings {
  Duration idle_ttl = limits::session_idle_ttl_default;          // since its last use; 0: for ever
  Duration absolute_ttl = limits::session_absolute_ttl_default;  // since it was made; 0: for ever
  std::uint64_t bytes_max = limits::session_bytes_max;           // of the values of one session, those in blobs too
  std::size_t entries_max = limits::session_entries_max;         // values of one session
  std::size_t sessions_max = limits::sessions_max;               // more: the one that was used longest ago goes
  friend bool operator==(const SessionSettings&, const SessionSettings&) = default;
};

// So many there may be where the segment's table has so many places.
inline std::size_t sessions_max(const SessionSettings& settings, std::size_t places) {
  return std::clamp<std::size_t>(settings.sessions_max, 1, places);
}

}  // namespace onced::engine
