#include "service/retention_settings.hpp"

#include <array>

#include <onced/protocol/limits.hpp>

#include "service/quantities.hpp"

namespace onced::service {
namespace {

constexpr std::array<RetentionSetting, 4> table{{{RetentionMember::ttl, "ttl"},
                                                 {RetentionMember::grace, "grace"},
                                                 {RetentionMember::refresh_ahead, "refresh_ahead"},
                                                 {RetentionMember::failure_ttl, "failure_ttl"}}};
constexpr std::uint64_t refresh_ahead_permille_max = 1'000'000;

std::optional<std::chrono::milliseconds> Retention::*duration_of(RetentionMember member) {
  switch (member) {
    case RetentionMember::ttl: return &Retention::ttl;
    case RetentionMember::grace: return &Retention::grace;
    case RetentionMember::failure_ttl: return &Retention::failure_ttl;
    case RetentionMember::refresh_ahead: break;
  }
  return nullptr;
}

Error invalid(std::string text) { return Error{ErrorCode::invalid_argument, std::move(text)}; }

}  // namespace

Retention default_retention() {
  using std::chrono::milliseconds;
  return {.ttl = milliseconds(0), .grace = milliseconds(0), .refresh_ahead_permille = 0, .failure_ttl = limits::failure_ttl_default};
}

Retention first_said(const Retention& first, const Retention& second) {
  const auto either = [](const auto& a, const auto& b) { return a ? a : b; };
  return {.ttl = either(first.ttl, second.ttl),
          .grace = either(first.grace, second.grace),
          .refresh_ahead_permille = either(first.refresh_ahead_permille, second.refresh_ahead_permille),
          .failure_ttl = either(first.failure_ttl, second.failure_ttl)};
}

std::span<const RetentionSetting> retention_settings() { return table; }

Result<void> set_retention(Retention& to, RetentionMember member, std::string_view text) {
  if (member == RetentionMember::refresh_ahead) {
    const Result<std::uint64_t> permille = parse_factor(text);
    if (!permille) return permille.error();
    if (*permille > refresh_ahead_permille_max)
      return invalid(print_factor(*permille) + " is more than " + print_factor(refresh_ahead_permille_max));
    to.refresh_ahead_permille = *permille;
    return {};
  }
  const Result<std::chrono::milliseconds> duration = parse_duration(text);
  if (!duration) return duration.error();
  constexpr std::chrono::milliseconds grace_max{limits::grace_ms_max};
  if (member == RetentionMember::grace && *duration > grace_max)
    return invalid(print_duration(*duration) + " is longer than 49 days, which is the longest grace");
  to.*duration_of(member) = *duration;
  return {};
}

std::string get_retention(const Retention& from, RetentionMember member) {
  if (member == RetentionMember::refresh_ahead)
    return from.refresh_ahead_permille ? print_factor(*from.refresh_ahead_permille) : std::string();
  const std::optional<std::chrono::milliseconds>& duration = from.*duration_of(member);
  return duration ? print_duration(*duration) : std::string();
}

}  // namespace onced::service
