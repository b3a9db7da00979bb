#include "engine/text.hpp"

#include <array>
#include <charconv>

namespace onced::engine {
namespace {

// Three significant figures are enough for a person; whole numbers from ten on.
std::string with_unit(double number, const char* unit) {
  std::array<char, 400> text{};  // room for any double
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed, number < 9.95 ? 1 : 0);
  return std::string(text.data(), end.ptr) + " " + unit;
}

}  // namespace

std::string duration_text(Duration duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  if (seconds < 1e-3) return with_unit(seconds * 1e6, "us");
  if (seconds < 1) return with_unit(seconds * 1e3, "ms");
  if (seconds < 120) return with_unit(seconds, "s");
  if (seconds < 7200) return with_unit(seconds / 60, "min");
  return with_unit(seconds / 3600, "h");
}

std::string bytes_text(std::uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " bytes";
  if (bytes < 1024 * 1024) return with_unit(static_cast<double>(bytes) / 1024, "KiB");
  if (bytes < 1024 * 1024 * 1024) return with_unit(static_cast<double>(bytes) / (1024 * 1024), "MiB");
  return with_unit(static_cast<double>(bytes) / (1024.0 * 1024 * 1024), "GiB");
}

std::string exceeds_text(std::uint64_t bytes, std::uint64_t bytes_max) {
  const std::string one = bytes_text(bytes);
  const std::string other = bytes_text(bytes_max);
  return one != other ? one + " > " + other : std::to_string(bytes) + " bytes > " + std::to_string(bytes_max) + " bytes";
}

std::string count_text(std::uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string cut(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  std::size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  return std::string(text.substr(0, end));
}

}  // namespace onced::engine
