// How long values and failures are kept: what a client asks for, and what the configuration says where it leaves that open.
//
// Each number is decided by the first that says it: the request, the function's own settings, the settings of all.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/messages.hpp>

#include "engine/types.hpp"

namespace onced::engine {

// as_configured: nothing is said here.
struct RetentionDefaults {
  std::uint64_t ttl_ms = protocol::as_configured;                  // 0: for ever
  std::uint64_t grace_ms = protocol::as_configured;
  std::uint64_t refresh_ahead_permille = protocol::as_configured;  // 0: never
  std::uint64_t failure_ttl_ms = protocol::as_configured;
  friend bool operator==(const RetentionDefaults&, const RetentionDefaults&) = default;
};

struct RetentionSettings {
  RetentionDefaults all{.ttl_ms = 0, .grace_ms = 0, .refresh_ahead_permille = 0,
                        .failure_ttl_ms = std::chrono::milliseconds(limits::failure_ttl_default).count()};  // says everything
  std::map<std::string, RetentionDefaults, std::less<>> functions{};  // by name
};

// Of one value, nothing left open.
struct Lifespan {
  std::uint64_t ttl_ms = 0;
  std::uint32_t grace_ms = 0;
  std::uint64_t refresh_ahead_permille = 0;
};
Lifespan lifespan_of(const RetentionSettings& settings, std::string_view function, const protocol::Retention& asked);
Duration failure_ttl_of(const RetentionSettings& settings, std::string_view function, std::uint64_t asked_ms);

// XFetch (Vattani, Chierichetti, Lowenstein 2015): a reader refreshes a value ahead of time when -ln(u) * beta * cost is not
// less than the time left, u uniform in (0,1). Longer before its end than this that is less likely than 1e-6.
std::uint32_t early_ms_of(const Lifespan& lifespan, std::uint64_t cost_us);

}  // namespace onced::engine
