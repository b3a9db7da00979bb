// What a command left behind, as a value (kept) or as a failure's text (told, not kept).
//
// As a value: the MessagePack array [standard output, standard error, exit status], output as bytes.
// As a failure: one sentence for people, then a line with the same array in base64, so that a follower can repeat it. A
// failure's text is short: the ends of long output are told, and that they were cut.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace onced::cli {

inline constexpr std::string_view run_content_type = "application/vnd.onced.run+msgpack";

struct RunResult {
  std::string out;
  std::string err;
  int status = 0;    // as a shell says it: 128 + n for signal n
  bool cut = false;  // the beginnings of out and err are missing
};

// Output up to this length in sum fits into a value.
std::size_t run_output_bytes_max();

std::string encode_value(const RunResult& result);
std::optional<RunResult> decode_value(std::string_view bytes);

std::string encode_failure(const RunResult& result);
std::optional<RunResult> decode_failure(std::string_view text);
// What a failure's text says to people; a text that is no command's failure comes back as it is.
std::string_view failure_sentence(std::string_view text);

}  // namespace onced::cli
