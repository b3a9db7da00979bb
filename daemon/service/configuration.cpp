#include "service/configuration.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>
#include <set>

#include <onced/protocol/closest_word.hpp>

#include "service/quantities.hpp"

extern char** environ;

namespace onced::service {
namespace {

using Kind = Setting::Kind;

constexpr std::array<std::string_view, 2> switch_words{"off", "on"};
constexpr std::array<std::string_view, 4> level_words{"debug", "info", "warning", "error"};
constexpr std::array<std::string_view, 2> format_words{"text", "json"};

Error invalid(std::string text) { return Error{ErrorCode::invalid_argument, std::move(text)}; }

// ---- how each kind of value is read and written ----

template <std::string Configuration::*member>
Result<void> set_text(Configuration& to, std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return invalid("a zero byte in it");
  to.*member = text;
  return {};
}
template <std::string Configuration::*member>
std::string get_text(const Configuration& from) { return from.*member; }

template <auto member, const auto& words>
Result<void> set_choice(Configuration& to, std::string_view text) {
  using Choice = std::remove_reference_t<decltype(to.*member)>;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] != text) continue;
    to.*member = static_cast<Choice>(i);
    return {};
  }
  std::string list;
  for (const std::string_view word : words) list += (list.empty() ? "" : ", ") + std::string(word);
  std::string hint;
  if (const auto meant = protocol::closest_word(text, words)) hint = " (did you mean \"" + *meant + "\"?)";
  return invalid("\"" + std::string(text) + "\" is none of " + list + hint);
}
template <auto member, const auto& words>
std::string get_choice(const Configuration& from) {
  return std::string(words[static_cast<std::size_t>(from.*member)]);
}

template <std::uint32_t Configuration::*member>
Result<void> set_mode(Configuration& to, std::string_view text) {
  const Result<std::uint32_t> mode = parse_mode(text);
  if (!mode) return mode.error();
  if (*mode == 0) return invalid("mode 0 lets nobody in");
  to.*member = *mode;
  return {};
}
template <std::uint32_t Configuration::*member>
std::string get_mode(const Configuration& from) { return print_mode(from.*member); }

template <std::uint64_t Configuration::*member, std::uint64_t least, std::uint64_t most>
Result<void> set_count(Configuration& to, std::string_view text) {
  const Result<std::uint64_t> count = parse_count(text);
  if (!count) return count.error();
  if (*count < least || *count > most) {
    return invalid(std::to_string(*count) + " is outside " + std::to_string(least) + " to " + std::to_string(most));
  }
  to.*member = *count;
  return {};
}
template <std::uint64_t Configuration::*member>
std::string get_count(const Configuration& from) { return std::to_string(from.*member); }

template <std::uint64_t Configuration::*member, std::uint64_t least, std::uint64_t most>
Result<void> set_size(Configuration& to, std::string_view text) {
  const Result<std::uint64_t> size = parse_size_between(text, least, most);
  if (!size) return size.error();
  to.*member = *size;
  return {};
}
template <std::uint64_t Configuration::*member>
std::string get_size(const Configuration& from) { return print_size(from.*member); }

template <std::chrono::milliseconds Configuration::*member, std::int64_t least_ms>
Result<void> set_duration(Configuration& to, std::string_view text) {
  const Result<std::chrono::milliseconds> duration = parse_duration(text);
  if (!duration) return duration.error();
  if (duration->count() < least_ms) {
    return invalid(print_duration(*duration) + " is shorter than " + print_duration(std::chrono::milliseconds(least_ms)));
  }
  to.*member = *duration;
  return {};
}
template <std::chrono::milliseconds Configuration::*member>
std::string get_duration(const Configuration& from) { return print_duration(from.*member); }

template <RetentionMember member>
Result<void> set_of_all(Configuration& to, std::string_view text) { return set_retention(to.retention, member, text); }
template <RetentionMember member>
std::string get_of_all(const Configuration& from) { return get_retention(from.retention, member); }
template <SessionMember member>
Result<void> set_sessions(Configuration& to, std::string_view text) { return set_session_setting(to.sessions, member, text); }
template <SessionMember member>
std::string get_sessions(const Configuration& from) { return get_session_setting(from.sessions, member); }

