#include "service/quantities.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <system_error>

namespace onced::service {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
constexpr std::array<Unit, 5> size_units{{{"TiB", std::uint64_t{1} << 40},
                                          {"GiB", std::uint64_t{1} << 30},
                                          {"MiB", std::uint64_t{1} << 20},
                                          {"KiB", std::uint64_t{1} << 10},
                                          {"B", 1}}};
constexpr std::array<Unit, 6> duration_units{{{"d", 86'400'000}, {"h", 3'600'000}, {"min", 60'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};

Error wrong(std::string_view text, std::string_view wanted) {
  return Error{ErrorCode::invalid_argument, "\"" + std::string(text) + "\" is not " + std::string(wanted)};
}

// Splits digits from what follows; nothing when there are no digits or too many.
struct Quantity {
  std::uint64_t number;
  std::string_view unit;
};
std::optional<Quantity> split(std::string_view text) {
  Quantity quantity{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), quantity.number);
  if (error != std::errc{}) return std::nullopt;
  quantity.unit = text.substr(static_cast<std::size_t>(end - text.data()));
  return quantity;
}

template <std::size_t count>
std::optional<std::uint64_t> in_units(const Quantity& quantity, const std::array<Unit, count>& units) {
  for (const Unit& unit : units) {
    if (unit.name != quantity.unit) continue;
    if (quantity.number > std::numeric_limits<std::uint64_t>::max() / unit.factor) return std::nullopt;
    return quantity.number * unit.factor;
  }
  return std::nullopt;
}

template <std::size_t count>
std::string print(std::uint64_t number, const std::array<Unit, count>& units) {
  for (const Unit& unit : units) {
    if (number != 0 && number % unit.factor == 0) return std::to_string(number / unit.factor) + std::string(unit.name);
  }
  return std::string(1, '0').append(units.back().name);
}

}  // namespace

Result<std::uint64_t> parse_count(std::string_view text) {
  const auto quantity = split(text);
  if (!quantity || !quantity->unit.empty()) return wrong(text, "a whole number");
  return quantity->number;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto quantity = split(text);
  if (quantity && quantity->unit.empty()) return quantity->number;
  const auto bytes = quantity ? in_units(*quantity, size_units) : std::nullopt;
  if (!bytes) return wrong(text, "a size; write bytes or a whole number with KiB, MiB, GiB or TiB, as in \"256MiB\"");
  return *bytes;
}

Result<std::uint64_t> parse_size_between(std::string_view text, std::uint64_t least, std::uint64_t most) {
  const Result<std::uint64_t> size = parse_size(text);
  if (!size) return size.error();
  if (*size < least || *size > most) {
    return Error{ErrorCode::invalid_argument, print_size(*size) + " is outside " + print_size(least) + " to " + print_size(most)};
  }
  return *size;
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  const auto quantity = split(text);
  const auto milliseconds = quantity ? in_units(*quantity, duration_units) : std::nullopt;
  // Far less than what std::chrono can add without overflow.
  constexpr std::uint64_t most = std::uint64_t{3650} * 86'400'000;
  if (!milliseconds || *milliseconds > most) {
    return wrong(text, "a duration; write a whole number with ms, s, min, h or d, as in \"5s\", at most \"3650d\"");
  }
  return std::chrono::milliseconds(*milliseconds);
}

Result<std::uint64_t> parse_factor(std::string_view text) {
  const auto not_a_factor = [&] { return wrong(text, "a factor; write a number with at most three digits behind the point, as in \"1.5\""); };
  const auto whole = split(text);
  if (!whole || whole->number > std::numeric_limits<std::uint64_t>::max() / 2000) return not_a_factor();
  std::uint64_t permille = whole->number * 1000;
  std::string_view rest = whole->unit;
  if (rest.empty()) return permille;
  if (rest[0] != '.' || rest.size() < 2 || rest.size() > 4) return not_a_factor();
  std::uint64_t worth = 100;
  for (const char digit : rest.substr(1)) {
    if (digit < '0' || digit > '9') return not_a_factor();
    permille += worth * static_cast<std::uint64_t>(digit - '0');
    worth /= 10;
  }
  return permille;
}

Result<std::uint32_t> parse_mode(std::string_view text) {
  std::uint32_t mode = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (error != std::errc{} || end != text.data() + text.size() || mode > 0777 || text.size() < 3 || text.size() > 4) {
    return wrong(text, "a mode; write permission bits in octal, as in \"0660\"");
  }
  return mode;
}

std::string print_size(std::uint64_t bytes) { return print(bytes, size_units); }
std::string print_duration(std::chrono::milliseconds duration) {
  return print(static_cast<std::uint64_t>(duration.count()), duration_units);
}
std::string print_factor(std::uint64_t permille) {
  std::string text = std::to_string(permille / 1000) + "." + std::to_string(1000 + permille % 1000).substr(1);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}
std::string print_mode(std::uint32_t mode) {
  std::string text(1, '0');
  for (int shift = 6; shift >= 0; shift -= 3) text += static_cast<char>('0' + ((mode >> shift) & 7));
  return text;
}

std::string in_quotes(std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') (out += '\\') += c;
    else if (byte < 0x20 || byte == 0x7f) ((out += "\\u00") += digits[byte >> 4]) += digits[byte & 15];
    else out += c;
  }
  return out + "\"";
}

}  // namespace onced::service
