// What a command left behind, as a value (kept) or as a failure's text (told, not kept).
//
// As a value: three parts, "stdout" and "stderr" as they came, and "status", a decimal number as text.
// As a failure: one sentence for people, then a line in base64: the MessagePack array [standard output, standard error, exit
// status], so that a follower can repeat it. A failure's text is short: the ends of long output are told, and that they
// were cut.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <onced/value.hpp>
#include <onced/value_builder.hpp>

namespace onced::cli {

struct RunResult {
  std::string out;
  std::string err;
  int status = 0;    // as a shell says it: 128 + n for signal n
  bool cut = false;  // the beginnings of out and err are missing
};

// Its three parts. Errors: as ValueBuilder.
Result<void> add_result(ValueBuilder& builder, const RunResult& result);

// A result that somebody published; views of the value.
struct KnownResult {
  std::string_view out;
  std::string_view err;
  int status = 0;
};
// Errors: malformed when the value is no command's result; what Value::part() says.
Result<KnownResult> result_of(const Value& value);

// 0 to 255.
std::optional<int> parse_status(std::string_view text);

std::string encode_failure(const RunResult& result);
std::optional<RunResult> decode_failure(std::string_view text);
// What a failure's text says to people; a text that is no command's failure comes back as it is.
std::string_view failure_sentence(std::string_view text);

}  // namespace onced::cli
