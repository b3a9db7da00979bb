#include "service/namespace_settings.hpp"

#include <algorithm>
#include <array>
#include <span>

#include <onced/protocol/closest_word.hpp>
#include <onced/protocol/limits.hpp>

#include "service/configuration.hpp"
#include "service/quantities.hpp"

namespace onced::service {
namespace {

using Kind = NamespaceSetting::Kind;

constexpr std::string_view retention_prefix = "retention.";
constexpr std::string_view sessions_prefix = "sessions.";
constexpr std::string_view not_set = "not set";
constexpr std::string_view disk_name = "disk";
constexpr std::string_view disk_size_name = "disk_size";

Error invalid(std::string text) { return Error{ErrorCode::invalid_argument, std::move(text)}; }

Result<void> set_size(std::uint64_t& to, std::string_view text) {
  const Result<std::uint64_t> size = parse_size_between(text, memory_bytes_min, memory_bytes_max);
  if (!size) return size.error();
  to = *size;
  return {};
}

std::string toml_of(RetentionMember member, const std::string& text) {
  return member == RetentionMember::refresh_ahead ? text : in_quotes(text);
}

void add_retention(std::vector<NamespaceValue>& to, const Retention& from) {
  for (const RetentionSetting& setting : retention_settings()) {
    const std::string text = get_retention(from, setting.member);
    if (text.empty()) continue;
    to.push_back({"retention", std::string(setting.name), std::string(retention_prefix) + std::string(setting.name),
                  toml_of(setting.member, text), text});
  }
}

void add_sessions(std::vector<NamespaceValue>& to, const SessionSettings& from) {
  for (const SessionSetting& setting : session_settings()) {
    const std::string text = get_session_setting(from, setting.member);
    if (text.empty()) continue;
    to.push_back({"sessions", std::string(setting.name), std::string(sessions_prefix) + std::string(setting.name),
                  setting.kind == SessionSetting::Kind::count ? text : in_quotes(text), text});
  }
}

}  // namespace

std::optional<NamespaceSetting> namespace_setting(std::string_view name) {
  if (!name.starts_with(namespaces_prefix)) return std::nullopt;
  name.remove_prefix(namespaces_prefix.size());
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos || dot == 0) return std::nullopt;
  NamespaceSetting setting{.space = name.substr(0, dot)};
  name.remove_prefix(dot + 1);
  if (name == "memory") return setting;
  if (name == "blobs") {
    setting.kind = Kind::blobs;
    return setting;
  }
  if (name == disk_name || name == disk_size_name) {
    setting.kind = name == disk_name ? Kind::disk : Kind::disk_size;
    return setting;
  }
  for (const AccessSetting& one : access_settings()) {
    if (name != one.name) continue;
    setting.kind = Kind::access;
    setting.access = one.member;
    return setting;
  }
  if (const auto of_function = function_setting(name)) {
    setting.kind = Kind::function;
    setting.function = of_function->function;
    setting.function_setting = of_function->name;
    return setting;
  }
  if (name.starts_with(sessions_prefix)) {
    for (const SessionSetting& one : session_settings()) {
      if (name.substr(sessions_prefix.size()) != one.name) continue;
      setting.kind = Kind::session;
      setting.session = one.member;
      return setting;
    }
  }
  if (!name.starts_with(retention_prefix)) return std::nullopt;
  name.remove_prefix(retention_prefix.size());
  for (const RetentionSetting& one : retention_settings()) {
    if (name != one.name) continue;
    setting.kind = Kind::retention;
    setting.retention = one.member;
    return setting;
  }
  return std::nullopt;
}

std::string meant_namespace_setting(std::string_view name) {
  const std::size_t dot = name.find('.');
  constexpr std::array<std::string_view, 1> tables{namespaces_prefix.substr(0, namespaces_prefix.size() - 1)};
  if (dot == std::string_view::npos || !protocol::closest_word(name.substr(0, dot), tables)) return {};
  const std::size_t behind = name.find('.', dot + 1);
  if (behind == std::string_view::npos) return {};
  const std::string start = std::string(namespaces_prefix) + std::string(name.substr(dot + 1, behind - dot));
  const std::string_view rest = name.substr(behind + 1);
  if (const std::string meant = meant_function_setting(rest); !meant.empty()) return start + meant;
  std::vector<std::string> names{"memory", "blobs", std::string(disk_name), std::string(disk_size_name)};
  for (const AccessSetting& one : access_settings()) names.emplace_back(one.name);
  for (const RetentionSetting& one : retention_settings()) names.push_back(std::string(retention_prefix) + std::string(one.name));
  for (const SessionSetting& one : session_settings()) names.push_back(std::string(sessions_prefix) + std::string(one.name));
  if (const auto meant = protocol::closest_word(rest, names)) return start + *meant;
  return {};
}

