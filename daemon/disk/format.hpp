// The structures of DISK.md as they lie in files, their checks, and how each is made and recognised. No I/O.
//
// Errors: what does not carry its own check is no structure (nothing is returned); a structure whose check is right was
//         written by this store, and still every length in it is held against what is there.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace onced::disk {

static_assert(std::endian::native == std::endian::little, "the structures are copied as they are");

using Bytes = std::span<const std::byte>;
inline Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

inline constexpr std::uint32_t format_version = 2;

struct Digest {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  auto operator<=>(const Digest&) const = default;
};
Digest digest_of(Bytes bytes, std::uint64_t seed);
std::uint64_t check_of(Bytes bytes, std::uint64_t seed);
// Of records: a block of another segment does not pass.
std::uint64_t segment_seed(std::uint64_t seed, std::uint32_t segment);

enum class RecordKind : std::uint8_t { value = 1, tombstone = 2, fence = 3, mark = 4, sealed = 5 };
// A value's, to be read by anybody or only with its session's key.
inline bool is_value(RecordKind kind) { return kind == RecordKind::value || kind == RecordKind::sealed; }

struct Identity {
  std::array<char, 16> magic{};
  std::uint32_t version = format_version;
  std::uint32_t reserved = 0;
  std::uint64_t seed = 0;
  std::array<std::uint8_t, 16> name{};
  std::uint64_t reserved2 = 0;
  std::uint64_t check = 0;
};
static_assert(sizeof(Identity) == 64 && offsetof(Identity, seed) == 24 && offsetof(Identity, check) == 56);

struct SegmentHeader {
  std::array<char, 8> magic{};
  std::uint32_t version = format_version;
  std::uint32_t segment = 0;
  std::uint64_t first_sequence = 0;
  std::uint64_t previous_end = 0;
  std::uint64_t previous_last_sequence = 0;
  std::uint64_t begun_ms = 0;
  std::uint64_t reserved = 0;
  std::uint64_t check = 0;
};
static_assert(sizeof(SegmentHeader) == 64 && offsetof(SegmentHeader, previous_end) == 24 && offsetof(SegmentHeader, check) == 56);

struct RecordHeader {
  std::array<char, 4> magic{};
  RecordKind kind{};
  std::array<std::uint8_t, 3> reserved{};
  std::uint64_t sequence = 0;
  Digest digest;
  std::uint32_t length = 0;
  std::uint32_t reserved2 = 0;
  Digest body_check;
  std::uint64_t check = 0;
};
static_assert(sizeof(RecordHeader) == 64 && offsetof(RecordHeader, digest) == 16 && offsetof(RecordHeader, check) == 56);

struct RecordTrailer {
  std::array<char, 4> magic{};
  RecordKind kind{};
  std::array<std::uint8_t, 3> reserved{};
  std::uint64_t sequence = 0;
  Digest digest;
  std::uint32_t length = 0;
  std::uint32_t reserved2 = 0;
  std::uint64_t check = 0;
};
static_assert(sizeof(RecordTrailer) == 48 && offsetof(RecordTrailer, check) == 40);

struct IndexHeader {
  std::array<char, 8> magic{};
  std::uint32_t version = format_version;
  std::uint32_t segment = 0;
  std::uint64_t end = 0;
  std::uint64_t last_sequence = 0;
  std::uint64_t rows = 0;
  std::uint64_t rows_check = 0;
  std::uint64_t first_sequence = 0;
  std::uint64_t check = 0;
};
static_assert(sizeof(IndexHeader) == 64 && offsetof(IndexHeader, rows_check) == 40 && offsetof(IndexHeader, check) == 56);

// What the log says of one key, or of one label.
struct IndexRow {
  Digest digest;
  std::uint64_t sequence = 0;
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  std::uint64_t usable_until_ms = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t file_id = 0;
  float merit = 0;
  RecordKind kind{};
  std::uint8_t reserved = 0;
  std::uint16_t files = 0;
};
static_assert(sizeof(IndexRow) == 64 && offsetof(IndexRow, file_id) == 48 && offsetof(IndexRow, kind) == 60);

