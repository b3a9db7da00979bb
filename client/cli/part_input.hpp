// Bytes from files and pipes on their way into a value.
//
// A file of known size is copied straight into the memory that readers will map. What comes from a pipe is kept in memory
// of its own until its end, for its size must be known first, and leaves that memory as it is copied.
// Errors: invalid_argument (cannot be opened or read), too_large (a pipe without end), what ValueBuilder says.
#pragma once

#include <cstdint>
#include <string>

#include <onced/protocol/result.hpp>
#include <onced/value_builder.hpp>

#include "descriptor.hpp"
#include "part_words.hpp"

namespace onced::cli {

// All that `descriptor` still has, in memory of its own, at its beginning. `name` is for errors; above `bytes_max` bytes
// too_large.
Result<client_detail::Descriptor> keep_all(int descriptor, const std::string& name, std::uint64_t bytes_max);

// A part's source, opened; nothing of it is in a value yet.
class PartInput {
 public:
  static Result<PartInput> open(const PartSource& source);
  // Copies it into the builder. A file that shrinks meanwhile makes a shorter part; what is appended to it is not taken.
  Result<void> add_to(ValueBuilder& builder);
  std::uint64_t bytes() const { return bytes_; }

 private:
  PartInput(const PartSource& source, client_detail::Descriptor descriptor, std::uint64_t bytes, bool kept)
      : source_(source), descriptor_(std::move(descriptor)), bytes_(bytes), kept_(kept) {}
  std::string spoken() const;
  Result<std::uint64_t> copy_to(int memory);

  PartSource source_;
  client_detail::Descriptor descriptor_;
  std::uint64_t bytes_;
  bool kept_;  // in memory of our own, which we give back as we read
};

}  // namespace onced::cli
