#include <onced/protocol/key.hpp>

#include <onced/protocol/limits.hpp>

#include "canonical.hpp"
#include "canonical_reader.hpp"
#include "pack.hpp"
#include <onced/protocol/utf8.hpp>

namespace onced {
namespace {

using protocol::CanonicalReader;
using protocol::Lexeme;
using protocol::LexemeKind;

// The n-th of a valid key's session, function and version.
Lexeme head_lexeme(std::string_view key, int number) {
  CanonicalReader reader(key);
  Lexeme token;
  for (int i = 0; i <= number + 1; ++i) reader.next(token);
  return token;
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

// ---- Key ------------------------------------------------------------------------------------------------------------

Result<Key> Key::parse(std::string_view bytes) {
  if (Result<void> checked = check_key(bytes); !checked) return checked.error();
  return Key(std::string(bytes));
}

std::optional<std::uint64_t> Key::session() const {
  const Lexeme token = head_lexeme(bytes_, 0);
  if (token.kind == LexemeKind::nil) return std::nullopt;
  return token.number;
}

std::string Key::function() const { return std::string(head_lexeme(bytes_, 1).content); }

std::string Key::version() const { return std::string(head_lexeme(bytes_, 2).content); }

std::string_view Key::arguments() const {
  CanonicalReader reader(bytes_);
  Lexeme token;
  for (int i = 0; i < 4; ++i) reader.next(token);
  return bytes().substr(reader.offset());
}

// ---- KeyBuilder -----------------------------------------------------------------------------------------------------

KeyBuilder::KeyBuilder(std::string_view function, std::string_view version, std::optional<std::uint64_t> session) {
  reset(function, version, session);
}

void KeyBuilder::reset(std::string_view function, std::string_view version, std::optional<std::uint64_t> session) {
  head_.clear();
  arguments_.clear();
  count_ = 0;
  whole_ = false;
  error_.reset();

  if (function.empty()) fail(ErrorCode::invalid_argument, "a key needs a function name");
  if (function.size() > limits::function_name_bytes_max)
    fail(ErrorCode::too_large, "bytes of a function name " + std::to_string(function.size()) + " > " +
                                   std::to_string(limits::function_name_bytes_max));
  if (version.size() > limits::version_bytes_max)
    fail(ErrorCode::too_large,
         "bytes of a version " + std::to_string(version.size()) + " > " + std::to_string(limits::version_bytes_max));
  if (!protocol::is_utf8(function) || !protocol::is_utf8(version))
    fail(ErrorCode::invalid_argument, "a function's name and version must be UTF-8");
  if (error_.has_value()) return;

  protocol::pack_array_head(head_, 4);
  if (session.has_value()) protocol::pack_unsigned(head_, *session);
  else protocol::pack_nil(head_);
  protocol::pack_text(head_, function);
  protocol::pack_text(head_, version);
}

void KeyBuilder::fail(ErrorCode code, std::string text) {
  if (!error_.has_value()) error_ = Error{code, std::move(text)};
}

bool KeyBuilder::begin_argument(std::size_t bytes) {
  if (error_.has_value()) return false;
  if (whole_) {
    fail(ErrorCode::invalid_argument, "all arguments were given at once already; add() has nowhere to append");
    return false;
  }
  if (bytes > limits::key_bytes_max || arguments_.size() > limits::key_bytes_max - bytes) {
    fail(ErrorCode::too_large, "a key longer than " + std::to_string(limits::key_bytes_max) +
                                   " bytes (pass the digest of a large argument instead)");
    return false;
  }
  ++count_;
  return true;
}

KeyBuilder& KeyBuilder::add(std::nullptr_t) {
  if (begin_argument(1)) protocol::pack_nil(arguments_);
  return *this;
}

KeyBuilder& KeyBuilder::add_bool(bool value) {
  if (begin_argument(1)) protocol::pack_boolean(arguments_, value);
  return *this;
}

KeyBuilder& KeyBuilder::add(double value) {
  if (begin_argument(1)) protocol::pack_real(arguments_, value);
  return *this;
}

KeyBuilder& KeyBuilder::add_signed(std::int64_t value) {
  if (begin_argument(1)) protocol::pack_signed(arguments_, value);
  return *this;
}

KeyBuilder& KeyBuilder::add_unsigned(std::uint64_t value) {
  if (begin_argument(1)) protocol::pack_unsigned(arguments_, value);
  return *this;
}

KeyBuilder& KeyBuilder::add(std::string_view utf8) {
  if (!begin_argument(utf8.size())) return *this;
  if (!protocol::is_utf8(utf8)) fail(ErrorCode::invalid_argument, "text in a key must be UTF-8 (use bytes for other data)");
  else protocol::pack_text(arguments_, utf8);
  return *this;
}

KeyBuilder& KeyBuilder::add(std::span<const std::byte> bytes) {
  if (begin_argument(bytes.size())) protocol::pack_bytes(arguments_, as_text(bytes));
  return *this;
}

KeyBuilder& KeyBuilder::add(const Timestamp& value) {
  if (!begin_argument(1)) return *this;
  if (value.nanoseconds > protocol::nanoseconds_max)
    fail(ErrorCode::invalid_argument, "a timestamp's nanoseconds " + std::to_string(value.nanoseconds) + " > " +
                                          std::to_string(protocol::nanoseconds_max));
  else protocol::pack_timestamp(arguments_, value);
  return *this;
}

KeyBuilder& KeyBuilder::add(const ContentDigest& digest) {
  if (begin_argument(sizeof digest.bytes)) protocol::pack_digest(arguments_, digest.bytes);
  return *this;
}

KeyBuilder& KeyBuilder::add_msgpack(std::string_view encoded) {
  if (error_.has_value()) return *this;
  // One level is the array of the arguments themselves.
  const Result<std::string> canonical = protocol::canonical_msgpack(encoded, limits::key_depth_max - 1);
  if (!canonical) fail(canonical.error().code, canonical.error().text);
  else if (begin_argument(canonical->size())) arguments_.append(*canonical);
  return *this;
}

KeyBuilder& KeyBuilder::arguments_msgpack(std::string_view encoded) {
  if (!error_.has_value()) set_arguments(canonical_msgpack(encoded));
  return *this;
}

void KeyBuilder::set_arguments(Result<std::string> canonical) {
  if (error_.has_value()) return;
  if (!canonical) return fail(canonical.error().code, canonical.error().text);
  if (whole_ || count_ > 0) return fail(ErrorCode::invalid_argument, "this key has arguments already");
  CanonicalReader reader(*canonical);
  Lexeme token;
  if (!reader.next(token) || (token.kind != LexemeKind::array && token.kind != LexemeKind::map))
    return fail(ErrorCode::invalid_argument, "arguments must be an array (positional) or a map (named)");
  arguments_ = *std::move(canonical);
  whole_ = true;
}

Result<std::string_view> KeyBuilder::build_view() {
  if (error_.has_value()) return *error_;
  out_.assign(head_);
  if (!whole_) protocol::pack_array_head(out_, count_);
  out_.append(arguments_);
  if (out_.size() > limits::key_bytes_max)
    return Error{ErrorCode::too_large, "bytes of a key " + std::to_string(out_.size()) + " > " +
                                           std::to_string(limits::key_bytes_max) +
                                           " (pass the digest of a large argument instead)"};
  return std::string_view(out_);
}

Result<Key> KeyBuilder::build() {
  Result<std::string_view> bytes = build_view();
  if (!bytes) return bytes.error();
  return Key(std::string(*bytes));
}

}  // namespace onced