struct SessionsHeader {
  std::array<char, 8> magic{};
  std::uint32_t version = format_version;
  std::uint32_t reserved = 0;
  std::uint64_t sequence = 0;
  std::uint64_t numbers_below = 0;
  std::array<std::uint64_t, 3> reserved2{};
  std::uint64_t check = 0;
};
static_assert(sizeof(SessionsHeader) == 64 && offsetof(SessionsHeader, numbers_below) == 24 && offsetof(SessionsHeader, check) == 56);

struct SessionSlot {
  std::array<char, 4> magic{};
  std::uint32_t reserved = 0;
  std::uint64_t sequence = 0;
  std::uint64_t number = 0;
  std::uint64_t generation = 0;
  std::uint64_t made_ms = 0;
  std::uint64_t used_ms = 0;
  std::uint64_t idle_ms = 0;
  std::uint64_t ends_ms = 0;
  std::array<std::byte, 32> digest{};
  std::array<std::byte, 32> key{};
  std::array<std::byte, 120> reserved2{};
  std::uint64_t check = 0;
};
static_assert(sizeof(SessionSlot) == 256 && offsetof(SessionSlot, ends_ms) == 56 && offsetof(SessionSlot, key) == 96 && offsetof(SessionSlot, check) == 248);

struct AudienceHeader {
  std::array<char, 8> magic{};
  std::uint32_t version = format_version;
  std::uint32_t bytes = 0;
  std::uint64_t content_check = 0;
  std::uint64_t check = 0;
};
static_assert(sizeof(AudienceHeader) == 32 && offsetof(AudienceHeader, content_check) == 16 && offsetof(AudienceHeader, check) == 24);

// What stands before the sealed bytes of a sealed value.
struct SealedHead {
  std::uint64_t session = 0;
  std::uint64_t usable_until_ms = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t file_id = 0;
  std::array<std::byte, 16> salt{};
  float merit = 0;
  std::uint16_t files = 0;
  std::uint16_t reserved = 0;
  std::uint32_t sealed_bytes = 0;
  std::uint32_t reserved2 = 0;
};
static_assert(sizeof(SealedHead) == 64 && offsetof(SealedHead, salt) == 32 && offsetof(SealedHead, sealed_bytes) == 56);

inline constexpr std::size_t segment_start = 2 * sizeof(SegmentHeader);  // where records begin
inline constexpr std::size_t bare_record_bytes = sizeof(RecordHeader) + sizeof(RecordTrailer);
inline constexpr std::size_t mark_bytes = sizeof(RecordHeader);

// Fills magic and check.
void seal(Identity& identity);
void seal(SegmentHeader& header, std::uint64_t seed);
void seal(RecordHeader& header, std::uint64_t seed);  // a segment's
void seal(RecordTrailer& trailer, std::uint64_t seed);
void seal(IndexHeader& header, std::uint64_t seed);
void seal(SessionsHeader& header, std::uint64_t seed);
void seal(SessionSlot& slot, std::uint64_t seed);
void seal(AudienceHeader& header, std::uint64_t seed);

// The structure that begins at `at`, if one is there whole.
std::optional<Identity> identity_at(Bytes bytes, std::size_t at);
std::optional<SegmentHeader> segment_header_at(Bytes bytes, std::size_t at, std::uint64_t seed);
std::optional<RecordHeader> record_header_at(Bytes bytes, std::size_t at, std::uint64_t seed);
std::optional<RecordTrailer> record_trailer_at(Bytes bytes, std::size_t at, std::uint64_t seed);
std::optional<IndexHeader> index_header_at(Bytes bytes, std::size_t at, std::uint64_t seed);
std::optional<SessionsHeader> sessions_header_at(Bytes bytes, std::size_t at, std::uint64_t seed);
std::optional<SessionSlot> session_slot_at(Bytes bytes, std::size_t at, std::uint64_t seed);
std::optional<AudienceHeader> audience_header_at(Bytes bytes, std::size_t at, std::uint64_t seed);

// A structure as it lies in a file.
template <typename T>
  requires std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>
Bytes image_of(const T& structure) {
  return std::as_bytes(std::span(&structure, 1));
}

}  // namespace onced::disk
