#include "service/function_settings.hpp"

#include <algorithm>
#include <array>

#include <onced/protocol/closest_word.hpp>
#include <onced/protocol/limits.hpp>

#include "service/configuration.hpp"
#include "service/quantities.hpp"

namespace onced::service {
namespace {

constexpr std::string_view max_concurrent = "max_concurrent";
constexpr std::uint64_t max_concurrent_most = 1'000'000;
constexpr std::string_view bytes_max = "bytes_max";

using Names = std::array<std::string_view, 6>;
const Names& names() {
  static const Names all = [] {
    Names made{};
    const auto rest = std::transform(retention_settings().begin(), retention_settings().end(), made.begin(), [](const RetentionSetting& s) { return s.name; });
    ONCED_ASSERT(made.end() - rest == 2);
    rest[0] = max_concurrent;
    rest[1] = bytes_max;
    return made;
  }();
  return all;
}

RetentionMember member_of(std::string_view name) {
  const auto all = retention_settings();
  return std::find_if(all.begin(), all.end(), [&](const RetentionSetting& s) { return s.name == name; })->member;
}

}  // namespace

std::span<const std::string_view> function_setting_names() { return names(); }

FunctionSettingKind kind_of_function_setting(std::string_view name) {
  if (name == max_concurrent) return FunctionSettingKind::count;
  if (name == bytes_max) return FunctionSettingKind::size;
  return member_of(name) == RetentionMember::refresh_ahead ? FunctionSettingKind::factor : FunctionSettingKind::duration;
}

bool function_setting_is_quoted(std::string_view name) {
  const FunctionSettingKind kind = kind_of_function_setting(name);
  return kind == FunctionSettingKind::duration || kind == FunctionSettingKind::size;
}

Result<void> set_function_setting(FunctionSettings& to, std::string_view name, std::string_view text) {
  if (name == bytes_max) {
    const Result<std::uint64_t> bytes = parse_size(text);
    if (!bytes) return bytes.error();
    to.bytes_max = *bytes;
    return {};
  }
  if (name != max_concurrent) return set_retention(to.retention, member_of(name), text);
  const Result<std::uint64_t> count = parse_count(text);
  if (!count) return count.error();
  if (*count > max_concurrent_most) {
    return Error{ErrorCode::invalid_argument, std::to_string(*count) + " is more than " + std::to_string(max_concurrent_most) +
                                                  "; 0 is no limit"};
  }
  to.max_concurrent = *count;
  return {};
}

std::string get_function_setting(const FunctionSettings& from, std::string_view name) {
  if (name == bytes_max) return from.bytes_max ? print_size(*from.bytes_max) : std::string();
  if (name != max_concurrent) return get_retention(from.retention, member_of(name));
  return from.max_concurrent ? std::to_string(*from.max_concurrent) : std::string();
}

std::optional<FunctionSetting> function_setting(std::string_view name) {
  if (!name.starts_with(functions_prefix)) return std::nullopt;
  name.remove_prefix(functions_prefix.size());
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return std::nullopt;
  const auto found = std::find(names().begin(), names().end(), name.substr(dot + 1));
  if (found == names().end()) return std::nullopt;
  return FunctionSetting{name.substr(0, dot), *found};
}

Result<void> check_function_name(std::string_view function) {
  if (function.size() <= limits::function_name_bytes_max) return {};
  return Error{ErrorCode::invalid_argument, "a function's name has at most " + std::to_string(limits::function_name_bytes_max) + " bytes"};
}

std::string meant_function_setting(std::string_view name) {
  const std::size_t first = name.find('.');
  const std::size_t last = name.rfind('.');
  if (first == std::string_view::npos || last == first) return {};
  constexpr std::array<std::string_view, 1> tables{functions_prefix.substr(0, functions_prefix.size() - 1)};
  if (!protocol::closest_word(name.substr(0, first), tables)) return {};
  const auto meant = protocol::closest_word(name.substr(last + 1), names());
  return meant ? std::string(functions_prefix) + std::string(name.substr(first + 1, last - first)) + *meant : std::string();
}

}  // namespace onced::service
