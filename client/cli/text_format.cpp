#include "text_format.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <system_error>
#include <utility>

namespace onced::cli {
namespace {

// Bytes of the well-formed UTF-8 character at the start of `text`, 0 when there is none (RFC 3629).
std::size_t character_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xc0U) == 0x80U; };
  if (text.empty()) return 0;
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!continues(1) || !continues(2)) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;   // overlong
    if (first == 0xed && byte(1) >= 0xa0) return 0;  // surrogate
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if (first == 0xf0 && byte(1) < 0x90) return 0;   // overlong
    if (first == 0xf4 && byte(1) >= 0x90) return 0;  // beyond U+10FFFF
    return 4;
  }
  return 0;
}

// Of a well-formed character of up to three bytes.
unsigned code_point(std::string_view character) {
  unsigned point = static_cast<unsigned char>(character[0]) & (0xffU >> (character.size() == 1 ? 0 : character.size() + 1));
  for (const char c : character.substr(1)) point = (point << 6) | (static_cast<unsigned char>(c) & 0x3fU);
  return point;
}

// C0, DEL, and C1 (U+0080 to U+009F), on which terminals may act as on ESC sequences.
bool is_of_terminal(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  return character.size() == 2 && first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

// What does more to a terminal than text does: a form feed is common between pages, and a line feed to them.
bool commands_terminal(std::string_view character) {
  return is_of_terminal(character) && character != "\n" && character != "\r" && character != "\t" && character != "\f";
}

bool is_control(std::string_view character) {
  if (is_of_terminal(character)) return true;
  const auto first = static_cast<unsigned char>(character[0]);
  // Line and paragraph separators and the marks that reorder text (U+2028 to U+202E, U+2066 to U+2069).
  if (character.size() == 3 && first == 0xe2) {
    const auto second = static_cast<unsigned char>(character[1]);
    const auto third = static_cast<unsigned char>(character[2]);
    return (second == 0x80 && third >= 0xa8 && third <= 0xae) || (second == 0x81 && third >= 0xa6 && third <= 0xa9);
  }
  return false;
}

std::string formatted(int decimals, double number, const char* unit) {
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.*f %s", decimals, number, unit);
  return buffer.data();
}

std::string padded(std::string_view cell, std::size_t width, Table::Align align) {
  const std::size_t have = columns_of(cell);
  const std::string space(width > have ? width - have : 0, ' ');
  return align == Table::Align::right ? space + std::string(cell) : std::string(cell) + space;
}

constexpr std::string_view gap = "  ";         // between columns

std::string cut(std::string_view cell, std::size_t columns, Table::Cut how) {
  switch (how) {
    case Table::Cut::at_end: return cut_to(cell, columns);
    case Table::Cut::within: return cut_within(cell, columns);
    case Table::Cut::call: return cut_call(cell, columns);
  }
  return cut_to(cell, columns);
}

constexpr std::string_view base64_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// "1.5h": a number and what stands behind it.
struct Quantity {
  double amount = -1;
  std::string_view unit;
};
std::optional<Quantity> parse_quantity(std::string_view text) {
  Quantity quantity;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, quantity.amount, std::chars_format::fixed);
  if (error != std::errc()) return std::nullopt;
  quantity.unit = std::string_view(rest, static_cast<std::size_t>(end - rest));
  return quantity;
}

}  // namespace