using C = Configuration;
constexpr std::uint64_t million = 1'000'000;

#define ONCED_COUNT(name, least, most, help) \
  Setting{"limits." #name, Kind::count, true, help, set_count<&C::name, least, most>, get_count<&C::name>}
#define ONCED_DURATION(name, least_ms, help) \
  Setting{"limits." #name, Kind::duration, true, help, set_duration<&C::name, least_ms>, get_duration<&C::name>}
#define ONCED_RETENTION(name, kind, help) \
  Setting{"retention." #name, kind, true, help, set_of_all<RetentionMember::name>, get_of_all<RetentionMember::name>}
#define ONCED_SESSIONS(name, kind, help) \
  Setting{"sessions." #name, kind, true, help, set_sessions<SessionMember::name>, get_sessions<SessionMember::name>}

constexpr Setting table[] = {
    {"socket", Kind::text, false, "where clients connect", set_text<&C::socket>, get_text<&C::socket>},
    {"socket_mode", Kind::mode, false, "who may connect, with directory_mode", set_mode<&C::socket_mode>,
     get_mode<&C::socket_mode>},
    {"directory_mode", Kind::mode, false, "of the socket's directory, when the daemon makes it",
     set_mode<&C::directory_mode>, get_mode<&C::directory_mode>},
    {"memory", Kind::size, false, "size of the default namespace's segment; used as it fills",
     set_size<&C::memory_bytes, memory_bytes_min, memory_bytes_max>, get_size<&C::memory_bytes>},
    {"blobs", Kind::size, true, "memory for the default namespace's large parts, outside its segment; used as it fills",
     set_size<&C::blob_bytes, memory_bytes_min, memory_bytes_max>, get_size<&C::blob_bytes>},
    {"disk.path", Kind::text, false, "directory below which values are kept on disk, beside memory; empty: nowhere", set_text<&C::disk_path>,
     get_text<&C::disk_path>},
    {"disk.size", Kind::size, false, "shared evenly by the namespaces that have no disk_size of their own",
     set_size<&C::disk_bytes, disk_bytes_min, disk_bytes_max>, get_size<&C::disk_bytes>},
    {"disk.map_files", Kind::choice, false, "on or off: clients map files of large parts, and an I/O error there kills them",
     set_choice<&C::disk_map_files, switch_words>, get_choice<&C::disk_map_files, switch_words>},
    {"log.level", Kind::choice, true, "debug, info, warning or error", set_choice<&C::log_level, level_words>,
     get_choice<&C::log_level, level_words>},
    {"log.format", Kind::choice, false, "text or json", set_choice<&C::log_format, format_words>,
     get_choice<&C::log_format, format_words>},
    {"log.file", Kind::text, false, "empty: standard error", set_text<&C::log_file>, get_text<&C::log_file>},
    {"limits.part_bytes_max", Kind::size, true, "one part of a value",
     set_size<&C::part_bytes_max, limits::value_bytes_max, limits::part_bytes_max>, get_size<&C::part_bytes_max>},
    {"limits.stored_value_bytes_max", Kind::size, true, "all parts of a value",
     set_size<&C::stored_value_bytes_max, limits::value_bytes_max, limits::parts_max * limits::part_bytes_max>,
     get_size<&C::stored_value_bytes_max>},
    ONCED_COUNT(connections_max, 1, million, "connections at a time"),
    ONCED_COUNT(connections_per_uid_max, 1, million, "of those, of one user; root and the daemon's own user too"),
    ONCED_COUNT(requests_in_flight_per_connection_max, 1, million, "waiting requests and leases of one connection"),
    ONCED_COUNT(waiters_per_key_max, 1, million, "requests that wait for one computation"),
    {"limits.under_way_bytes_per_connection_max", Kind::size, true, "keys of one connection's waiting requests and leases",
     set_size<&C::under_way_bytes_per_connection_max, 64 * 1024, (std::uint64_t{1} << 40)>,
     get_size<&C::under_way_bytes_per_connection_max>},
    {"limits.under_way_bytes_max", Kind::size, true, "the same of all connections of a namespace",
     set_size<&C::under_way_bytes_max, 64 * 1024, (std::uint64_t{1} << 40)>, get_size<&C::under_way_bytes_max>},
    ONCED_COUNT(blobs_reserved_per_connection_max, 1, million, "blobs that one connection fills, or was lent"),
    {"limits.reserved_bytes_per_connection_max", Kind::size, true, "memory of the blobs that one connection fills",
     set_size<&C::reserved_bytes_per_connection_max, limits::value_bytes_max, memory_bytes_max>, get_size<&C::reserved_bytes_per_connection_max>},
    {"limits.reserved_bytes_per_uid_max", Kind::size, true, "the same of all connections of one user, in one namespace",
     set_size<&C::reserved_bytes_per_uid_max, limits::value_bytes_max, memory_bytes_max>, get_size<&C::reserved_bytes_per_uid_max>},
    {"limits.pinned_bytes_per_connection_max", Kind::size, true, "dropped values that one connection's readers keep from reuse before it gets copies",
     set_size<&C::pinned_bytes_per_connection_max, 0, memory_bytes_max>, get_size<&C::pinned_bytes_per_connection_max>},
    ONCED_COUNT(invalidations_per_connection_max, 1, million, "invalidations and cancellations of more than one key that one connection waits for"),
    ONCED_COUNT(invalidations_max, 1, million, "the same of all connections of a namespace"),
    ONCED_COUNT(subscriptions_per_connection_max, 1, million, "subscriptions of one connection"),
    ONCED_COUNT(subscriptions_max, 1, million, "subscriptions of one namespace"),
    ONCED_COUNT(signals_queued_per_subscription_max, 1, million, "signals a slow subscriber may fall behind"),
    ONCED_COUNT(signal_history, 1, million, "signals kept for subscribers that reconnect"),
    ONCED_COUNT(dependency_edges_max, 0, 100 * million, "upstreams of all values of a namespace: what each was computed from"),
    {"limits.dependency_key_bytes_max", Kind::size, true, "the keys of these, once for each",
     set_size<&C::dependency_key_bytes_max, 0, (std::uint64_t{1} << 40)>, get_size<&C::dependency_key_bytes_max>},
    {"limits.send_queue_bytes_max", Kind::size, true, "unread answers of a connection before it is not read from",
     set_size<&C::send_queue_bytes_max, 64 * 1024, (std::uint64_t{1} << 30)>, get_size<&C::send_queue_bytes_max>},
    ONCED_COUNT(holder_deaths_max, 1, 1000, "computing processes that may die in a row before a key fails"),
    ONCED_DURATION(holder_deaths_memory, 1, "how long such a key fails, and how long deaths are remembered"),
    ONCED_DURATION(hello_deadline, 1, "for a client to say HELLO, and to read why it was refused"),
    ONCED_DURATION(lease_limit_default, 1, "longest computation, when its caller says nothing"),
    ONCED_DURATION(take_up_deadline, 1, "for a waiter to take up a computation that was handed to it"),
    ONCED_DURATION(drain_deadline, 0, "from SIGTERM to the end"),
    ONCED_RETENTION(ttl, Kind::duration, "how long a value is fresh; 0ms: until it is evicted or invalidated"),
    ONCED_RETENTION(grace, Kind::duration, "how long it is usable after that, while one caller refreshes it"),
    ONCED_RETENTION(refresh_ahead, Kind::factor, "how early somebody may refresh it before it is stale, in units of its cost; 0: never"),
    ONCED_RETENTION(failure_ttl, Kind::duration, "how long a failure stays the answer"),
    ONCED_SESSIONS(idle_ttl, Kind::duration, "a session ends when it was not used for so long; 0ms: never"),
    ONCED_SESSIONS(absolute_ttl, Kind::duration, "a session ends at this age; 0ms: never"),
    ONCED_SESSIONS(bytes_max, Kind::size, "what one session may keep; above it its own values go, the least worth first"),
    ONCED_SESSIONS(entries_max, Kind::count, "the same, in values"),
    ONCED_SESSIONS(sessions_max, Kind::count, "sessions of one namespace; above it the one used longest ago ends"),
};

const Setting* find_setting(std::string_view name) {
  const auto* found = std::find_if(std::begin(table), std::end(table), [&](const Setting& s) { return s.name == name; });
  return found == std::end(table) ? nullptr : found;
}

Kind kind_of_function(std::string_view setting) {
  switch (kind_of_function_setting(setting)) {
    case FunctionSettingKind::duration: return Kind::duration;
    case FunctionSettingKind::factor: return Kind::factor;
    case FunctionSettingKind::count: return Kind::count;
    case FunctionSettingKind::size: return Kind::size;
  }
  return Kind::count;
}

Kind kind_of_session(SessionMember member) {
  switch (kind_of(member)) {
    case SessionSetting::Kind::duration: return Kind::duration;
    case SessionSetting::Kind::size: return Kind::size;
    case SessionSetting::Kind::count: return Kind::count;
  }
  return Kind::count;
}

std::optional<Kind> kind_of(std::string_view name) {
  if (const Setting* setting = find_setting(name)) return setting->kind;
  if (const auto setting = namespace_setting(name)) {
    switch (setting->kind) {
      case NamespaceSetting::Kind::memory:
      case NamespaceSetting::Kind::blobs:
      case NamespaceSetting::Kind::disk_size: return Kind::size;
      case NamespaceSetting::Kind::disk: return Kind::choice;
      case NamespaceSetting::Kind::access: return Kind::list;
      case NamespaceSetting::Kind::retention: return setting->retention == RetentionMember::refresh_ahead ? Kind::factor : Kind::duration;
      case NamespaceSetting::Kind::session: return kind_of_session(setting->session);
      case NamespaceSetting::Kind::function: return kind_of_function(setting->function_setting);
    }
  }
  const auto of_function = function_setting(name);
  if (!of_function) return std::nullopt;
  return kind_of_function(of_function->name);
}

std::string unknown(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Setting& setting : table) names.push_back(setting.name);
  std::string text = "unknown setting \"" + std::string(name) + "\"";
  if (const std::string meant = meant_namespace_setting(name); !meant.empty()) return text + "; did you mean \"" + meant + "\"?";
  if (const std::string meant = meant_function_setting(name); !meant.empty()) return text + "; did you mean \"" + meant + "\"?";
  if (const auto meant = protocol::closest_word(name, names)) return text + "; did you mean \"" + *meant + "\"?";
  // The right name in the wrong table, or in none.
  const std::string_view last = name.substr(name.rfind('.') + 1);
  for (const std::string_view candidate : names) {
    if (candidate.substr(candidate.rfind('.') + 1) == last) {
      return text + "; did you mean \"" + std::string(candidate) + "\"?";
    }
  }
  return text + "; `onced --print-config` shows them all";
}

Result<void> assign(Configuration& to, std::string_view name, std::string_view text, const UserDatabase& users) {
  if (const auto setting = namespace_setting(name)) {
    if (auto checked = check_namespace_name(setting->space); !checked) return checked;
    if (setting->space == "default") return set_in_namespace(nullptr, to.default_rules, *setting, text, users);
    NamespaceConfiguration& space = to.namespaces[std::string(setting->space)];
    return set_in_namespace(&space.budget, space.rules, *setting, text, users);
  }
  if (const auto setting = function_setting(name)) {
    if (auto checked = check_function_name(setting->function); !checked) return checked;
    return set_function_setting(to.functions[std::string(setting->function)], setting->name, text);
  }
  const Setting* setting = find_setting(name);
  if (setting == nullptr) return invalid(unknown(name));
  return setting->set(to, text);
}

// What the file's own syntax may say for a kind of value.
std::optional<std::string> wrong_syntax(const FileValue& value) {
  const std::optional<Kind> kind = kind_of(value.name);
  const bool single = value.kind != FileValue::Kind::other && value.kind != FileValue::Kind::list;
  if (kind == Kind::factor) return !single ? std::optional("a number is wanted, as in 1.5") : std::nullopt;
  if (kind == Kind::list) {
    if (value.kind == FileValue::Kind::list || value.kind == FileValue::Kind::string) return std::nullopt;
    return "a list is wanted, as in [1000, 1001] or [\"alice\"]";
  }
  if (value.kind != FileValue::Kind::string && value.kind != FileValue::Kind::integer) return "a string or a whole number is wanted";
  if (!kind || value.kind == FileValue::Kind::string) return std::nullopt;
  switch (*kind) {
    case Kind::count:
    case Kind::factor:
    case Kind::list:
    case Kind::size: return std::nullopt;
    case Kind::duration: return "write a duration as a string with its unit, as in \"5s\"";
    case Kind::mode: return "write a mode as a string, as in \"0660\"";
    case Kind::text:
    case Kind::choice: return "a string is wanted";
  }
  return std::nullopt;
}

Result<std::string> default_socket(const Environment& environment, bool is_root) {
  const auto value = [&](const char* name) -> std::string {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
  };
  // systemd sets it for a unit with RuntimeDirectory=; a list is separated by colons.
  if (const std::string directory = value("RUNTIME_DIRECTORY"); !directory.empty()) {
    return directory.substr(0, directory.find(':')) + "/onced.sock";
  }
  if (const std::string directory = value("XDG_RUNTIME_DIR"); !directory.empty()) return directory + "/onced/onced.sock";
  if (is_root) return std::string("/run/onced/onced.sock");
  return invalid("no place for the socket: XDG_RUNTIME_DIR is not set; name one with --socket or ONCED_SOCKET");
}

// What is above the memory cgroup is refused; this is only what the machine cannot keep without swapping.
void warn_of_budgets(const Configuration& values, const Machine& machine, std::vector<std::string>& warnings) {
  const Budget whole = whole_budget(values);
  if (machine.memory_bytes == 0 || whole.memory_bytes + whole.blob_bytes <= machine.memory_bytes) return;
  warnings.push_back("memory and blobs of all namespaces are configured to use " + print_size(whole.memory_bytes) + " + " +
                     print_size(whole.blob_bytes) + ", but there are " + std::to_string(machine.memory_bytes) +
                     " bytes of memory in all: they may fill until the system swaps, or ends processes; lower the settings memory or blobs");
}

// What looks like a setting for all that `oncectl run` computes, and is none: its functions are "run:COMMAND", and there are no patterns.
void warn_of_functions(const Configuration& values, std::vector<std::string>& warnings) {
  const auto look = [&](const std::string& in, const auto& functions) {
    if (functions.contains("run")) {
      warnings.push_back("[" + in + "functions.\"run\"] says nothing of `oncectl run COMMAND`: its function is \"run:COMMAND\", as in [" + in +
                         "functions.\"run:make\"]");
    }
    for (const auto& [name, function] : functions) {
      if (name.ends_with('*')) warnings.push_back("[" + in + "functions." + in_quotes(name) + "] is of the one function that is called so: there are no patterns");
    }
  };
  look("", values.functions);
  look("namespaces.default.", values.default_rules.functions);
  for (const auto& [name, space] : values.namespaces) look("namespaces." + name + ".", space.rules.functions);
}

}  // namespace

std::span<const Setting> settings() { return table; }

std::string environment_name(std::string_view setting) {
  std::string name = "ONCED_";
  for (const char c : setting) name += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

Environment process_environment() {
  Environment result;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    if (const std::size_t equals = text.find('='); equals != std::string_view::npos) {
      result.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return result;
}

Result<LoadedConfiguration> load_configuration(const Overrides& overrides, const Environment& environment,
                                               const Machine& machine) {
  LoadedConfiguration result;
  std::string mistakes;
  const auto mistake = [&](const std::string& place, const std::string& text) {
    mistakes += (mistakes.empty() ? "" : "\n") + place + ": " + text;
  };
  const auto take = [&](std::string_view name, std::string_view text, const std::string& place, const std::string& origin) {
    if (auto assigned = assign(result.values, name, text, machine.users); !assigned) {
      const bool known = kind_of(name).has_value();
      mistake(place, (known ? std::string(name) + ": " : "") + assigned.error().text);
    } else {
      result.origins[std::string(name)] = origin;
    }
  };

  std::string file = overrides.file;
  if (const auto found = environment.find("ONCED_CONFIG"); file.empty() && found != environment.end()) file = found->second;
  if (!file.empty()) {
    Result<std::vector<FileValue>> values = read_configuration_file(file);
    if (!values) return values.error();
    for (const FileValue& value : *values) {
      const auto wrong = wrong_syntax(value);
      if (wrong && kind_of(value.name)) {
        mistake(value.place, value.name + ": " + *wrong);
      } else {
        take(value.name, value.text, value.place, value.place);
      }
    }
  }
  std::vector<std::string> variables{"ONCED_CONFIG", "ONCED_NAMESPACE", "ONCED_SESSION"};
  for (const Setting& setting : table) {
    variables.push_back(environment_name(setting.name));
    const auto found = environment.find(variables.back());
    // An empty variable is as good as none, as for most programs.
    if (found != environment.end() && !found->second.empty()) {
      take(setting.name, found->second, "environment " + found->first, "environment " + found->first);
    }
  }
  for (const auto& [name, value] : environment) {
    if (!name.starts_with("ONCED_") || std::find(variables.begin(), variables.end(), name) != variables.end()) continue;
    if (const auto meant = protocol::closest_word(name, variables)) {
      result.warnings.push_back("the variable " + name + " is no setting; did you mean " + *meant + "?");
    }
  }
  for (const auto& [name, value] : overrides.values) take(name, value, "command line", "flag");
  for (const auto& [name, space] : result.values.namespaces) {
    if (space.budget.memory_bytes != 0 || space.budget.blob_bytes != 0) continue;
    const std::string prefix = std::string(namespaces_prefix) + name + ".";
    const auto first = result.origins.lower_bound(prefix);  // what has made it a namespace, unless that was a mistake itself
    if (first == result.origins.end() || !first->first.starts_with(prefix)) continue;
    mistake(first->second, "the namespace \"" + name + "\" has no size; set " + prefix + "memory, " + prefix + "blobs or both");
  }
  if (const auto wrong = disk_mistake(result.values)) {
    const auto said = result.origins.find(wrong->first);
    mistake(said == result.origins.end() ? "default" : said->second, wrong->first + ": " + wrong->second);
  }
  if (!mistakes.empty()) return invalid(mistakes);

  Configuration& values = result.values;
  if (values.socket.empty()) {
    Result<std::string> socket = default_socket(environment, machine.is_root);
    if (!socket) return socket.error();
    values.socket = *socket;
  }
  // Beside the service's socket everybody of its group is welcome; a user's own is private.
  const bool service = values.socket.starts_with("/run/onced/");
  if (values.socket_mode == 0) values.socket_mode = service ? 0660 : 0600;
  if (values.directory_mode == 0) values.directory_mode = service ? 0750 : 0700;
  set_default_budgets(values, machine);
  warn_of_budgets(values, machine, result.warnings);
  warn_of_functions(values, result.warnings);
  return result;
}

std::string print_configuration(const LoadedConfiguration& configuration) {
  const auto origin = [&](std::string_view name) {
    const auto found = configuration.origins.find(name);
    return "  # " + (found == configuration.origins.end() ? "default" : found->second) + "\n";
  };
  std::string out = "# The configuration in effect. Behind each value: where it comes from.\n";
  std::string_view section;
  for (const Setting& setting : table) {
    const std::size_t dot = setting.name.find('.');
    const std::string_view own = dot == std::string_view::npos ? std::string_view() : setting.name.substr(0, dot);
    if (own != section) out += "\n[" + std::string(own) + "]\n";
    section = own;
    const std::string text = setting.get(configuration.values);
    out += std::string(dot == std::string_view::npos ? setting.name : setting.name.substr(dot + 1)) + " = " +
           (setting.kind == Kind::count || setting.kind == Kind::factor ? text : in_quotes(text)) + origin(setting.name);
  }
  const auto print_namespace = [&](const std::string& name, const Budget* budget, const NamespaceRules& rules) {
    std::optional<std::string> table;
    for (const NamespaceValue& value : values_of(budget, rules)) {
      const std::string of_namespace = std::string(namespaces_prefix) + name;
      if (table != value.table) out += "\n[" + of_namespace + (value.table.empty() ? "" : ".") + value.table + "]\n";
      table = value.table;
      out += value.key + " = " + value.toml + origin(of_namespace + "." + value.name);
    }
  };
  print_namespace("default", nullptr, configuration.values.default_rules);
  for (const auto& [name, space] : configuration.values.namespaces) print_namespace(name, &space.budget, space.rules);
  for (const auto& [name, function] : configuration.values.functions) {
    out += "\n[functions." + in_quotes(name) + "]\n";
    for (const std::string_view setting : function_setting_names()) {
      const std::string text = get_function_setting(function, setting);
      if (text.empty()) continue;
      out += std::string(setting) + " = " + (function_setting_is_quoted(setting) ? in_quotes(text) : text) +
             origin(std::string(functions_prefix) + name + "." + std::string(setting));
    }
  }
  return out;
}

Differences differences(const Configuration& before, const Configuration& after) {
  Differences result;
  for (const Setting& setting : table) {
    const std::string old_text = setting.get(before);
    const std::string new_text = setting.get(after);
    if (old_text == new_text) continue;
    (setting.reloadable ? result.reloaded : result.need_restart)
        .push_back(std::string(setting.name) + ": " + old_text + " -> " + new_text);
  }
  const auto add = [&](NamespaceDifferences&& of_namespace) {
    result.reloaded.insert(result.reloaded.end(), of_namespace.reloaded.begin(), of_namespace.reloaded.end());
    result.need_restart.insert(result.need_restart.end(), of_namespace.need_restart.begin(), of_namespace.need_restart.end());
  };
  add(differences_of("default", values_of(nullptr, before.default_rules), values_of(nullptr, after.default_rules)));
  for (const auto& [name, space] : after.namespaces) {
    const auto old = before.namespaces.find(name);
    if (old == before.namespaces.end()) result.reloaded.push_back(std::string(namespaces_prefix) + name + " is new");
    else add(differences_of(name, values_of(&old->second.budget, old->second.rules), values_of(&space.budget, space.rules)));
  }
  for (const auto& [name, space] : before.namespaces) {
    if (!after.namespaces.contains(name)) result.reloaded.push_back(std::string(namespaces_prefix) + name + " is gone");
  }
  std::set<std::string_view> functions;
  for (const auto* configuration : {&before, &after})
    for (const auto& [name, function] : configuration->functions) functions.insert(name);
  const auto text_in = [](const Configuration& configuration, std::string_view function, std::string_view setting) {
    const auto found = configuration.functions.find(function);
    const std::string text = found == configuration.functions.end() ? std::string() : get_function_setting(found->second, setting);
    return text.empty() ? std::string("not set") : text;
  };
  for (const std::string_view function : functions) {
    for (const std::string_view setting : function_setting_names()) {
      const std::string old_text = text_in(before, function, setting);
      const std::string new_text = text_in(after, function, setting);
      if (old_text == new_text) continue;
      result.reloaded.push_back(std::string(functions_prefix) + std::string(function) + "." + std::string(setting) + ": " + old_text +
                                " -> " + new_text);
    }
  }
  return result;
}

EffectiveSettings settings_in(const Configuration& configuration, const NamespaceRules& rules) {
  EffectiveSettings result;
  result.retention = first_said(rules.retention, configuration.retention);
  result.sessions = first_said(rules.sessions, configuration.sessions);
  // A function of which only the namespaces together say something: what this namespace says of all counts more.
  for (const auto& [name, function] : configuration.functions)
    result.functions[name] = {first_said(rules.retention, function.retention), function.max_concurrent, function.bytes_max};
  for (const auto& [name, own] : rules.functions) {
    const auto of_all = configuration.functions.find(name);
    const FunctionSettings further = of_all == configuration.functions.end() ? FunctionSettings{} : of_all->second;
    result.functions[name] = {first_said(own.retention, first_said(rules.retention, further.retention)),
                              own.max_concurrent ? own.max_concurrent : further.max_concurrent, own.bytes_max ? own.bytes_max : further.bytes_max};
  }
  return result;
}

Configuration reloaded(const Configuration& before, const Configuration& after) {
  Configuration result = before;
  for (const Setting& setting : table) {
    // The text was made by get(), so set() takes it.
    if (setting.reloadable) ONCED_ASSERT(setting.set(result, setting.get(after)).ok());
  }
  result.namespaces = after.namespaces;
  for (auto& [name, space] : result.namespaces) {
    // A segment keeps its size, and a store its place.
    const auto old = before.namespaces.find(name);
    if (old == before.namespaces.end()) continue;
    space.budget.memory_bytes = old->second.budget.memory_bytes;
    space.rules.disk = old->second.rules.disk;
  }
  result.default_rules = after.default_rules;
  result.default_rules.disk = before.default_rules.disk;
  result.functions = after.functions;
  return result;
}

}  // namespace onced::service
