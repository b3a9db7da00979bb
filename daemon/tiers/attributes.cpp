#include "tiers/attributes.hpp"

#include <onced/protocol/limits.hpp>

#include "tiers/packed.hpp"

namespace onced::tiers {
namespace {

constexpr std::uint8_t plain_format = 1;
constexpr std::uint8_t derived_format = 2;

void pack_tags(std::string& out, const std::vector<std::string>& tags) {
  pack(out, static_cast<std::uint32_t>(tags.size()));
  for (const std::string& tag : tags) pack_text(out, tag);
}

bool read_tags(Unpacker& unpacker, std::vector<std::string>& into) {
  std::uint32_t count = 0;
  if (!unpacker.read(count) || count > limits::tags_max) return false;
  for (std::uint32_t i = 0; i < count; ++i)
    if (!unpacker.read_text(into.emplace_back())) return false;
  return true;
}

bool read_upstreams(Unpacker& unpacker, std::vector<engine::DiskUpstream>& into) {
  std::uint32_t count = 0;
  if (!unpacker.read(count) || count == 0 || count > limits::disk_upstreams_max) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    engine::DiskUpstream& one = into.emplace_back();
    if (!unpacker.read_text(one.key) || !unpacker.read(one.identity.epoch) || !unpacker.read(one.identity.version) || !read_tags(unpacker, one.tags)) return false;
  }
  return true;
}

}  // namespace

std::string encode(const Attributes& attributes) {
  std::string out;
  pack(out, attributes.upstreams.empty() ? plain_format : derived_format);
  pack(out, static_cast<std::uint8_t>(attributes.was_put ? 1 : 0));
  pack(out, attributes.epoch);
  pack(out, attributes.fresh_until_ms);
  pack_text(out, attributes.origin);
  pack_tags(out, attributes.tags);
  if (attributes.upstreams.empty()) return out;
  pack(out, static_cast<std::uint32_t>(attributes.upstreams.size()));
  for (const engine::DiskUpstream& upstream : attributes.upstreams) {
    pack_text(out, upstream.key);
    pack(out, upstream.identity.epoch);
    pack(out, upstream.identity.version);
    pack_tags(out, upstream.tags);
  }
  return out;
}

std::optional<Attributes> decode_attributes(std::string_view bytes) {
  Unpacker unpacker(bytes);
  Attributes attributes;
  std::uint8_t format = 0;
  std::uint8_t was_put = 0;
  if (!unpacker.read(format) || (format != plain_format && format != derived_format) || !unpacker.read(was_put) || was_put > 1 ||
      !unpacker.read(attributes.epoch) || !unpacker.read(attributes.fresh_until_ms) || !unpacker.read_text(attributes.origin) ||
      !read_tags(unpacker, attributes.tags))
    return std::nullopt;
  attributes.was_put = was_put == 1;
  if (format == derived_format && !read_upstreams(unpacker, attributes.upstreams)) return std::nullopt;
  return unpacker.at_end() ? std::optional(std::move(attributes)) : std::nullopt;
}

}  // namespace onced::tiers