std::string escape(std::string_view foreign) {
  std::string out;
  out.reserve(foreign.size());
  const auto hex = [&out](unsigned char byte) {
    std::array<char, 8> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "\\x%02x", byte);
    out += buffer.data();
  };
  while (!foreign.empty()) {
    const std::size_t bytes = character_bytes(foreign);
    const std::string_view character = foreign.substr(0, std::max<std::size_t>(bytes, 1));
    foreign.remove_prefix(character.size());
    if (bytes != 0 && !is_control(character)) {
      if (character == "\\") out += '\\';
      out += character;
    } else if (character == "\n") {
      out += "\\n";
    } else if (character == "\t") {
      out += "\\t";
    } else if (character == "\r") {
      out += "\\r";
    } else {
      for (const char byte : character) hex(static_cast<unsigned char>(byte));
    }
  }
  return out;
}

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t length = character_bytes(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string tame_json(std::string json) {
  // What may be one begins with one of these; mostly there is none.
  constexpr std::string_view leads = "\x7f\xc2\xe2";
  std::size_t at = json.find_first_of(leads);
  if (at == std::string::npos) return json;
  std::string tamed;
  std::size_t taken = 0;
  for (; at != std::string::npos; at = json.find_first_of(leads, at + 1)) {
    const std::string_view rest = std::string_view(json).substr(at);
    const std::size_t bytes = character_bytes(rest);
    if (bytes == 0 || !is_control(rest.substr(0, bytes))) continue;
    std::array<char, 8> escaped{};
    std::snprintf(escaped.data(), escaped.size(), "\\u%04x", code_point(rest.substr(0, bytes)));
    tamed.append(json, taken, at - taken).append(escaped.data());
    taken = at + bytes;
  }
  return tamed.append(json, taken);
}

bool is_plain_text(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t length = character_bytes(bytes);
    if (length == 0 || commands_terminal(bytes.substr(0, length))) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::size_t columns_of(std::string_view utf8) {
  return static_cast<std::size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

std::string cut_to(std::string_view utf8, std::size_t columns) {
  if (columns_of(utf8) <= columns) return std::string(utf8);
  if (columns <= 3) return std::string(columns, '.');
  std::size_t end = 0;
  for (std::size_t column = 0; column < columns - 3; ++column) {
    end += std::max<std::size_t>(character_bytes(utf8.substr(end)), 1);
  }
  return std::string(utf8.substr(0, end)) + "...";
}

std::string cut_within(std::string_view utf8, std::size_t columns) {
  const std::size_t all = columns_of(utf8);
  if (all <= columns || columns < 8) return cut_to(utf8, columns);
  const std::size_t head = (columns - 3) / 3;
  const std::size_t tail = columns - 3 - head;
  std::size_t begin = 0;
  for (std::size_t column = 0; column < all - tail; ++column) begin += std::max<std::size_t>(character_bytes(utf8.substr(begin)), 1);
  return cut_to(utf8, head + 3) + std::string(utf8.substr(begin));
}

std::string cut_call(std::string_view utf8, std::size_t columns) {
  if (columns_of(utf8) <= columns) return std::string(utf8);
  const std::size_t open = std::min(utf8.find_first_of("({"), utf8.size());
  const std::string_view rest = utf8.substr(open);
  const std::size_t of_rest = std::min(columns_of(rest), columns);
  const std::size_t for_head = std::max(columns - of_rest, columns / 2);
  std::string_view name = utf8.substr(0, open);
  std::string version;
  if (const std::size_t at = name.rfind('@'); columns_of(name) > for_head && at != std::string_view::npos) {
    version = cut_to(name.substr(at), std::max<std::size_t>(for_head / 4, 4));
    name = name.substr(0, at);
  }
  const std::string head = cut_within(name, for_head - std::min(for_head, columns_of(version))) + version;
  return head + cut_to(rest, columns - columns_of(head));
}

std::string phrases(const std::vector<std::string>& all, std::size_t columns) {
  std::string out;
  std::size_t used = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool last = i + 1 == all.size();
    const std::string phrase = all[i] + (last ? "" : ",");
    if (used != 0 && columns != 0 && used + 1 + columns_of(phrase) > columns) {
      out += "\n  ";
      used = 2;
    } else if (used != 0) {
      out += ' ';
      ++used;
    }
    out += phrase;
    used += columns_of(phrase);
  }
  return out + "\n";
}

std::string wrapped(std::string_view text, std::size_t columns, std::size_t indent) {
  std::string out;
  std::size_t used = indent;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    if (used > indent && columns != 0 && used + 1 + columns_of(word) > columns) {
      out.append("\n").append(indent, ' ');
      used = indent;
    } else if (used > indent) {
      out += ' ';
      ++used;
    }
    out += word;
    used += columns_of(word);
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return out;
}

std::string octal_mode(unsigned mode) {
  char text[8];
  std::snprintf(text, sizeof(text), "0%o", mode & 07777U);
  return text;
}

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double amount = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (amount >= 1024 && unit + 1 < units.size()) {
    amount /= 1024;
    ++unit;
  }
  return formatted(amount < 10 ? 1 : 0, amount, units[unit]);
}

std::string human_duration(double seconds) {
  if (!(seconds >= 0) || std::isinf(seconds)) return "-";
  if (seconds == 0) return "0 s";
  if (seconds < 1e-6) return formatted(0, seconds * 1e9, "ns");
  if (seconds < 1e-3) return formatted(1, seconds * 1e6, "us");
  if (seconds < 1) return formatted(1, seconds * 1e3, "ms");
  if (seconds < 60) return formatted(seconds < 10 ? 2 : 1, seconds, "s");
  const auto whole = static_cast<std::uint64_t>(seconds);
  const auto pair = [](std::uint64_t large, const char* large_unit, std::uint64_t small, const char* small_unit) {
    return std::to_string(large) + " " + large_unit + " " + std::to_string(small) + " " + small_unit;
  };
  if (whole < 3600) return pair(whole / 60, "min", whole % 60, "s");
  if (whole < 86400) return pair(whole / 3600, "h", whole / 60 % 60, "min");
  return pair(whole / 86400, "d", whole / 3600 % 24, "h");
}

std::string human_count(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (std::size_t place = digits.size(); place > 3;) {
    place -= 3;
    digits.insert(place, 1, ',');
  }
  return digits;
}

std::string ordinal(std::uint64_t number) {
  const bool is_teen = number / 10 % 10 == 1;
  const char* ending = "th";
  if (!is_teen && number % 10 == 1) ending = "st";
  if (!is_teen && number % 10 == 2) ending = "nd";
  if (!is_teen && number % 10 == 3) ending = "rd";
  return human_count(number) + ending;
}

std::string plural(std::uint64_t count, std::string_view noun) {
  return human_count(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  const std::optional<Quantity> quantity = parse_quantity(text);
  if (!quantity) return std::nullopt;
  const auto& [amount, unit] = *quantity;
  double factor = 0;
  if (unit == "ms") factor = 1;
  if (unit == "s") factor = 1e3;
  if (unit == "m" || unit == "min") factor = 60e3;
  if (unit == "h") factor = 3600e3;
  if (unit == "d") factor = 24 * 3600e3;
  const double milliseconds = std::ceil(amount * factor);
  if (factor == 0 || !(milliseconds >= 0)) return std::nullopt;
  if (milliseconds > static_cast<double>(duration_max().count())) return duration_max() + std::chrono::milliseconds(1);
  return std::chrono::milliseconds(static_cast<std::int64_t>(milliseconds));
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const std::optional<Quantity> quantity = parse_quantity(text);
  if (!quantity) return std::nullopt;
  const auto& [amount, unit] = *quantity;
  double factor = 0;
  if (unit.empty() || unit == "B") factor = 1;
  if (unit == "K" || unit == "KiB") factor = 1024;
  if (unit == "M" || unit == "MiB") factor = 1024.0 * 1024;
  if (unit == "G" || unit == "GiB") factor = 1024.0 * 1024 * 1024;
  if (unit == "T" || unit == "TiB") factor = 1024.0 * 1024 * 1024 * 1024;
  const double bytes = std::floor(amount * factor);
  constexpr double most = 1024.0 * 1024 * 1024 * 1024 * 1024;  // a pebibyte: exact in a double
  if (factor == 0 || !(bytes >= 0) || bytes > most) return std::nullopt;
  return static_cast<std::uint64_t>(bytes);
}

std::vector<std::size_t> Table::widths() const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t widest = columns_of(columns_[c].title);
    for (const auto& row : rows_) widest = std::max(widest, columns_of(row[c]));
    widths.push_back(widest);
  }
  return widths;
}

