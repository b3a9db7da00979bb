// A key as people read it in logs, terminals and error texts. Foreign bytes: whatever could move a cursor, ring a bell
// or turn the direction of writing is escaped.
#include <bit>
#include <chrono>
#include <cstdio>

#include <onced/protocol/key.hpp>

#include "base64.hpp"
#include "canonical_reader.hpp"
#include "real_text.hpp"

namespace onced {
namespace {

using protocol::CanonicalReader;
using protocol::Lexeme;
using protocol::LexemeKind;

// Bytes of a digest that are shown: enough to tell two apart.
constexpr std::size_t digest_bytes_shown = 6;

// Text of at most `width` characters; what comes after that is not even rendered.
class Line {
 public:
  explicit Line(std::size_t width) : width_(width) {}

  bool full() const { return characters_ > width_; }
  void append(std::string_view utf8) {
    while (!utf8.empty() && !full()) {
      const std::size_t length = protocol::utf8_character_bytes(utf8);
      if (++characters_ == width_) last_ = text_.size();
      text_.append(utf8.substr(0, length));
      utf8.remove_prefix(length);
    }
  }
  // As append(), with unprintable characters and `quote` escaped.
  void append_escaped(std::string_view utf8, char quote) {
    while (!utf8.empty() && !full()) {
      const std::string_view character = utf8.substr(0, protocol::utf8_character_bytes(utf8));
      utf8.remove_prefix(character.size());
      if (quote != '\0' && (character[0] == quote || character[0] == '\\')) append("\\");
      if (const std::uint32_t code = code_point(character); is_unprintable(code)) append(escape(code));
      else append(character);
    }
  }
  // The line, its last character an ellipsis when there was more.
  std::string take() && {
    if (!full()) return std::move(text_);
    text_.resize(width_ == 0 ? 0 : last_);
    return width_ == 0 ? std::string() : text_ + "…";
  }

 private:
  static std::uint32_t code_point(std::string_view character) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<std::uint8_t>(character[i])); };
    std::uint32_t code = character.size() == 1 ? byte(0) : byte(0) & (0x7fU >> character.size());
    for (std::size_t i = 1; i < character.size(); ++i) code = code << 6 | (byte(i) & 0x3f);
    return code;
  }
  // Controls (C0, DEL, C1), line and paragraph separators, marks that turn or hide text.
  static bool is_unprintable(std::uint32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
  }
  static std::string escape(std::uint32_t code) {
    if (code == '\n') return "\\n";
    if (code == '\t') return "\\t";
    if (code == '\r') return "\\r";
    char text[16];
    std::snprintf(text, sizeof text, "\\u%04x", code);
    return text;
  }

  std::size_t width_;
  std::size_t characters_ = 0;
  std::size_t last_ = 0;  // where the last character that fits begins
  std::string text_;
};

std::string timestamp_text(const Timestamp& time) {
  using namespace std::chrono;
  // Years that a calendar on paper has; others as plain seconds.
  constexpr std::int64_t year_0 = -62'167'219'200;
  constexpr std::int64_t year_10000 = 253'402'300'800;
  char text[64];
  if (time.seconds < year_0 || time.seconds >= year_10000) {
    std::snprintf(text, sizeof text, "@%lld", static_cast<long long>(time.seconds));
    return text;
  }
  const sys_seconds moment{seconds(time.seconds)};
  const sys_days day = floor<days>(moment);
  const year_month_day date(day);
  const hh_mm_ss clock(moment - day);
  int length = std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(date.year()),
                             static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                             static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                             static_cast<int>(clock.seconds().count()));
  std::string result(text, static_cast<std::size_t>(length));
  if (time.nanoseconds != 0) {
    length = std::snprintf(text, sizeof text, ".%09u", time.nanoseconds);
    result.append(text, static_cast<std::size_t>(length));
  }
  return result + "Z";
}

// Recursion is bounded by key_depth_max; a full line ends it early.
void append_value(CanonicalReader& reader, Line& line) {
  Lexeme token;
  if (line.full() || !reader.next(token)) return;
  switch (token.kind) {
    case LexemeKind::nil: return line.append("null");
    case LexemeKind::boolean: return line.append(token.number != 0 ? "true" : "false");
    case LexemeKind::positive: return line.append(std::to_string(token.number));
    case LexemeKind::negative: return line.append(std::to_string(static_cast<std::int64_t>(token.number)));
    case LexemeKind::real: return line.append(protocol::real_text(std::bit_cast<double>(token.number)));
    case LexemeKind::text:
      line.append("\"");
      line.append_escaped(token.content, '"');
      return line.append("\"");
    case LexemeKind::bytes:
      line.append("<");
      line.append(std::to_string(token.content.size()));
      return line.append(" bytes>");
    case LexemeKind::digest:
      line.append("sha256:");
      return line.append(protocol::to_hex(token.content.substr(0, digest_bytes_shown)));
    case LexemeKind::timestamp: return line.append(timestamp_text(token.time));
    case LexemeKind::array:
      line.append("[");
      for (std::uint64_t i = 0; i < token.number && !line.full(); ++i) {
        if (i > 0) line.append(", ");
        append_value(reader, line);
      }
      return line.append("]");
    case LexemeKind::map:
      line.append("{");
      for (std::uint64_t i = 0; i < token.number && !line.full(); ++i) {
        if (i > 0) line.append(", ");
        append_value(reader, line);
        line.append(": ");
        append_value(reader, line);
      }
      return line.append("}");
  }
}

// What stands between the parentheses: positional values, or names with values. No names are not no values: f() and f{}.
void append_arguments(CanonicalReader& reader, Line& line) {
  Lexeme arguments;
  if (!reader.next(arguments)) return;
  if (arguments.kind == LexemeKind::map && arguments.number == 0) return line.append("{}");
  line.append("(");
  for (std::uint64_t i = 0; i < arguments.number && !line.full(); ++i) {
    if (i > 0) line.append(", ");
    if (arguments.kind == LexemeKind::map) {
      CanonicalReader ahead = reader;
      Lexeme name;
      if (ahead.next(name) && name.kind == LexemeKind::text) {
        line.append_escaped(name.content, '\0');
        reader = ahead;
      } else {
        append_value(reader, line);
      }
      line.append("=");
    }
    append_value(reader, line);
  }
  line.append(")");
}

}  // namespace

std::string Key::display(std::size_t width) const {
  Line line(width);
  line.append_escaped(function(), '\0');
  if (const std::string spoken = version(); !spoken.empty()) {
    line.append("@");
    line.append_escaped(spoken, '\0');
  }
  CanonicalReader reader(arguments());
  append_arguments(reader, line);
  return std::move(line).take();
}

}  // namespace onced
