// What is set for one function, [functions."NAME"]: how long its values and failures are kept (retention_settings.hpp), how
// many of its computations run at once, and how many bytes its values may have.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <onced/protocol/result.hpp>

#include "service/retention_settings.hpp"

namespace onced::service {

struct FunctionSettings {
  Retention retention{};
  std::optional<std::uint64_t> max_concurrent{};  // 0, or nothing: any number
  std::optional<std::uint64_t> bytes_max{};       // of its values together; 0, or nothing: as much as there is room for
  friend bool operator==(const FunctionSettings&, const FunctionSettings&) = default;
};

inline constexpr std::string_view functions_prefix = "functions.";

// Their names, as in the file.
std::span<const std::string_view> function_setting_names();
enum class FunctionSettingKind : std::uint8_t { duration, factor, count, size };
FunctionSettingKind kind_of_function_setting(std::string_view name);
// Whether its value has a unit, and stands in quotes in the file.
bool function_setting_is_quoted(std::string_view name);

// `name` is one of the names.
Result<void> set_function_setting(FunctionSettings& to, std::string_view name, std::string_view text);
// As set_function_setting() reads it; empty: nothing is said.
std::string get_function_setting(const FunctionSettings& from, std::string_view name);

// "functions.charts.draw.ttl" -> "charts.draw" and "ttl": a function's name may have dots.
struct FunctionSetting {
  std::string_view function;
  std::string_view name;
};
std::optional<FunctionSetting> function_setting(std::string_view name);
Result<void> check_function_name(std::string_view function);
// What was probably meant by a name that is none of these but looks like one; empty: it does not.
std::string meant_function_setting(std::string_view name);

}  // namespace onced::service
