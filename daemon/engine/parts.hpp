// The parts of a value, before anybody looks at the blobs that they name: rules and sums.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <onced/protocol/messages.hpp>
#include <onced/protocol/result.hpp>

#include "engine/blob_store.hpp"
#include "engine/engine.hpp"

namespace onced::engine {

struct PartSums {
  std::uint64_t inline_bytes = 0;
  std::uint64_t blob_bytes = 0;
  std::vector<BlobId> blobs{};  // each once, in order of their numbers
  std::uint64_t bytes() const { return inline_bytes + blob_bytes; }
};
PartSums sums_of(const std::vector<protocol::Part>& parts);

// What is wrong with such a value, whatever its blobs are: too many parts, a name twice, too many bytes, bytes and a blob
// in one part.
std::optional<Error> problem_of(const std::vector<protocol::Part>& parts, const Settings& settings);

}  // namespace onced::engine
