// Parts that are objects: packed and unpacked as MessagePack, with the adaptors of msgpack-cxx (containers, std::optional,
// std::tuple, types with MSGPACK_DEFINE).
//
//   onced::add_object(computation.builder(), "weights", std::vector<double>{...});
//   onced::Result<std::vector<double>> weights = onced::object_of<std::vector<double>>(*value, "weights");
//
// An object is copied into its part and out of it. What is to be used in place (matrices, images, Arrow buffers) goes
// into a part as it is: ValueBuilder::reserve(), Value::part().
//
// Threads: as ValueBuilder, Value. Errors: as there; the bytes are another process's and may be anything: `malformed` when
//          they are no object of this type.
// Include this before msgpack.hpp, or define MSGPACK_NO_BOOST yourself: nothing here needs Boost.
#pragma once

#ifndef MSGPACK_NO_BOOST
#define MSGPACK_NO_BOOST
#endif
#include <msgpack.hpp>

#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <onced/value.hpp>
#include <onced/value_builder.hpp>

namespace onced {

// The content type of such parts.
inline constexpr std::string_view object_content_type = "application/vnd.msgpack";

namespace client_detail {

template <typename T>
std::string packed(const T& object) {
  msgpack::sbuffer buffer;
  msgpack::pack(buffer, object);
  return std::string(buffer.data(), buffer.size());
}

// Types that msgpack-cxx makes without a copy: they would look into bytes that are gone when they are returned. (One within another is
// not found by this.)
template <typename T>
inline constexpr bool looks_into_its_bytes = std::is_pointer_v<T> || std::is_same_v<T, std::string_view> || std::is_same_v<T, msgpack::object> ||
                                             std::is_same_v<T, msgpack::type::raw_ref>;

template <typename T>
Result<T> unpacked(std::span<const std::byte> bytes) {
  static_assert(!looks_into_its_bytes<T>, "a view would outlive what it looks into: ask for a type that owns its bytes (std::string)");
  constexpr std::size_t depth_max = 64;
  const std::size_t size = bytes.size();
  try {
    // No more elements than bytes: a declared length alone allocates nothing.
    const msgpack::unpack_limit limit(size, size, size, size, size, depth_max);
    const msgpack::object_handle handle =
        msgpack::unpack(reinterpret_cast<const char*>(bytes.data()), size, nullptr, nullptr, limit);
    return handle.get().as<T>();
  } catch (const std::exception& error) {
    return Error{ErrorCode::malformed, error.what()};
  }
}

}  // namespace client_detail

template <typename T>
Result<void> add_object(ValueBuilder& builder, std::string_view name, const T& object) {
  msgpack::sbuffer buffer;
  msgpack::pack(buffer, object);
  return builder.add(name, std::string_view(buffer.data(), buffer.size()), object_content_type);
}

// "" names the part without a name.
template <typename T>
Result<T> object_of(const Value& value, std::string_view name = {}) {
  const auto part = value.part(name);
  if (!part) return part.error();
  auto object = client_detail::unpacked<T>(part->bytes);
  if (object) return object;
  return Error{ErrorCode::malformed, "part \"" + std::string(name) + "\" is not of the type that was asked for (" +
                                         object.error().text + ")"};
}

}  // namespace onced
