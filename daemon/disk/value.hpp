// A value on its way to the log and back: what the engine hands over, what a load brings, and the body of its record.
//
// Ownership: ValueInput owns its texts and shares what keeps its parts' bytes alive. BodyView views the buffer that was decoded.
// Errors:    malformed for a body that does not follow DISK.md, whatever its check says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <onced/protocol/result.hpp>

#include "disk/format.hpp"

namespace onced::disk {

inline constexpr std::uint64_t never_ms = std::numeric_limits<std::uint64_t>::max();
using Label = std::uint64_t;  // 0 is every value's; see Store::label_of

struct ValueFacts {
  std::uint64_t version = 0;
  std::uint64_t cost_us = 0;
  std::uint64_t stored_ms = 0;               // by the store's clock
  std::uint64_t fresh_until_ms = never_ms;   // by the store's clock
  std::uint32_t early_ms = 0;
  std::uint32_t grace_ms = 0;
  float merit = 0;                           // log2 of what it saves per byte: the lowest is evicted first

  std::uint64_t usable_until_ms() const { return fresh_until_ms > never_ms - grace_ms ? never_ms : fresh_until_ms + grace_ms; }
};

struct PartInput {
  std::string name;
  std::string type;
  Bytes bytes;
  std::shared_ptr<const void> keeps;  // `bytes` alive
};

struct ValueInput {
  std::string key;
  ValueFacts facts;
  std::vector<Label> labels;
  std::string attributes;  // the engine's, opaque
  std::vector<PartInput> parts;
};

struct BodyOptions {
  std::uint64_t file_bytes_min = 64 * 1024 + 1;  // parts from here on get a file
  bool compress = true;                          // parts in records, where it saves an eighth
};

enum class Coding : std::uint8_t { none = 0, zstd = 1 };

struct PartView {
  std::string_view name;
  std::string_view type;
  std::uint64_t bytes = 0;
  bool in_file = false;
  Coding coding = Coding::none;
  Bytes stored;       // empty when in a file
  Digest content_check;  // of a file
};

struct BodyView {
  ValueFacts facts;
  std::vector<Label> labels;
  std::uint64_t file_bytes = 0;
  std::uint64_t file_id = 0;
  std::string_view key;
  std::string_view attributes;
  std::vector<PartView> parts;
};

// Files get numbers from 0 on in the order of their parts. `content_checks`: of the parts that get a file, in order.
std::vector<std::byte> encode_body(const ValueInput& value, const BodyOptions& options, std::uint64_t file_id,
                                   const std::vector<Digest>& content_checks);
Result<BodyView> decode_body(Bytes body);
// A part that lies in a record, unpacked into `into` of its size.
Result<void> unpack(const PartView& part, std::span<std::byte> into);

}  // namespace onced::disk
