// The identity of a computation, as canonical bytes.
//
// A key is the MessagePack array [session number or nil, function, version, arguments] in which every value has exactly
// one encoding (WIRE.md, "Keys"): shortest integers, floats always 64 bits with one NaN, maps sorted by the bytes of
// their encoded keys and without duplicates, shortest string and container headers, timestamps (ext -1) and content
// digests (ext 1, 32 bytes of SHA-256). 1, 1.0, "1" and true are four different arguments; 0.0 and -0.0 are two.
// Equal bytes are the same key; nothing else is.
//
// Threads: values; const access from any thread.
// Errors:  builders collect the first error and report it from build(); they never throw on content.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <onced/protocol/result.hpp>

namespace onced {

// SHA-256 of a large argument (a file, a dataframe's buffer): stands in a key in place of the bytes themselves.
struct ContentDigest {
  std::uint8_t bytes[32];
};

// Seconds since 1970 and nanoseconds in [0, 999999999]: a timestamp argument.
struct Timestamp {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
};

// Canonical key bytes. Made by KeyBuilder or parsed from foreign bytes; always valid.
class Key {
 public:
  // Checks that `bytes` is one canonical key within the limits, all of it; copies it.
  static Result<Key> parse(std::string_view bytes);

  std::string_view bytes() const ONCED_LIFETIMEBOUND { return bytes_; }
  // The parts of it, decoded on demand. `arguments` are the encoded bytes of the arguments value alone.
  std::optional<std::uint64_t> session() const;
  std::string function() const;
  std::string version() const;
  std::string_view arguments() const ONCED_LIFETIMEBOUND;

  // "name@version(1, \"x\")", "name{}" without named arguments; escaped and cut to `width` characters: for people, never for identity.
  std::string display(std::size_t width = 120) const;
  // The arguments as JSON text (bytes and digests as {"$bytes": base64} and {"$digest": hex}): for `--json` output.
  std::string arguments_json() const;

  friend bool operator==(const Key&, const Key&) = default;

 private:
  friend class KeyBuilder;
  explicit Key(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string bytes_;
};

// Checks that foreign bytes are one canonical key; the same check as Key::parse without the copy.
Result<void> check_key(std::string_view bytes);

// Appends canonical MessagePack values to a buffer of its own. Maps are sorted when they are closed.
//
//   auto key = KeyBuilder("global_store", "v2").add("apples").add(7).build();              // positional
//   auto key = KeyBuilder("global_store").arguments_json(R"({"fruit": "apples"})").build();   // named
//
// A builder that is reused with reset() does not allocate once its buffer has grown.
class KeyBuilder {
 public:
  explicit KeyBuilder(std::string_view function, std::string_view version = {},
                      std::optional<std::uint64_t> session = std::nullopt);
  void reset(std::string_view function, std::string_view version = {}, std::optional<std::uint64_t> session = std::nullopt);

  // Appends one positional argument.
  KeyBuilder& add(std::nullptr_t);
  // A bool, and nothing that merely converts to one: else every pointer that no other overload takes would be the argument `true`.
  template <std::same_as<bool> Bool>
  KeyBuilder& add(Bool value) {
    return add_bool(value);
  }
  KeyBuilder& add(double value);
  KeyBuilder& add(float value) { return add(static_cast<double>(value)); }
  KeyBuilder& add(std::string_view utf8);
  KeyBuilder& add(const std::string& utf8) { return add(std::string_view(utf8)); }
  KeyBuilder& add(const char* utf8) { return add(std::string_view(utf8)); }
  KeyBuilder& add(std::span<const std::byte> bytes);
  KeyBuilder& add(const Timestamp& value);
  KeyBuilder& add(const ContentDigest& digest);
  template <typename Integer>
    requires(std::is_integral_v<Integer> && !std::is_same_v<Integer, bool>)
  KeyBuilder& add(Integer value) {
    if constexpr (std::is_signed_v<Integer>) return add_signed(static_cast<std::int64_t>(value));
    else return add_unsigned(static_cast<std::uint64_t>(value));
  }
  // One positional argument that is any MessagePack value, brought into canonical form first.
  KeyBuilder& add_msgpack(std::string_view encoded);
  // All arguments at once: an encoded MessagePack array (positional) or map (named), in any encoding.
  KeyBuilder& arguments_msgpack(std::string_view encoded);
  // All arguments at once from JSON text: an array or an object. {"$digest": "hex"} and {"$bytes": "base64"} are the
  // JSON spelling of digests and bytes. Integers are integers, numbers with a point or exponent are floats.
  KeyBuilder& arguments_json(std::string_view json);

  // The key, or the first mistake made on the way (too deep, too long, not UTF-8, duplicate names). The builder may be
  // reset and used again afterwards.
  Result<Key> build();
  // As build(), but the bytes stay in the builder and are valid until it is changed: for lookups without allocation.
  Result<std::string_view> build_view();

 private:
  KeyBuilder& add_bool(bool value);
  KeyBuilder& add_signed(std::int64_t value);
  KeyBuilder& add_unsigned(std::uint64_t value);
  // Counts one more positional argument of at least so many bytes, unless there is no place for it.
  bool begin_argument(std::size_t bytes);
  void set_arguments(Result<std::string> canonical);
  void fail(ErrorCode code, std::string text);

  std::string head_;        // [session, function, version,   with the array header
  std::string arguments_;   // the arguments' bytes so far, without their container header
  std::string out_;
  std::size_t count_ = 0;   // positional arguments so far
  bool whole_ = false;      // arguments_ is a complete value already
  std::optional<Error> error_;
};

// Any MessagePack value -> its one canonical encoding, or why it has none.
Result<std::string> canonical_msgpack(std::string_view encoded);

// SHA-256 of some bytes.
ContentDigest content_digest(std::span<const std::byte> bytes);

// The same for content that comes in pieces, as a file's does.
class ContentHasher {
 public:
  ContentHasher();
  ContentHasher(ContentHasher&&) noexcept;
  ContentHasher& operator=(ContentHasher&&) noexcept;
  ~ContentHasher();

  void update(std::span<const std::byte> bytes);
  // Of everything so far. Once, at the end.
  ContentDigest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace onced
