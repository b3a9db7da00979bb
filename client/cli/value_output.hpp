// A value on its way out: which of its parts is meant, and the parts as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <onced/value.hpp>

#include "context.hpp"
#include "key_words.hpp"

namespace onced::cli {

struct PartChoice {
  std::optional<std::string> name;  // --part; nothing: the part without a name
  bool force = false;               // --force: also what is no plain text, to a terminal
};

// Adds --part NAME and --force.
void add_part_options(Command& command, PartChoice& choice);

// The bytes of a part to standard output, unchanged. Exit codes: miss when --part names none of the parts, usage when the
// value has only named ones and no choice was made (standard error then names them), or when bytes that are no plain text would
// go to a terminal.
int write_part(Context& context, const Value& value, const PartChoice& choice);

// All parts: name, content type, bytes, where they are. Touches none of them.
Json parts_json(const Value& value);
std::uint64_t bytes_of_all(const Value& value);
// "memory" (in the segment, with the key) or "blob" (in memory of its own).
std::string_view place_of(bool large);

// Names as people read them: "'a', 'b' and 3 more".
std::string part_names(const Value& value);
// "this value has no part 'x'; it has 'a' and one without a name".
std::string no_such_part(const std::string& part, const std::vector<std::string>& names);

}  // namespace onced::cli
