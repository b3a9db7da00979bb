#include "tiers/audience.hpp"

#include <set>

#include "tiers/packed.hpp"

namespace onced::tiers {
namespace {

constexpr std::uint8_t format = 1;

void pack_ids(std::string& out, const std::set<std::uint32_t>& ids) {
  pack(out, static_cast<std::uint32_t>(ids.size()));
  for (const std::uint32_t id : ids) pack(out, id);
}

bool read_ids(Unpacker& unpacker, std::set<std::uint32_t>& into) {
  std::uint32_t count = 0;
  if (!unpacker.read(count)) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint32_t id = 0;
    if (!unpacker.read(id) || (!into.empty() && id <= *into.rbegin())) return false;
    into.insert(into.end(), id);
  }
  return true;
}

}  // namespace

std::string encode(const engine::AccessRule& rule) {
  std::string out;
  pack(out, format);
  pack(out, static_cast<std::uint8_t>(rule.restricted ? 1 : 0));
  pack_ids(out, rule.uids);
  pack_ids(out, rule.gids);
  return out;
}

std::optional<engine::AccessRule> decode_audience(std::string_view bytes) {
  Unpacker unpacker(bytes);
  engine::AccessRule rule;
  std::uint8_t version = 0;
  std::uint8_t restricted = 0;
  if (!unpacker.read(version) || version != format || !unpacker.read(restricted) || restricted > 1 || !read_ids(unpacker, rule.uids) ||
      !read_ids(unpacker, rule.gids) || !unpacker.at_end())
    return std::nullopt;
  rule.restricted = restricted == 1;
  return rule;
}

}  // namespace onced::tiers
