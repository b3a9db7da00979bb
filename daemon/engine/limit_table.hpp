// The limits that requests can meet: each with its name, its value, and how often it has refused one.
//
// A limit NAME_max has the setting limits.NAME_max. A refusal names what there is, the value and the setting, so that who reads it
// knows what to do less of, and who runs the daemon what to raise.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/engine.hpp"

namespace onced::engine {

enum class Limit : std::uint8_t {
  requests_in_flight_per_connection,
  under_way_bytes_per_connection,
  under_way_bytes,
  waiters_per_key,
  subscriptions_per_connection,
  subscriptions,
  invalidations_per_connection,
  invalidations,
  blobs_reserved_per_connection,
  reserved_bytes_per_connection,
  reserved_bytes_per_uid,
  pinned_bytes_per_connection,
};
inline constexpr std::size_t limits_known = 12;
using RefusalsByLimit = std::array<std::uint64_t, limits_known>;

std::string_view name_of(Limit limit);  // "waiters_per_key"
std::uint64_t value_of(Limit limit, const Settings& settings);
// "; the limit is 4096 (limits.waiters_per_key_max)"
std::string limit_text(Limit limit, const Settings& settings);

}  // namespace onced::engine
