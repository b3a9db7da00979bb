#include "run_result.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <system_error>
#include <vector>

#include <nlohmann/json.hpp>

#include <onced/protocol/limits.hpp>

#include "text_format.hpp"

namespace onced::cli {
namespace {

using nlohmann::json;

constexpr std::string_view marker = "\nonced-run:";
constexpr std::size_t array_overhead_bytes = 32;  // array header, two byte-string headers, the status, the mark of a cut
// What base64 leaves of a failure's text beside its sentence.
constexpr std::size_t failure_output_bytes_max = (limits::text_bytes_max - 96) / 4 * 3 - array_overhead_bytes;

json bytes_json(std::string_view bytes) { return json::binary(std::vector<std::uint8_t>(bytes.begin(), bytes.end())); }

std::string pack(std::string_view out, std::string_view err, int status, bool cut) {
  json array = json::array({bytes_json(out), bytes_json(err), status});
  if (cut) array.push_back(true);
  const std::vector<std::uint8_t> packed = json::to_msgpack(array);
  return std::string(packed.begin(), packed.end());
}

std::optional<RunResult> unpack(std::string_view bytes) {
  const json array = json::from_msgpack(bytes.begin(), bytes.end(), true, false);
  if (!array.is_array() || array.size() < 3 || !array[0].is_binary() || !array[1].is_binary() ||
      !array[2].is_number_integer()) {
    return std::nullopt;
  }
  const auto status = array[2].get<std::int64_t>();
  if (status < 0 || status > 255) return std::nullopt;
  const auto text = [](const json& part) { return std::string(part.get_binary().begin(), part.get_binary().end()); };
  return RunResult{text(array[0]), text(array[1]), static_cast<int>(status), array.size() > 3 && array[3] == true};
}

std::string_view tail(std::string_view text, std::size_t bytes) { return text.substr(text.size() - std::min(bytes, text.size())); }

}  // namespace

Result<void> add_result(ValueBuilder& builder, const RunResult& result) {
  if (auto added = builder.add("stdout", std::string_view(result.out)); !added) return added;
  if (auto added = builder.add("stderr", std::string_view(result.err)); !added) return added;
  return builder.add("status", std::to_string(result.status), "text/plain");
}

Result<KnownResult> result_of(const Value& value) {
  const auto part = [&value](std::string_view name) -> Result<std::string_view> {
    const Result<Part> found = value.part(name);
    if (found) return found->text();
    const bool missing = found.error().code == ErrorCode::not_found;
    return Error{missing ? ErrorCode::malformed : found.error().code, found.error().text};
  };
  const Result<std::string_view> status = part("status");
  if (!status) return status.error();
  const std::optional<int> number = parse_status(*status);
  if (!number) return Error{ErrorCode::malformed, "part 'status' is no exit status"};
  const Result<std::string_view> out = part("stdout");
  if (!out) return out.error();
  const Result<std::string_view> err = part("stderr");
  if (!err) return err.error();
  return KnownResult{*out, *err, *number};
}

std::optional<int> parse_status(std::string_view text) {
  int status = -1;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, status);
  if (error != std::errc() || rest != end || status < 0 || status > 255) return std::nullopt;
  return status;
}

std::string encode_failure(const RunResult& result) {
  const bool cut = result.out.size() + result.err.size() > failure_output_bytes_max;
  std::string_view err = result.err;
  std::string_view out = result.out;
  if (cut) {  // what went wrong is more likely said in standard error
    err = tail(err, std::max(failure_output_bytes_max / 2, failure_output_bytes_max - std::min(failure_output_bytes_max, out.size())));
    out = tail(out, failure_output_bytes_max - err.size());
  }
  const std::string sentence = result.status > 128 ? "the command was killed by signal " + std::to_string(result.status - 128)
                                                   : "the command exited with status " + std::to_string(result.status);
  return sentence + std::string(marker) + base64(pack(out, err, result.status, cut || result.cut));
}

std::optional<RunResult> decode_failure(std::string_view text) {
  const std::size_t position = text.find(marker);
  if (position == std::string_view::npos) return std::nullopt;
  std::string_view encoded = text.substr(position + marker.size());
  const std::optional<std::string> bytes = from_base64(encoded.substr(0, encoded.find('\n')));
  if (!bytes) return std::nullopt;
  return unpack(*bytes);
}

std::string_view failure_sentence(std::string_view text) { return text.substr(0, text.find(marker)); }

}  // namespace onced::cli
