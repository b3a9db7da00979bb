#include "disk/value.hpp"

#include <zstd.h>

#include <algorithm>
#include <cstring>

namespace onced::disk {
namespace {

struct FixedPart {
  std::uint64_t version = 0;
  std::uint64_t cost_us = 0;
  std::uint64_t stored_ms = 0;
  std::uint64_t fresh_until_ms = 0;
  std::uint32_t early_ms = 0;
  std::uint32_t grace_ms = 0;
  float merit = 0;
  std::uint16_t labels = 0;
  std::uint16_t parts = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t file_id = 0;
  std::uint32_t key_bytes = 0;
  std::uint32_t attribute_bytes = 0;
};
static_assert(sizeof(FixedPart) == 72 && offsetof(FixedPart, labels) == 44 && offsetof(FixedPart, key_bytes) == 64);

struct PartEntry {
  std::uint64_t bytes = 0;
  std::uint64_t stored_bytes = 0;
  Digest content_check;
  std::uint32_t name_bytes = 0;
  std::uint32_t type_bytes = 0;
  std::uint8_t in_file = 0;
  Coding coding = Coding::none;
  std::array<std::uint8_t, 6> reserved{};
};
static_assert(sizeof(PartEntry) == 48 && offsetof(PartEntry, in_file) == 40);

constexpr int compression_level = 1;
constexpr std::size_t compress_bytes_min = 512;

void append(std::vector<std::byte>& to, Bytes bytes) {
  if (bytes.empty()) return;
  const std::size_t before = to.size();
  to.resize(before + bytes.size());
  std::memcpy(to.data() + before, bytes.data(), bytes.size());  // insert() has g++ 12 warn of what cannot be
}

// Takes from the front, never more than is there.
class Taker {
 public:
  explicit Taker(Bytes bytes) : left_(bytes) {}
  bool take(void* into, std::size_t size) {
    if (left_.size() < size) return false;
    if (size != 0) std::memcpy(into, left_.data(), size);
    left_ = left_.subspan(size);
    return true;
  }
  bool take(Bytes& into, std::uint64_t size) {
    if (left_.size() < size) return false;
    into = left_.first(static_cast<std::size_t>(size));
    left_ = left_.subspan(static_cast<std::size_t>(size));
    return true;
  }
  bool take(std::string_view& into, std::uint64_t size) {
    Bytes bytes;
    if (!take(bytes, size)) return false;
    into = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    return true;
  }

