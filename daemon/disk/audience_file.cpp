#include "disk/audience_file.hpp"

#include <utility>
#include <vector>

#include "disk/format.hpp"

namespace onced::disk {
namespace {

constexpr std::uint64_t audience_file_bytes_max = std::uint64_t{16} << 20;

std::optional<std::string> copy_at(Bytes bytes, std::size_t at, std::uint64_t seed) {
  const auto header = audience_header_at(bytes, at, seed);
  if (!header || header->bytes > bytes.size() - at - sizeof(AudienceHeader)) return std::nullopt;
  const Bytes content = bytes.subspan(at + sizeof(AudienceHeader), header->bytes);
  if (check_of(content, seed) != header->content_check) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(content.data()), content.size());
}

}  // namespace

Result<void> AudienceFile::open() {
  if (const auto access = check_access(files_, audience_name, FileSystem::Kind::file); !access) {
    return access.error().code == ErrorCode::not_found ? Result<void>() : access.error();
  }
  const auto file = files_.open(audience_name, false);
  if (!file) return file.error();
  const auto bytes = read_whole(**file, audience_file_bytes_max);
  if (!bytes) {
    say_("the file " + std::string(audience_name) + " cannot be read: who may have written what is here is not known any more: " + bytes.error().text);
    return {};
  }
  bytes_ = bytes->size();
  auto first = copy_at(*bytes, 0, seed_);
  auto second = copy_at(*bytes, bytes->size() / 2, seed_);
  const bool whole = first && second;
  kept_ = first ? std::move(first) : std::move(second);
  if (whole) return {};
  if (!kept_) {
    say_("both copies in the file " + std::string(audience_name) + " are damaged: who may have written what is here is not known any more");
    return {};
  }
  const auto repaired = write(*kept_);
  say_("one of the two copies in the file " + std::string(audience_name) + " was damaged: " +
       (repaired ? "written anew from the other" : "it could not be written anew from the other: " + repaired.error().text));
  return {};
}

Result<void> AudienceFile::recover() {
  if (!owed_) return {};
  if (const auto written = write(*owed_); !written) return written;
  owed_.reset();
  return {};
}

Result<void> AudienceFile::write(const std::string& audience) {
  AudienceHeader header;
  header.bytes = static_cast<std::uint32_t>(audience.size());
  header.content_check = check_of(bytes_of(audience), seed_);
  seal(header, seed_);
  std::vector<std::byte> copy(image_of(header).begin(), image_of(header).end());
  const Bytes content = bytes_of(audience);
  copy.insert(copy.end(), content.begin(), content.end());
  copy.resize((copy.size() + 7) / 8 * 8);
  std::vector<std::byte> both = copy;
  both.insert(both.end(), copy.begin(), copy.end());
  if (const auto written = write_whole(files_, "", audience_name, both); !written) return written;
  bytes_ = both.size();
  return {};
}

}  // namespace onced::disk