std::size_t Table::last_column_least(std::size_t width) { return std::max<std::size_t>(width * 2 / 5, 16); }

std::vector<bool> Table::shown(std::size_t width, const std::vector<std::size_t>& widths) const {
  std::vector<bool> shown(columns_.size(), true);
  if (width == 0) return shown;
  std::size_t wanted = std::min(widths.back(), last_column_least(width));
  for (std::size_t c = 0; c + 1 < columns_.size(); ++c) wanted += widths[c] + gap.size();
  while (wanted > width) {
    std::size_t goes = columns_.size();
    for (std::size_t c = 0; c + 1 < columns_.size(); ++c) {
      if (shown[c] && columns_[c].gives_way > (goes == columns_.size() ? 0 : columns_[goes].gives_way)) goes = c;
    }
    if (goes == columns_.size()) break;
    shown[goes] = false;
    wanted -= widths[goes] + gap.size();
  }
  return shown;
}

std::vector<std::string> Table::left_out(std::size_t width) const {
  const std::vector<bool> is_shown = shown(width, widths());
  std::vector<std::string> titles;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    if (!is_shown[c]) titles.push_back(columns_[c].title);
  }
  return titles;
}

std::string Table::text(std::size_t width) const {
  const std::vector<std::size_t> all_widths = widths();
  const std::vector<bool> is_shown = shown(width, all_widths);
  std::string out;
  const auto line = [&](const auto& cell_of) {
    std::string text;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (!is_shown[c]) continue;
      const Column& column = columns_[c];
      const bool last = c + 1 == columns_.size();
      std::string cell = cell_of(c);
      if (last && width != 0) cell = cut(cell, width > columns_of(text) ? width - columns_of(text) : 1, column.cut);
      text += last && column.align == Align::left ? cell : padded(cell, all_widths[c], column.align);
      if (!last) text += gap;
    }
    out += text + "\n";
  };
  line([&](std::size_t c) { return columns_[c].title; });
  for (const auto& row : rows_) line([&](std::size_t c) { return row[c]; });
  return out;
}

