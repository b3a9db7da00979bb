// Canonical MessagePack: checking it where it must be canonical, making it from what is not.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <msgpack.hpp>

#include <onced/protocol/key.hpp>
#include <onced/protocol/limits.hpp>

#include "canonical.hpp"
#include "canonical_reader.hpp"
#include "canonical_writer.hpp"

namespace onced {
namespace {

using protocol::CanonicalReader;
using protocol::CanonicalWriter;
using protocol::Lexeme;
using protocol::LexemeKind;

Error malformed_key(std::size_t offset, std::string_view what) {
  std::string text = "a key ";
  text.append(what).append(" (at byte ").append(std::to_string(offset)).append(")");
  return {ErrorCode::malformed, std::move(text)};
}

Error too_large(std::string_view what, std::size_t is, std::size_t limit) {
  std::string text(what);
  text.append(" ").append(std::to_string(is)).append(" > ").append(std::to_string(limit));
  return {ErrorCode::too_large, std::move(text)};
}

// The arguments: one array or map, all values in it canonical, all maps sorted. Iterative, with room for key_depth_max
// levels on the stack: this runs on every request.
Result<void> check_arguments(CanonicalReader& reader, std::string_view bytes) {
  struct Level {
    std::uint64_t rest;     // values still to come (a map counts keys and values)
    bool map;
    std::size_t key_begin;  // map: where the present entry's key begins
    std::string_view key;   // map: the previous entry's key; no encoded key is empty
  };
  std::array<Level, limits::key_depth_max> levels;
  std::size_t depth = 0;
  for (;;) {
    const std::size_t begin = reader.offset();
    Lexeme token;
    if (!reader.next(token)) return malformed_key(begin, reader.mistake());
    const bool map = token.kind == LexemeKind::map;
    if (map || token.kind == LexemeKind::array) {
      if (depth == levels.size()) return too_large("nesting of a key's arguments", depth + 1, levels.size());
      if (token.number > 0) {
        levels[depth++] = {map ? 2 * token.number : token.number, map, reader.offset(), {}};
        continue;
      }
    } else if (depth == 0) {
      return malformed_key(begin, "has arguments that are neither an array nor a map");
    }
    // A value has ended, and with it every container that it was the last of.
    for (; depth > 0; --depth) {
      Level& level = levels[depth - 1];
      --level.rest;
      if (level.map && level.rest % 2 == 1) {
        const std::string_view key = bytes.substr(level.key_begin, reader.offset() - level.key_begin);
        if (key == level.key) return malformed_key(level.key_begin, "holds a map with the same name twice");
        if (key < level.key) return malformed_key(level.key_begin, "holds a map that is not sorted");
        level.key = key;
      }
      if (level.rest > 0) {
        level.key_begin = reader.offset();  // matters when a key comes next
        break;
      }
    }
    if (depth == 0) return {};
  }
}

}  // namespace

Result<void> protocol::check_arguments(std::string_view bytes) {
  CanonicalReader reader(bytes);
  if (Result<void> checked = onced::check_arguments(reader, bytes); !checked) return checked;
  if (!reader.at_end()) return malformed_key(reader.offset(), "is followed by other bytes");
  return {};
}

Result<void> check_key(std::string_view bytes) {
  if (bytes.size() > limits::key_bytes_max) return too_large("bytes of a key", bytes.size(), limits::key_bytes_max);
  CanonicalReader reader(bytes);
  Lexeme token;
  const auto next = [&] { return reader.next(token); };
  const auto mistake = [&] { return malformed_key(reader.offset(), reader.mistake()); };

  if (!next()) return mistake();
  if (token.kind != LexemeKind::array || token.number != 4)
    return malformed_key(0, "is not an array of session, function, version and arguments");
  if (!next()) return mistake();
  if (token.kind != LexemeKind::nil && token.kind != LexemeKind::positive)
    return malformed_key(1, "has a session that is neither nil nor a number");
  if (!next()) return mistake();
  if (token.kind != LexemeKind::text || token.content.empty())
    return malformed_key(reader.offset(), "has no function name");
  if (token.content.size() > limits::function_name_bytes_max)
    return too_large("bytes of a function name", token.content.size(), limits::function_name_bytes_max);
  if (!next()) return mistake();
  if (token.kind != LexemeKind::text) return malformed_key(reader.offset(), "has a version that is not text");
  if (token.content.size() > limits::version_bytes_max)
    return too_large("bytes of a version", token.content.size(), limits::version_bytes_max);
  if (Result<void> checked = check_arguments(reader, bytes); !checked) return checked;
  if (!reader.at_end()) return malformed_key(reader.offset(), "is followed by other bytes");
  return {};
}

namespace {

// Receives what msgpack-cxx parses, in any encoding, and writes it again in the canonical one.
class Canonicalizer : public msgpack::null_visitor {
 public:
  explicit Canonicalizer(std::size_t depth_max) : writer_(depth_max) {}

