#include "disk/format.hpp"

#include <xxhash.h>

#include "disk/long_hash.hpp"

namespace onced::disk {
namespace {

constexpr std::array<char, 16> identity_magic{'o', 'n', 'c', 'e', 'd', '-', 'd', 'i', 's', 'k'};
constexpr std::array<char, 8> segment_magic{'o', 'n', 'c', 'e', 'd', 'l', 'o', 'g'};
constexpr std::array<char, 8> index_magic{'o', 'n', 'c', 'e', 'd', 'i', 'd', 'x'};
constexpr std::array<char, 8> sessions_magic{'o', 'n', 'c', 'e', 'd', 's', 'e', 's'};
constexpr std::array<char, 8> audience_magic{'o', 'n', 'c', 'e', 'd', 'a', 'u', 'd'};
constexpr std::array<char, 4> slot_magic{'o', 'n', 's', 'e'};
constexpr std::array<char, 4> header_magic{'o', 'n', 'r', 'c'};
constexpr std::array<char, 4> trailer_magic{'o', 'n', 'r', 't'};

// Shorter inputs XXH3 hashes without vectors, and inlined.
constexpr std::size_t long_bytes_min = 256;

template <typename T>
std::uint64_t own_check(const T& structure, std::uint64_t seed) {
  return check_of(image_of(structure).first(offsetof(T, check)), seed);
}

template <typename T, typename Magic>
void seal_with(T& structure, const Magic& magic, std::uint64_t seed) {
  structure.magic = magic;
  structure.check = own_check(structure, seed);
}

template <typename T, typename Magic>
std::optional<T> structure_at(Bytes bytes, std::size_t at, const Magic& magic, std::uint64_t seed) {
  if (at > bytes.size() || bytes.size() - at < sizeof(T)) return std::nullopt;
  if (std::memcmp(bytes.data() + at, magic.data(), magic.size()) != 0) return std::nullopt;
  T structure;
  std::memcpy(&structure, bytes.data() + at, sizeof(T));
  if (structure.check != own_check(structure, seed)) return std::nullopt;
  return structure;
}

bool is_record(RecordKind kind) { return is_value(kind) || kind == RecordKind::tombstone || kind == RecordKind::fence; }

}  // namespace

Digest digest_of(Bytes bytes, std::uint64_t seed) {
  if (bytes.size() >= long_bytes_min) {
    const HashBuild::Hash128 hash = hash_build().hash_128(bytes.data(), bytes.size(), seed);
    return {hash.low, hash.high};
  }
  const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed);
  return {hash.low64, hash.high64};
}

std::uint64_t check_of(Bytes bytes, std::uint64_t seed) {
  if (bytes.size() >= long_bytes_min) return hash_build().hash_64(bytes.data(), bytes.size(), seed);
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::uint64_t segment_seed(std::uint64_t seed, std::uint32_t segment) { return seed + segment * 0x9e37'79b9'7f4a'7c15ULL; }

void seal(Identity& identity) { seal_with(identity, identity_magic, 0); }
void seal(SegmentHeader& header, std::uint64_t seed) { seal_with(header, segment_magic, seed); }
void seal(RecordHeader& header, std::uint64_t seed) { seal_with(header, header_magic, seed); }
void seal(RecordTrailer& trailer, std::uint64_t seed) { seal_with(trailer, trailer_magic, seed); }
void seal(IndexHeader& header, std::uint64_t seed) { seal_with(header, index_magic, seed); }
void seal(SessionsHeader& header, std::uint64_t seed) { seal_with(header, sessions_magic, seed); }
void seal(SessionSlot& slot, std::uint64_t seed) { seal_with(slot, slot_magic, seed); }
void seal(AudienceHeader& header, std::uint64_t seed) { seal_with(header, audience_magic, seed); }

std::optional<Identity> identity_at(Bytes bytes, std::size_t at) { return structure_at<Identity>(bytes, at, identity_magic, 0); }
std::optional<SegmentHeader> segment_header_at(Bytes bytes, std::size_t at, std::uint64_t seed) {
  return structure_at<SegmentHeader>(bytes, at, segment_magic, seed);
}
std::optional<IndexHeader> index_header_at(Bytes bytes, std::size_t at, std::uint64_t seed) {
  return structure_at<IndexHeader>(bytes, at, index_magic, seed);
}

std::optional<SessionsHeader> sessions_header_at(Bytes bytes, std::size_t at, std::uint64_t seed) {
  return structure_at<SessionsHeader>(bytes, at, sessions_magic, seed);
}
std::optional<SessionSlot> session_slot_at(Bytes bytes, std::size_t at, std::uint64_t seed) {
  return structure_at<SessionSlot>(bytes, at, slot_magic, seed);
}
std::optional<AudienceHeader> audience_header_at(Bytes bytes, std::size_t at, std::uint64_t seed) {
  return structure_at<AudienceHeader>(bytes, at, audience_magic, seed);
}

std::optional<RecordHeader> record_header_at(Bytes bytes, std::size_t at, std::uint64_t seed) {
  std::optional<RecordHeader> header = structure_at<RecordHeader>(bytes, at, header_magic, seed);
  if (!header) return std::nullopt;
  const bool mark = header->kind == RecordKind::mark && header->length == mark_bytes;
  const bool record = is_record(header->kind) && header->length >= bare_record_bytes && header->length % 8 == 0;
  return mark || record ? header : std::nullopt;
}

std::optional<RecordTrailer> record_trailer_at(Bytes bytes, std::size_t at, std::uint64_t seed) {
  std::optional<RecordTrailer> trailer = structure_at<RecordTrailer>(bytes, at, trailer_magic, seed);
  if (!trailer || !is_record(trailer->kind) || trailer->length < bare_record_bytes || trailer->length % 8 != 0) return std::nullopt;
  return trailer;
}

}  // namespace onced::disk
