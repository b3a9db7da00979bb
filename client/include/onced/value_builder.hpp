// A value in the making: named parts, filled in place.
//
//   onced::ValueBuilder builder = client.builder();
//   auto pixels = builder.reserve("pixels", 64 << 20, "image/x-raw");
//   if (pixels) render(*pixels);                    // std::span<std::byte>
//   builder.add("caption", "the north face");
//   client.put(key, std::move(builder));
//
// A large part is memory that readers will map: what is written here is not copied again. Small parts are collected and
// travel with the request.
//
// Ownership: what is reserved belongs to the builder until the value is published; destroying it gives the memory back.
//            Must not outlive its Client. Movable; spans and descriptors stay valid when it moves.
// Filling:   memory is zeroed at first. Write to it until the value is published, not after: a large part cannot change
//            any more then (the write is an access violation), a small one is not looked at any more.
// Threads:   one at a time; several threads may fill what was reserved.
// Fork:      a child has no part in it: the memory of large parts is not in the child, and what it does with its copy of
//            the builder is without effect.
// Errors:    of the caller: invalid_argument (a name used twice or unknown, a name or content type above 128 bytes),
//            limit_reached (more than 1,024 parts). Of the machine: out_of_memory. What the daemon says (out_of_memory:
//            over the budget, too_large, limit_reached, unavailable) is an error for a builder that Client::builder()
//            made. One that belongs to a Computation takes memory of this process instead: the result is not lost, it
//            only is nobody else's (Computation::publish(), Value::not_stored()).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include <onced/protocol/result.hpp>

namespace onced {

class ValueBuilder {
 public:
  ValueBuilder(ValueBuilder&&) noexcept;
  ValueBuilder& operator=(ValueBuilder&&) noexcept;
  ~ValueBuilder();

  // A part of `bytes` bytes, to be written by the caller; aligned to 64 bytes. "" is the part without a name.
  Result<std::span<std::byte>> reserve(std::string_view name, std::uint64_t bytes, std::string_view content_type = {});
  // As a descriptor to write() to, from its start: faster than storing through new memory when the bytes are somewhere
  // else already, and what other libraries may want. The builder keeps it and closes it. Do not map it writable for
  // longer than the value is in the making: publishing fails while such a mapping exists.
  Result<int> reserve_descriptor(std::string_view name, std::uint64_t bytes, std::string_view content_type = {});
  // Only the first `used` bytes of a reserved part are published.
  Result<void> set_size(std::string_view name, std::uint64_t used);
  // A part that exists already: copied.
  Result<void> add(std::string_view name, std::span<const std::byte> bytes, std::string_view content_type = {});
  Result<void> add(std::string_view name, std::string_view text, std::string_view content_type = {}) {
    return add(name, std::as_bytes(std::span(text)), content_type);
  }

  std::size_t part_count() const;

  struct State;  // client/src/builder_state.hpp
  explicit ValueBuilder(std::unique_ptr<State> state);

 private:
  friend class Client;
  friend class Computation;
  std::unique_ptr<State> state_;
};

}  // namespace onced