 private:
  Bytes left_;
};

Error malformed_body() { return Error{ErrorCode::malformed, "a record's body does not follow the format"}; }

}  // namespace

std::vector<std::byte> encode_body(const ValueInput& value, const BodyOptions& options, std::uint64_t file_id,
                                   const std::vector<Digest>& content_checks) {
  FixedPart fixed;
  fixed.version = value.facts.version;
  fixed.cost_us = value.facts.cost_us;
  fixed.stored_ms = value.facts.stored_ms;
  fixed.fresh_until_ms = value.facts.fresh_until_ms;
  fixed.early_ms = value.facts.early_ms;
  fixed.grace_ms = value.facts.grace_ms;
  fixed.merit = value.facts.merit;
  fixed.labels = static_cast<std::uint16_t>(value.labels.size());
  fixed.parts = static_cast<std::uint16_t>(value.parts.size());
  fixed.key_bytes = static_cast<std::uint32_t>(value.key.size());
  fixed.attribute_bytes = static_cast<std::uint32_t>(value.attributes.size());

  std::vector<PartEntry> entries;
  std::vector<std::vector<std::byte>> packed(value.parts.size());
  std::size_t files = 0;
  std::size_t size = sizeof(FixedPart) + value.labels.size() * sizeof(Label) + value.parts.size() * sizeof(PartEntry) +
                     value.key.size() + value.attributes.size() + 8;
  for (std::size_t i = 0; i < value.parts.size(); ++i) {
    const PartInput& part = value.parts[i];
    PartEntry& entry = entries.emplace_back();
    entry.bytes = entry.stored_bytes = part.bytes.size();
    entry.name_bytes = static_cast<std::uint32_t>(part.name.size());
    entry.type_bytes = static_cast<std::uint32_t>(part.type.size());
    if (part.bytes.size() >= options.file_bytes_min) {
      entry.in_file = 1;
      entry.content_check = content_checks[files++];
      fixed.file_bytes += part.bytes.size();
    } else if (options.compress && part.bytes.size() >= compress_bytes_min) {
      packed[i].resize(part.bytes.size() - part.bytes.size() / 8);
      const std::size_t n = ZSTD_compress(packed[i].data(), packed[i].size(), part.bytes.data(), part.bytes.size(), compression_level);
      if (ZSTD_isError(n)) {  // it does not fit: it does not pay
        packed[i].clear();
      } else {
        packed[i].resize(n);
        entry.coding = Coding::zstd;
        entry.stored_bytes = n;
      }
    }
    size += part.name.size() + part.type.size() + (entry.in_file != 0 ? 0 : static_cast<std::size_t>(entry.stored_bytes));
  }
  fixed.file_id = files != 0 ? file_id : 0;

  std::vector<std::byte> body;
  body.reserve(size);
  append(body, std::as_bytes(std::span(&fixed, 1)));
  append(body, std::as_bytes(std::span(value.labels)));
  append(body, std::as_bytes(std::span(entries)));
  append(body, bytes_of(std::string_view(value.key)));
  append(body, bytes_of(std::string_view(value.attributes)));
  for (std::size_t i = 0; i < value.parts.size(); ++i) {
    append(body, bytes_of(std::string_view(value.parts[i].name)));
    append(body, bytes_of(std::string_view(value.parts[i].type)));
    if (entries[i].in_file != 0) continue;
    append(body, entries[i].coding == Coding::zstd ? Bytes(packed[i]) : value.parts[i].bytes);
  }
  body.resize((body.size() + 7) / 8 * 8);
  return body;
}

Result<BodyView> decode_body(Bytes body) {
  Taker taker(body);
  FixedPart fixed;
  if (!taker.take(&fixed, sizeof(fixed))) return malformed_body();
  BodyView view;
  view.facts = ValueFacts{fixed.version,  fixed.cost_us,  fixed.stored_ms, fixed.fresh_until_ms,
                          fixed.early_ms, fixed.grace_ms, fixed.merit};
  view.file_bytes = fixed.file_bytes;
  view.file_id = fixed.file_id;
  view.labels.resize(fixed.labels);
  if (!taker.take(view.labels.data(), view.labels.size() * sizeof(Label))) return malformed_body();
  std::vector<PartEntry> entries(fixed.parts);
  if (!taker.take(entries.data(), entries.size() * sizeof(PartEntry))) return malformed_body();
  if (!taker.take(view.key, fixed.key_bytes) || !taker.take(view.attributes, fixed.attribute_bytes)) return malformed_body();
  std::uint64_t file_bytes = 0;
  for (const PartEntry& entry : entries) {
    PartView& part = view.parts.emplace_back();
    part.bytes = entry.bytes;
    part.in_file = entry.in_file != 0;
    part.coding = entry.coding;
    part.content_check = entry.content_check;
    if (!taker.take(part.name, entry.name_bytes) || !taker.take(part.type, entry.type_bytes)) return malformed_body();
    if (part.in_file) file_bytes += part.bytes;
    else if (!taker.take(part.stored, entry.stored_bytes)) return malformed_body();
    if (part.coding != Coding::none && part.coding != Coding::zstd) return malformed_body();
    if (!part.in_file && part.coding == Coding::none && part.bytes != part.stored.size()) return malformed_body();
  }
  if (file_bytes != view.file_bytes) return malformed_body();
  return view;
}

Result<void> unpack(const PartView& part, std::span<std::byte> into) {
  if (part.coding == Coding::none) {
    std::copy(part.stored.begin(), part.stored.end(), into.begin());
    return {};
  }
  const std::size_t n = ZSTD_decompress(into.data(), into.size(), part.stored.data(), part.stored.size());
  if (ZSTD_isError(n) || n != into.size()) return Error{ErrorCode::malformed, "a compressed part does not unpack to its size"};
  return {};
}

}  // namespace onced::disk