  bool visit_nil() { return writer_.nil(); }
  bool visit_boolean(bool value) { return writer_.boolean(value); }
  bool visit_positive_integer(std::uint64_t value) { return writer_.unsigned_integer(value); }
  bool visit_negative_integer(std::int64_t value) { return writer_.signed_integer(value); }
  bool visit_float32(float value) { return writer_.real(static_cast<double>(value)); }
  bool visit_float64(double value) { return writer_.real(value); }
  bool visit_str(const char* text, std::uint32_t size) { return writer_.text({text, size}); }
  bool visit_bin(const char* bytes, std::uint32_t size) { return writer_.bytes({bytes, size}); }
  // The first byte is the extension's type.
  bool visit_ext(const char* bytes, std::uint32_t size) { return extension(static_cast<std::int8_t>(bytes[0]), {bytes + 1, size - 1}); }
  bool start_array(std::uint32_t) { return writer_.open_array(); }
  bool end_array() { return writer_.close(); }
  bool start_map(std::uint32_t) { return writer_.open_map(); }
  bool end_map() { return writer_.close(); }
  void parse_error(std::size_t, std::size_t at) { broken("is not MessagePack", at); }
  void insufficient_bytes(std::size_t, std::size_t at) { broken("ends in the middle", at); }

  void broken(std::string_view how, std::size_t at) {
    writer_.fail(ErrorCode::malformed, "an argument " + std::string(how) + " (at byte " + std::to_string(at) + ")");
  }
  CanonicalWriter& writer() { return writer_; }

 private:
  bool extension(std::int8_t type, std::string_view data) {
    const auto big_endian = [&](std::size_t at, std::size_t width) {
      std::uint64_t number = 0;
      for (std::size_t i = 0; i < width; ++i) number = number << 8 | static_cast<std::uint8_t>(data[at + i]);
      return number;
    };
    if (type == protocol::digest_extension && data.size() == sizeof(ContentDigest::bytes)) {
      ContentDigest digest;
      std::copy(data.begin(), data.end(), digest.bytes);
      return writer_.digest(digest.bytes);
    }
    if (type == protocol::timestamp_extension) {
      if (data.size() == 4) return writer_.timestamp({static_cast<std::int64_t>(big_endian(0, 4)), 0});
      if (data.size() == 8) {
        const std::uint64_t both = big_endian(0, 8);
        return writer_.timestamp({static_cast<std::int64_t>(both & 0x3'ffff'ffff), static_cast<std::uint32_t>(both >> 34)});
      }
      if (data.size() == 12)
        return writer_.timestamp({static_cast<std::int64_t>(big_endian(4, 8)), static_cast<std::uint32_t>(big_endian(0, 4))});
    }
    return writer_.fail(ErrorCode::invalid_argument, "extension type " + std::to_string(type) + " with " +
                                                         std::to_string(data.size()) + " bytes has no meaning in a key");
  }

  CanonicalWriter writer_;
};

}  // namespace

Result<std::string> protocol::canonical_msgpack(std::string_view encoded, std::size_t depth_max) {
  Canonicalizer canonicalizer(depth_max);
  try {
    std::size_t offset = 0;
    // False when the visitor said stop or the bytes end early; the writer then holds the reason.
    if (msgpack::parse(encoded.data(), encoded.size(), offset, canonicalizer) && offset != encoded.size())
      canonicalizer.broken("is followed by other bytes", offset);
    else if (encoded.empty())
      canonicalizer.broken("ends in the middle", 0);
  } catch (const msgpack::unpack_error& error) {
    canonicalizer.broken(error.what(), 0);
  }
  return std::move(canonicalizer.writer()).take();
}

Result<std::string> canonical_msgpack(std::string_view encoded) {
  return protocol::canonical_msgpack(encoded, limits::key_depth_max);
}

}  // namespace onced
