// What [namespaces.NAME] can say: how much memory a namespace has, who may use it, how long its values and sessions are kept, and
// whether values are kept on disk.
//
// The namespace "default" is always there; its memory is set above all tables, the rest here.
//
// Threads: values. Errors: what is wrong with one value; its name and place are the caller's to add.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <onced/protocol/result.hpp>

#include "service/access_settings.hpp"
#include "service/disk_settings.hpp"
#include "service/function_settings.hpp"
#include "service/retention_settings.hpp"
#include "service/session_settings.hpp"

namespace onced::service {

// What a namespace may use. 0 in a Configuration that is still being read: nobody has said.
struct Budget {
  std::uint64_t memory_bytes = 0;  // its segment
  std::uint64_t blob_bytes = 0;    // large parts, which lie outside
  friend bool operator==(const Budget&, const Budget&) = default;
};
inline constexpr std::uint64_t memory_bytes_min = 1024 * 1024;
inline constexpr std::uint64_t memory_bytes_max = std::uint64_t{64} << 40;

// What a namespace has of its own beside its memory. What is not said here is as for all namespaces; what is said here,
// of sessions, of retention for all functions or for one, counts more than anything that is said for all namespaces.
struct NamespaceRules {
  Access access{};
  DiskRules disk{};
  Retention retention{};
  SessionSettings sessions{};
  std::map<std::string, FunctionSettings, std::less<>> functions{};
  friend bool operator==(const NamespaceRules&, const NamespaceRules&) = default;
};
struct NamespaceConfiguration {
  Budget budget{};
  NamespaceRules rules{};
  friend bool operator==(const NamespaceConfiguration&, const NamespaceConfiguration&) = default;
};

// "namespaces.charts.retention.ttl" -> "charts" and what is set there.
struct NamespaceSetting {
  enum class Kind : std::uint8_t { memory, blobs, disk, disk_size, access, retention, session, function };
  std::string_view space;
  Kind kind = Kind::memory;
  AccessMember access{};
  RetentionMember retention{};
  SessionMember session{};
  std::string_view function{};
  std::string_view function_setting{};  // which of the function's
};
std::optional<NamespaceSetting> namespace_setting(std::string_view name);
// What was probably meant by a name that is none of these but looks like one; empty: it does not.
std::string meant_namespace_setting(std::string_view name);

// Whether a namespace may be called so.
Result<void> check_namespace_name(std::string_view name);

// Sets what `setting` says of one namespace. `budget` is null for "default", which has its sizes elsewhere.
Result<void> set_in_namespace(Budget* budget, NamespaceRules& rules, const NamespaceSetting& setting, std::string_view text,
                              const UserDatabase& users);

// All that is said of one namespace, in the order of its tables.
struct NamespaceValue {
  std::string table;  // "", "retention", "sessions" or "functions.\"NAME\"", behind "namespaces.NAME"
  std::string key;    // in that table
  std::string name;   // dotted, behind "namespaces.NAME.": "functions.charts.draw.ttl"
  std::string toml;   // the value, as it stands in a file
  std::string text;   // for people
};
std::vector<NamespaceValue> values_of(const Budget* budget, const NamespaceRules& rules);

// Of one namespace: "namespaces.charts.allow_users: not set -> ["alice"]".
struct NamespaceDifferences {
  std::vector<std::string> reloaded;
  std::vector<std::string> need_restart;
};
NamespaceDifferences differences_of(std::string_view space, const std::vector<NamespaceValue>& before,
                                    const std::vector<NamespaceValue>& after);

inline constexpr std::string_view namespaces_prefix = "namespaces.";

}  // namespace onced::service
