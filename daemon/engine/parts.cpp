#include "engine/parts.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include "engine/text.hpp"

namespace onced::engine {

PartSums sums_of(const std::vector<protocol::Part>& parts) {
  PartSums sums;
  for (const protocol::Part& part : parts) {
    sums.inline_bytes += part.bytes.size();
    sums.blob_bytes += part.length;
    if (part.blob != 0) sums.blobs.push_back(BlobId{part.blob});
  }
  std::sort(sums.blobs.begin(), sums.blobs.end());
  sums.blobs.erase(std::unique(sums.blobs.begin(), sums.blobs.end()), sums.blobs.end());
  return sums;
}

std::optional<Error> problem_of(const std::vector<protocol::Part>& parts, const Settings& settings) {
  if (parts.empty()) return Error{ErrorCode::invalid_argument, "a value has at least one part; this one has none"};
  if (parts.size() > limits::parts_max) {
    return Error{ErrorCode::limit_reached, "the value has " + std::to_string(parts.size()) + " parts; the limit is " +
                                               std::to_string(limits::parts_max) + " (parts_max, no setting)"};
  }
  std::vector<std::string_view> names;
  for (const protocol::Part& part : parts) names.push_back(part.name);
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
    return Error{ErrorCode::invalid_argument, "two parts have the name \"" + std::string(*twice) + "\"; names of parts differ"};
  for (const protocol::Part& part : parts) {
    const bool is_mixed = part.blob == 0 ? part.offset != 0 || part.length != 0 : !part.bytes.empty();
    if (is_mixed) {
      return Error{ErrorCode::invalid_argument, "part \"" + part.name + "\" has bytes of its own and a place in a blob; it has one of the two"};
    }
    if (part.length > limits::part_bytes_max) {  // also: no sum below overflows
      return Error{ErrorCode::too_large, "part \"" + part.name + "\" has " + exceeds_text(part.length, limits::part_bytes_max) + " (part_bytes_max)"};
    }
  }
  const PartSums sums = sums_of(parts);
  if (sums.inline_bytes > limits::value_bytes_max) {
    return Error{ErrorCode::too_large, "the parts without a blob have together " + exceeds_text(sums.inline_bytes, limits::value_bytes_max) +
                                           " (value_bytes_max, no setting); reserve a blob for more"};
  }
  if (sums.bytes() > settings.stored_value_bytes_max) {
    return Error{ErrorCode::too_large, "the value has " + exceeds_text(sums.bytes(), settings.stored_value_bytes_max) + " (limits.stored_value_bytes_max)"};
  }
  return std::nullopt;
}

}  // namespace onced::engine
