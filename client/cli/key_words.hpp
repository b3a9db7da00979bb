// FUNCTION [ARGS] on a command line, and the key that they mean.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include <onced/protocol/key.hpp>

#include "command.hpp"

namespace onced::cli {

// Arguments keep their order in output.
using Json = nlohmann::ordered_json;

struct KeyWords {
  std::string function;
  std::string arguments;  // JSON text; empty: not given
  std::string version;    // --function-version

  bool whole_function() const { return arguments.empty(); }
};

// Adds FUNCTION, [ARGS] and --function-version. What a missing ARGS means is the command's business.
void add_key_words(Command& command, KeyWords& words, Need function = Need::required);

// A missing ARGS is no arguments.
Result<Key> make_key(const KeyWords& words, std::optional<std::uint64_t> session = std::nullopt);

// The fields "function", "arguments" and "function_version" ("": none) of a key's canonical bytes, and "session", its number, if it is in one. "version" is always that
// of a value.
Json key_json(std::string_view key_bytes);
// name@version(1, "x"), escaped: for people.
inline constexpr std::size_t whole_key = static_cast<std::size_t>(-1);  // as a width: not cut
std::string key_display(std::string_view key_bytes, std::size_t width = 120);

}  // namespace onced::cli
