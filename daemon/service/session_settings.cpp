#include "service/session_settings.hpp"

#include <array>

#include <onced/protocol/limits.hpp>

#include "service/quantities.hpp"

namespace onced::service {
namespace {

using Kind = SessionSetting::Kind;

constexpr std::array<SessionSetting, 5> table{{{SessionMember::idle_ttl, "idle_ttl", Kind::duration},
                                               {SessionMember::absolute_ttl, "absolute_ttl", Kind::duration},
                                               {SessionMember::bytes_max, "bytes_max", Kind::size},
                                               {SessionMember::entries_max, "entries_max", Kind::count},
                                               {SessionMember::sessions_max, "sessions_max", Kind::count}}};
constexpr std::uint64_t bytes_least = 1024;
constexpr std::uint64_t bytes_most = std::uint64_t{1} << 40;
constexpr std::uint64_t entries_most = 1'000'000;

std::optional<std::chrono::milliseconds>& duration_in(SessionSettings& settings, SessionMember member) {
  return member == SessionMember::idle_ttl ? settings.idle_ttl : settings.absolute_ttl;
}
std::optional<std::uint64_t>& count_in(SessionSettings& settings, SessionMember member) {
  return member == SessionMember::entries_max ? settings.entries_max : settings.sessions_max;
}

}  // namespace

SessionSettings default_session_settings() {
  return {.idle_ttl = limits::session_idle_ttl_default,
          .absolute_ttl = limits::session_absolute_ttl_default,
          .bytes_max = limits::session_bytes_max,
          .entries_max = limits::session_entries_max,
          .sessions_max = limits::sessions_max};
}

SessionSettings first_said(const SessionSettings& first, const SessionSettings& second) {
  const auto either = [](const auto& a, const auto& b) { return a ? a : b; };
  return {.idle_ttl = either(first.idle_ttl, second.idle_ttl),
          .absolute_ttl = either(first.absolute_ttl, second.absolute_ttl),
          .bytes_max = either(first.bytes_max, second.bytes_max),
          .entries_max = either(first.entries_max, second.entries_max),
          .sessions_max = either(first.sessions_max, second.sessions_max)};
}

std::span<const SessionSetting> session_settings() { return table; }

Kind kind_of(SessionMember member) { return table.at(static_cast<std::size_t>(member)).kind; }

Result<void> set_session_setting(SessionSettings& to, SessionMember member, std::string_view text) {
  switch (kind_of(member)) {
    case Kind::duration: {
      const Result<std::chrono::milliseconds> duration = parse_duration(text);
      if (!duration) return duration.error();
      duration_in(to, member) = *duration;
      return {};
    }
    case Kind::size: {
      const Result<std::uint64_t> bytes = parse_size_between(text, bytes_least, bytes_most);
      if (!bytes) return bytes.error();
      to.bytes_max = *bytes;
      return {};
    }
    case Kind::count: {
      const Result<std::uint64_t> count = parse_count(text);
      if (!count) return count.error();
      const std::uint64_t most = member == SessionMember::entries_max ? entries_most : limits::sessions_max;
      if (*count < 1 || *count > most)
        return Error{ErrorCode::invalid_argument, std::to_string(*count) + " is outside 1 to " + std::to_string(most)};
      count_in(to, member) = *count;
      return {};
    }
  }
  return {};
}

std::string get_session_setting(const SessionSettings& from, SessionMember member) {
  SessionSettings copy = from;
  switch (kind_of(member)) {
    case Kind::duration: {
      const auto& duration = duration_in(copy, member);
      return duration ? print_duration(*duration) : std::string();
    }
    case Kind::size: return from.bytes_max ? print_size(*from.bytes_max) : std::string();
    case Kind::count: {
      const auto& count = count_in(copy, member);
      return count ? std::to_string(*count) : std::string();
    }
  }
  return {};
}

}  // namespace onced::service
