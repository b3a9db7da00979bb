#include "reports.hpp"

#include <cmath>

#include "text_format.hpp"

namespace onced::cli {
namespace {

const protocol::Number* find(const protocol::Report& report, std::string_view name) {
  for (const auto& [field, value] : report) {
    if (field == name) return &value;
  }
  return nullptr;
}

bool is_unknown(const protocol::Number& value) {
  const auto* real = std::get_if<double>(&value);
  return real != nullptr && std::isnan(*real);
}

std::string use_of(const protocol::Report& report, std::string_view used, std::string_view budget) {
  const std::uint64_t bytes = count(report, used);
  const std::uint64_t bytes_max = count(report, budget);
  if (bytes_max == 0) return human_bytes(bytes);
  return human_bytes(bytes) + " of " + human_bytes(bytes_max) + " (" + ratio_text(bytes, bytes_max) + ")";
}

}  // namespace

Json report_json(const protocol::Report& report) {
  Json fields = Json::object();
  for (const auto& [name, value] : report) {
    if (is_unknown(value)) fields[name] = nullptr;
    else std::visit([&, &field = name](const auto& v) { fields[field] = v; }, value);
  }
  return fields;
}

std::optional<double> number(const protocol::Report& report, std::string_view name) {
  const protocol::Number* value = find(report, name);
  if (value == nullptr || is_unknown(*value)) return std::nullopt;
  if (const auto* whole = std::get_if<std::uint64_t>(value)) return static_cast<double>(*whole);
  if (const auto* real = std::get_if<double>(value)) return *real;
  return std::nullopt;
}

std::uint64_t count(const protocol::Report& report, std::string_view name) {
  const double value = number(report, name).value_or(0);
  return value >= 0 && value < 1.8e19 ? static_cast<std::uint64_t>(value) : 0;
}

std::string text(const protocol::Report& report, std::string_view name) {
  const protocol::Number* value = find(report, name);
  const auto* words = value == nullptr ? nullptr : std::get_if<std::string>(value);
  return words == nullptr ? std::string() : escape(*words);
}

std::string ratio_text(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "-";
  const std::uint64_t permille = static_cast<std::uint64_t>(static_cast<double>(part) * 1000 / static_cast<double>(whole));
  return std::to_string(permille / 10) + "." + std::to_string(permille % 10) + " %";
}

std::string memory_text(const protocol::Report& status) { return use_of(status, "memory_bytes", "memory_bytes_max"); }

std::string large_parts_text(const protocol::Report& status) {
  return use_of(status, "blob_bytes", "blob_bytes_max") + " in " + plural(count(status, "blobs"), "blob");
}

std::string last_hour_text(const protocol::Report& status) {
  return plural(count(status, "computations_avoided_last_hour"), "computation") + " avoided, " +
         human_duration(number(status, "seconds_saved_last_hour").value_or(0)) + " saved, " +
         plural(count(status, "duplicates_avoided_last_hour"), "duplicate") + " avoided";
}

std::string human(std::string_view name, const protocol::Number& value) {
  if (const auto* words = std::get_if<std::string>(&value)) return escape(*words);
  if (is_unknown(value)) return "-";
  const protocol::Report one{{std::string(name), value}};
  const double amount = number(one, name).value_or(0);
  if (name.find("bytes") != std::string_view::npos) return human_bytes(count(one, name));
  if (name.find("seconds") != std::string_view::npos) return human_duration(amount);
  if (name.ends_with("_ms")) return human_duration(amount / 1e3);
  if (name.ends_with("_us")) return human_duration(amount / 1e6);
  if (name.ends_with("_ratio")) return std::to_string(static_cast<int>(amount * 100)) + " %";
  // An identity is no quantity: no thousands separators.
  const bool identity = name == "pid" || name == "epoch" || name == "sequence";
  if (const auto* whole = std::get_if<std::uint64_t>(&value)) return identity ? std::to_string(*whole) : human_count(*whole);
  if (std::floor(amount) == amount) return human_count(count(one, name));
  return std::to_string(amount);
}

}  // namespace onced::cli