Result<void> check_namespace_name(std::string_view name) {
  const bool right = !name.empty() && name.size() <= limits::namespace_name_bytes_max && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  if (right) return {};
  return invalid("a namespace's name has 1 to " + std::to_string(limits::namespace_name_bytes_max) + " letters, digits, _ or -");
}

Result<void> set_in_namespace(Budget* budget, NamespaceRules& rules, const NamespaceSetting& setting, std::string_view text,
                              const UserDatabase& users) {
  switch (setting.kind) {
    case Kind::memory:
    case Kind::blobs:
      if (budget == nullptr) {
        return invalid(std::string("the namespace \"default\" is always there; set \"") + (setting.kind == Kind::memory ? "memory" : "blobs") +
                       "\" instead");
      }
      return set_size(setting.kind == Kind::memory ? budget->memory_bytes : budget->blob_bytes, text);
    case Kind::disk:
      return set_disk(rules.disk, text);
    case Kind::disk_size:
      return set_disk_size(rules.disk, text);
    case Kind::access:
      return set_access(rules.access, setting.access, text, users);
    case Kind::retention:
      return set_retention(rules.retention, setting.retention, text);
    case Kind::session:
      return set_session_setting(rules.sessions, setting.session, text);
    case Kind::function:
      if (auto checked = check_function_name(setting.function); !checked) return checked;
      return set_function_setting(rules.functions[std::string(setting.function)], setting.function_setting, text);
  }
  return {};
}

std::vector<NamespaceValue> values_of(const Budget* budget, const NamespaceRules& rules) {
  std::vector<NamespaceValue> values;
  if (budget != nullptr) {
    for (const auto& [name, bytes] : {std::pair("memory", budget->memory_bytes), std::pair("blobs", budget->blob_bytes)})
      values.push_back({"", name, name, in_quotes(print_size(bytes)), print_size(bytes)});
  }
  const auto add_quoted = [&](std::string_view name, const std::string& text) {
    values.push_back({"", std::string(name), std::string(name), in_quotes(text), text});
  };
  if (rules.disk.on) add_quoted(disk_name, *rules.disk.on ? "on" : "off");
  if (rules.disk.bytes != 0) add_quoted(disk_size_name, print_size(rules.disk.bytes));
  for (const AccessSetting& setting : access_settings()) {
    const auto list = get_access(rules.access, setting.member);
    if (list) values.push_back({"", std::string(setting.name), std::string(setting.name), *list, *list});
  }
  add_retention(values, rules.retention);
  add_sessions(values, rules.sessions);
  for (const auto& [name, function] : rules.functions) {
    for (const std::string_view setting : function_setting_names()) {
      const std::string text = get_function_setting(function, setting);
      if (text.empty()) continue;
      const bool quoted = function_setting_is_quoted(setting);
      values.push_back({"functions." + in_quotes(name), std::string(setting), std::string(functions_prefix) + name + "." + std::string(setting),
                        quoted ? in_quotes(text) : text, text});
    }
  }
  return values;
}

NamespaceDifferences differences_of(std::string_view space, const std::vector<NamespaceValue>& before,
                                    const std::vector<NamespaceValue>& after) {
  NamespaceDifferences result;
  const auto text_in = [](const std::vector<NamespaceValue>& values, std::string_view name) {
    const auto found = std::find_if(values.begin(), values.end(), [&](const NamespaceValue& value) { return value.name == name; });
    return found == values.end() ? std::string(not_set) : found->text;
  };
  const auto add = [&](std::string_view name, const std::string& old_text, const std::string& new_text) {
    if (old_text == new_text) return;
    (name == "memory" || name == disk_name || name == disk_size_name ? result.need_restart : result.reloaded)
        .push_back(std::string(namespaces_prefix) + std::string(space) + "." + std::string(name) + ": " + old_text + " -> " + new_text);
  };
  for (const NamespaceValue& value : before) add(value.name, value.text, text_in(after, value.name));
  for (const NamespaceValue& value : after)
    if (text_in(before, value.name) == not_set) add(value.name, std::string(not_set), value.text);
  return result;
}

}  // namespace onced::service