std::string progress_line(double fraction, std::string_view text, std::size_t columns) {
  const bool known = fraction >= 0 && fraction <= 1;
  const std::size_t bar = std::clamp<std::size_t>(columns / 3, 10, 40);
  const auto full = known ? static_cast<std::size_t>(std::floor(fraction * static_cast<double>(bar))) : 0;
  std::string line = "[";
  line.append(full, '#').append(bar - full, '.').append("]");
  const std::string percent = known ? formatted(0, std::floor(fraction * 100), "%") : "? %";
  line.append(6 - percent.size(), ' ').append(percent);  // "100 %" is the longest
  if (!text.empty()) line += "  " + std::string(text);
  return cut_to(line, columns);
}

std::string base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = (group << 8) | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      const bool padding = i + k > bytes.size();
      out += padding ? '=' : base64_alphabet[(group >> (18 - 6 * k)) & 63U];
    }
  }
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  std::uint32_t group = 0;
  std::size_t digits = 0;
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  for (const char c : text) {
    const std::size_t digit = base64_alphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    group = (group << 6) | static_cast<std::uint32_t>(digit);
    if (++digits % 4 == 0) {
      for (const int shift : {16, 8, 0}) out += static_cast<char>((group >> shift) & 0xffU);
      group = 0;
    }
  }
  if (digits % 4 == 1) return std::nullopt;
  if (digits % 4 == 2) out += static_cast<char>((group >> 4) & 0xffU);
  if (digits % 4 == 3) {
    out += static_cast<char>((group >> 10) & 0xffU);
    out += static_cast<char>((group >> 2) & 0xffU);
  }
  return out;
}

}  // namespace onced::cli
