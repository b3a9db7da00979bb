// Reading single fields of canonical key bytes without parsing the whole (WIRE.md, "Keys").
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace onced::engine {

// The function name inside `key`, a view into it; empty when the bytes are no key.
std::string_view function_of(std::string_view key);

// The version of the function; empty when it has none.
std::string_view version_of(std::string_view key);

// What is left of a key: equal for the same function and arguments in the same session.
struct KeyWithoutVersion {
  std::string_view head;  // up to the function's name
  std::string_view arguments;
  friend bool operator==(const KeyWithoutVersion&, const KeyWithoutVersion&) = default;
};
KeyWithoutVersion without_version(std::string_view key);

// The first bytes of every key of this function that has no session: where an ordered walk may start.
std::string first_bytes_of_function(std::string_view function);

// "name(1, \"x\")" for people, escaped and cut.
std::string display(std::string_view key, std::size_t width = 120);

}  // namespace onced::engine
