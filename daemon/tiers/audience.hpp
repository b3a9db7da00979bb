// Who may use a namespace, as its store keeps it (DISK.md, "Audience"): what is_narrower() is asked with at the next start.
//
//   version of this format 1 byte, restricted 1 byte, then of uids and of gids: count 4 bytes and the ids, rising, 4 bytes each; little-endian
//
// Errors: bytes that do not follow this give nothing; then nobody knows who it was.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/access.hpp"

namespace onced::tiers {

std::string encode(const engine::AccessRule& rule);
std::optional<engine::AccessRule> decode_audience(std::string_view bytes);

}  // namespace onced::tiers
