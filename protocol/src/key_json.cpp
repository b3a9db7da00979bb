// Arguments as JSON text and back (WIRE.md, "Arguments as JSON"). What JSON has no spelling for is an object with one
// member whose name begins with a dollar sign; a map that looks like one is spelled as "$map".
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include <onced/protocol/key.hpp>
#include <onced/protocol/limits.hpp>

#include "base64.hpp"
#include "canonical.hpp"
#include "canonical_reader.hpp"
#include "canonical_writer.hpp"
#include "real_text.hpp"

namespace onced {
namespace {

using protocol::CanonicalReader;
using protocol::CanonicalWriter;
using protocol::Lexeme;
using protocol::LexemeKind;

// ---- canonical bytes to JSON ----------------------------------------------------------------------------------------

std::string json_text(std::string_view utf8) { return nlohmann::json(utf8).dump(); }

std::string special(std::string_view name, std::string_view json) {
  std::string text = "{\"";
  return text.append(name).append("\":").append(json).append("}");
}

// The reader stands behind the head of a map: can its entries be the members of a JSON object?
bool is_object(CanonicalReader reader, std::uint64_t entries) {
  for (std::uint64_t i = 0; i < entries; ++i) {
    Lexeme name;
    reader.next(name);
    if (name.kind != LexemeKind::text) return false;
    if (entries == 1 && name.content.starts_with('$')) return false;
    protocol::skip_value(reader);
  }
  return true;
}

// Precondition of all: the reader reads valid canonical bytes. Recursion is bounded by key_depth_max.
void append_value(CanonicalReader& reader, std::string& json);

void append_map(CanonicalReader& reader, std::uint64_t entries, std::string& json) {
  const bool object = is_object(reader, entries);
  json.append(object ? "{" : "{\"$map\":[");
  for (std::uint64_t i = 0; i < entries; ++i) {
    if (i > 0) json.push_back(',');
    if (!object) json.push_back('[');
    append_value(reader, json);
    json.push_back(object ? ':' : ',');
    append_value(reader, json);
    if (!object) json.push_back(']');
  }
  json.append(object ? "}" : "]}");
}

void append_value(CanonicalReader& reader, std::string& json) {
  Lexeme token;
  ONCED_ASSERT(reader.next(token));
  switch (token.kind) {
    case LexemeKind::nil: json.append("null"); return;
    case LexemeKind::boolean: json.append(token.number != 0 ? "true" : "false"); return;
    case LexemeKind::positive: json.append(std::to_string(token.number)); return;
    case LexemeKind::negative: json.append(std::to_string(static_cast<std::int64_t>(token.number))); return;
    case LexemeKind::real: {
      const auto value = std::bit_cast<double>(token.number);
      if (std::isfinite(value)) json.append(protocol::real_text(value));
      else json.append(special("$float", std::isnan(value) ? "\"nan\"" : value > 0 ? "\"inf\"" : "\"-inf\""));
      return;
    }
    case LexemeKind::text: json.append(json_text(token.content)); return;
    case LexemeKind::bytes: json.append(special("$bytes", json_text(protocol::to_base64(token.content)))); return;
    case LexemeKind::digest: json.append(special("$digest", json_text(protocol::to_hex(token.content)))); return;
    case LexemeKind::timestamp:
      json.append(special("$timestamp", "[" + std::to_string(token.time.seconds) + "," +
                                            std::to_string(token.time.nanoseconds) + "]"));
      return;
    case LexemeKind::array:
      json.push_back('[');
      for (std::uint64_t i = 0; i < token.number; ++i) {
        if (i > 0) json.push_back(',');
        append_value(reader, json);
      }
      json.push_back(']');
      return;
    case LexemeKind::map: append_map(reader, token.number, json); return;
  }
}

// ---- JSON to canonical bytes ----------------------------------------------------------------------------------------

// A "$map" needs three JSON containers for one of ours, and base64 more room than its bytes; the result is checked
// against the limits of a key in the end.
constexpr std::size_t json_depth_max = 3 * limits::key_depth_max;
constexpr std::size_t json_bytes_max = 2 * limits::key_bytes_max;

class JsonReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return writer_.nil(); }
  bool boolean(bool value) override { return writer_.boolean(value); }
  bool number_integer(number_integer_t value) override { return writer_.signed_integer(value); }
  bool number_unsigned(number_unsigned_t value) override { return writer_.unsigned_integer(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    // The parser turns integers that do not fit into floats: another key than the one that was meant.
    if (text.find_first_of(".eE") == string_t::npos)
      return mistake("the integer " + text.substr(0, 40) + " does not fit into 64 bits");
    return writer_.real(value);
  }
  bool string(string_t& value) override { return writer_.text(value); }
  bool binary(binary_t&) override { return mistake("JSON has no binary values"); }
  bool start_object(std::size_t) override { return writer_.open_map(); }
  bool key(string_t& name) override { return writer_.text(name); }
  bool end_object() override {
    if (writer_.children() == 2) {
      CanonicalReader reader(writer_.child(0));
      Lexeme name;
      ONCED_ASSERT(reader.next(name));
      if (name.content.starts_with('$')) return replace_special(std::string(name.content), std::string(writer_.child(1)));
    }
    return writer_.close();
  }
  bool start_array(std::size_t) override { return writer_.open_array(); }
  bool end_array() override { return writer_.close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& exception) override {
    // "[json.exception.parse_error.101] parse error at ...: what": only what people can use.
    const std::string_view what = exception.what();
    const std::size_t begin = what.find("] ");
    return mistake("at byte " + std::to_string(position) + ": " +
                   std::string(begin == std::string_view::npos ? what : what.substr(begin + 2)));
  }

  CanonicalWriter& writer() { return writer_; }

 private:
  bool mistake(const std::string& text) {
    return writer_.fail(ErrorCode::invalid_argument, "arguments are not JSON that makes a key: " + text);
  }

  // {"$name": value}, both read and encoded already, becomes the value that it stands for.
  bool replace_special(const std::string& name, const std::string& value) {
    writer_.discard();
    CanonicalReader reader(value);
    Lexeme token;
    ONCED_ASSERT(reader.next(token));
    const bool text = token.kind == LexemeKind::text;
    if (name == "$bytes") {
      const auto bytes = text ? protocol::from_base64(token.content) : std::nullopt;
      return bytes.has_value() ? writer_.bytes(*bytes) : mistake("\"$bytes\" wants base64 text");
    }
    if (name == "$digest") {
      const auto bytes = text ? protocol::from_hex(token.content) : std::nullopt;
      ContentDigest digest;
      if (!bytes.has_value() || bytes->size() != sizeof digest.bytes)
        return mistake("\"$digest\" wants 64 lower-case hexadecimal digits");
      std::copy(bytes->begin(), bytes->end(), digest.bytes);
      return writer_.digest(digest.bytes);
    }
    if (name == "$float") {
      constexpr double infinity = std::numeric_limits<double>::infinity();
      if (text && token.content == "nan") return writer_.real(std::numeric_limits<double>::quiet_NaN());
      if (text && token.content == "inf") return writer_.real(infinity);
      if (text && token.content == "-inf") return writer_.real(-infinity);
      return mistake("\"$float\" wants \"nan\", \"inf\" or \"-inf\"");
    }
    if (name == "$timestamp") return timestamp(reader, token);
    if (name == "$map") return map(value, reader, token);
    return mistake(name.substr(0, 40) + " has no meaning (a map with such a name is {\"$map\": [[name, value]]})");
  }

  bool timestamp(CanonicalReader& reader, const Lexeme& array) {
    Lexeme seconds;
    Lexeme nanoseconds;
    const auto number = [&](Lexeme& token) {
      return reader.next(token) && (token.kind == LexemeKind::positive || token.kind == LexemeKind::negative);
    };
    const bool good = array.kind == LexemeKind::array && array.number == 2 && number(seconds) && number(nanoseconds) &&
                      (seconds.kind == LexemeKind::negative || seconds.number <= INT64_MAX) &&
                      nanoseconds.kind == LexemeKind::positive && nanoseconds.number <= protocol::nanoseconds_max;
    if (!good) return mistake("\"$timestamp\" wants [seconds since 1970, nanoseconds below 1000000000]");
    return writer_.timestamp({static_cast<std::int64_t>(seconds.number), static_cast<std::uint32_t>(nanoseconds.number)});
  }

  bool map(std::string_view value, CanonicalReader& reader, const Lexeme& array) {
    if (array.kind != LexemeKind::array || !writer_.open_map()) return mistake("\"$map\" wants [[name, value], ...]");
    for (std::uint64_t i = 0; i < array.number; ++i) {
      Lexeme pair;
      if (!reader.next(pair) || pair.kind != LexemeKind::array || pair.number != 2)
        return mistake("\"$map\" wants [[name, value], ...]");
      for (int member = 0; member < 2; ++member) {
        const std::size_t begin = reader.offset();
        protocol::skip_value(reader);
        if (!writer_.canonical(value.substr(begin, reader.offset() - begin))) return false;
      }
    }
    return writer_.close();
  }

  CanonicalWriter writer_{json_depth_max, json_bytes_max};
};

Result<std::string> canonical_json(std::string_view json) {
  JsonReader reader;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader) && !reader.writer().failed())
    return Error{ErrorCode::invalid_argument, "arguments are not JSON"};
  Result<std::string> canonical = std::move(reader.writer()).take();
  if (!canonical) return canonical;
  if (const Result<void> checked = protocol::check_arguments(*canonical); !checked) {
    if (checked.error().code == ErrorCode::too_large) return checked.error();
    return Error{ErrorCode::invalid_argument, "arguments must be a JSON array (positional) or object (named)"};
  }
  return canonical;
}

}  // namespace

std::string Key::arguments_json() const {
  CanonicalReader reader(arguments());
  std::string json;
  append_value(reader, json);
  return json;
}

KeyBuilder& KeyBuilder::arguments_json(std::string_view json) {
  if (!error_.has_value()) set_arguments(canonical_json(json));
  return *this;
}

}  // namespace onced
