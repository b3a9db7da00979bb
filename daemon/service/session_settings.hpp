// How long sessions live and what they may keep: the settings [sessions] of all namespaces, and of one,
// [namespaces.NAME.sessions]. They are the same five; a namespace's own count more.
//
// Threads: values. Errors: what is wrong with one value; its name and place are the caller's to add.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <onced/protocol/result.hpp>

namespace onced::service {

// Nothing: what [sessions] says, where everything is said.
struct SessionSettings {
  std::optional<std::chrono::milliseconds> idle_ttl{};      // 0: for ever
  std::optional<std::chrono::milliseconds> absolute_ttl{};  // likewise
  std::optional<std::uint64_t> bytes_max{};                 // of one session
  std::optional<std::uint64_t> entries_max{};               // likewise
  std::optional<std::uint64_t> sessions_max{};              // of the namespace
  friend bool operator==(const SessionSettings&, const SessionSettings&) = default;
};
SessionSettings default_session_settings();
// Each of the five from the first that says it.
SessionSettings first_said(const SessionSettings& first, const SessionSettings& second);

enum class SessionMember : std::uint8_t { idle_ttl, absolute_ttl, bytes_max, entries_max, sessions_max };
struct SessionSetting {
  enum class Kind : std::uint8_t { duration, size, count };
  SessionMember member;
  std::string_view name;
  Kind kind;
};
std::span<const SessionSetting> session_settings();
SessionSetting::Kind kind_of(SessionMember member);

Result<void> set_session_setting(SessionSettings& to, SessionMember member, std::string_view text);
// As set_session_setting() reads it; empty: nothing is said.
std::string get_session_setting(const SessionSettings& from, SessionMember member);

}  // namespace onced::service
