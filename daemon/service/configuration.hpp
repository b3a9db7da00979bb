// What an operator can set, and where each value came from: flag > environment > file > default.
//
// Every setting stands in one table (settings()): its name in the file, its kind and range, whether a reload may change
// it. The sources only deliver texts; the table reads them all in the same way.
//
// Threads: values. Errors: all mistakes of a source together, one per line, with file, line, column and a hint.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/result.hpp>

#include "service/access_settings.hpp"
#include "service/disk_settings.hpp"
#include "service/function_settings.hpp"
#include "service/namespace_settings.hpp"
#include "service/retention_settings.hpp"
#include "service/session_settings.hpp"

namespace onced::service {

enum class Level : std::uint8_t { debug, info, warning, error };
enum class Format : std::uint8_t { text, json };

struct Configuration {
  std::string socket;
  std::uint32_t socket_mode = 0;     // 0: 0660 for a service, else 0600
  std::uint32_t directory_mode = 0;  // 0: 0750 for a service, else 0700
  std::uint64_t memory_bytes = 0;    // of the namespace "default"
  std::uint64_t blob_bytes = 0;      // likewise
  NamespaceRules default_rules;      // likewise
  std::map<std::string, NamespaceConfiguration, std::less<>> namespaces;  // further ones, by name

  std::string disk_path;  // empty: values are kept in memory only (disk_settings.hpp)
  std::uint64_t disk_bytes = disk_bytes_default;
  bool disk_map_files = false;

  Level log_level = Level::info;
  Format log_format = Format::text;
  std::string log_file;  // empty: standard error

  std::uint64_t part_bytes_max = limits::part_bytes_max;
  std::uint64_t stored_value_bytes_max = limits::stored_value_bytes_max;
  std::uint64_t connections_max = limits::connections_max;
  std::uint64_t connections_per_uid_max = limits::connections_per_uid_max;
  std::uint64_t requests_in_flight_per_connection_max = limits::requests_in_flight_per_connection_max;
  std::uint64_t waiters_per_key_max = limits::waiters_per_key_max;
  std::uint64_t under_way_bytes_per_connection_max = limits::under_way_bytes_per_connection_max;
  std::uint64_t under_way_bytes_max = limits::under_way_bytes_max;
  std::uint64_t blobs_reserved_per_connection_max = limits::blobs_reserved_per_connection_max;
  std::uint64_t reserved_bytes_per_connection_max = limits::reserved_bytes_per_connection_max;
  std::uint64_t reserved_bytes_per_uid_max = limits::reserved_bytes_per_uid_max;
  std::uint64_t pinned_bytes_per_connection_max = limits::pinned_bytes_per_connection_max;
  std::uint64_t invalidations_per_connection_max = limits::invalidations_per_connection_max;
  std::uint64_t invalidations_max = limits::invalidations_max;
  std::uint64_t subscriptions_per_connection_max = limits::subscriptions_per_connection_max;
  std::uint64_t subscriptions_max = limits::subscriptions_max;
  std::uint64_t signals_queued_per_subscription_max = limits::signals_queued_per_subscription_max;
  std::uint64_t signal_history = limits::signal_history;
  std::uint64_t dependency_edges_max = limits::dependency_edges_max;
  std::uint64_t dependency_key_bytes_max = limits::dependency_key_bytes_max;
  std::uint64_t send_queue_bytes_max = limits::send_queue_bytes_max;
  std::uint64_t holder_deaths_max = static_cast<std::uint64_t>(limits::holder_deaths_max);
  std::chrono::milliseconds holder_deaths_memory = limits::holder_deaths_memory;
  std::chrono::milliseconds hello_deadline = limits::hello_deadline;
  std::chrono::milliseconds lease_limit_default = limits::lease_limit_default;
  std::chrono::milliseconds take_up_deadline = limits::take_up_deadline;
  std::chrono::milliseconds drain_deadline = limits::drain_deadline;

  SessionSettings sessions = default_session_settings();  // of each namespace that does not say otherwise

  Retention retention = default_retention();                    // of all functions
  std::map<std::string, FunctionSettings, std::less<>> functions;  // what some of them have of their own, by name

  friend bool operator==(const Configuration&, const Configuration&) = default;
};

struct Setting {
  enum class Kind : std::uint8_t { text, choice, mode, size, count, duration, factor, list };
  std::string_view name;  // "limits.connections_max"
  Kind kind;
  bool reloadable;        // SIGHUP takes it over
  std::string_view help;
  Result<void> (*set)(Configuration&, std::string_view text);
  std::string (*get)(const Configuration&);  // as set() reads it
};
std::span<const Setting> settings();

// Words of a setting's environment variable: "limits.connections_max" -> "ONCED_LIMITS_CONNECTIONS_MAX".
std::string environment_name(std::string_view setting);

// What the command line said (command_line.hpp fills it).
struct Overrides {
  std::string file;  // --config; empty: $ONCED_CONFIG, else none
  std::vector<std::pair<std::string, std::string>> values;  // setting and text, in order; the last one counts
};
using Environment = std::map<std::string, std::string, std::less<>>;
Environment process_environment();

struct LoadedConfiguration {
  Configuration values;
  std::map<std::string, std::string, std::less<>> origins;  // by setting; what is not there is a default
  std::vector<std::string> warnings;                        // variables that look like settings and are none
};
// What the defaults depend on.
struct Machine {
  bool is_root = false;            // without a runtime directory of its own root serves the system's socket
  std::uint64_t memory_bytes = 0;  // what this process may use at most, its cgroup considered; 0: not known
  UserDatabase users = system_users();
};
// Reads all sources.
Result<LoadedConfiguration> load_configuration(const Overrides& overrides, const Environment& environment,
                                               const Machine& machine);

// ---- budgets.cpp ----

// Fills in what nobody has set. The default namespace: a segment of a sixteenth of the machine's memory (4 MiB to 1 GiB) and
// blobs of a quarter, but at most half of what the segments leave. A further one: blobs of four times its segment's size.
void set_default_budgets(Configuration& configuration, const Machine& machine);
// Of all namespaces together.
Budget whole_budget(const Configuration& configuration);

// How long values and sessions of one namespace are kept and how many of a function are computed at once: what it says itself,
// of one function or of all, counts more than what is said for all namespaces.
struct EffectiveSettings {
  Retention retention{};       // says everything
  SessionSettings sessions{};  // likewise
  std::map<std::string, FunctionSettings, std::less<>> functions{};
};
EffectiveSettings settings_in(const Configuration& configuration, const NamespaceRules& rules);

// The whole configuration as a file, with the origin of each value as a comment.
std::string print_configuration(const LoadedConfiguration& configuration);

// "limits.connections_max: 100 -> 200" for each difference; those that need a restart apart.
struct Differences {
  std::vector<std::string> reloaded;
  std::vector<std::string> need_restart;
};
Differences differences(const Configuration& before, const Configuration& after);
// `before` with the reloadable settings of `after`.
Configuration reloaded(const Configuration& before, const Configuration& after);

// ---- configuration_file.cpp ----

// One value of a file as text. `kind` is what the file's own syntax says.
struct FileValue {
  enum class Kind : std::uint8_t { string, integer, real, list, other };
  std::string name;  // dotted
  std::string text;  // of a list: its elements, separated by commas
  Kind kind = Kind::other;
  std::string place;  // "/etc/onced/onced.toml:12:3"
};
// Reads TOML. Syntax errors name the place; which names there are is not this function's business.
Result<std::vector<FileValue>> read_configuration_file(const std::string& path);

}  // namespace onced::service
