// How long values and failures are kept where their callers say nothing: the settings [retention] of all functions, and
// of one (function_settings.hpp). They are the same four; a function's own count more.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <onced/protocol/result.hpp>

namespace onced::service {

// Nothing: what [retention] says, where everything is said.
struct Retention {
  std::optional<std::chrono::milliseconds> ttl{};
  std::optional<std::chrono::milliseconds> grace{};
  std::optional<std::uint64_t> refresh_ahead_permille{};
  std::optional<std::chrono::milliseconds> failure_ttl{};
  friend bool operator==(const Retention&, const Retention&) = default;
};
Retention default_retention();
// Each of the four from the first that says it.
Retention first_said(const Retention& first, const Retention& second);

enum class RetentionMember : std::uint8_t { ttl, grace, refresh_ahead, failure_ttl };
struct RetentionSetting {
  RetentionMember member;
  std::string_view name;
};
std::span<const RetentionSetting> retention_settings();

Result<void> set_retention(Retention& to, RetentionMember member, std::string_view text);
// As set_retention() reads it; empty: nothing is said.
std::string get_retention(const Retention& from, RetentionMember member);

}  // namespace onced::service
