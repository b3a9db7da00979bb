// The body of a sealed value: what can be seen of it, and what only its session's key opens (DISK.md, "Sessions").
//
// Errors: nothing for a body that does not follow the format, or that is not what was sealed.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "disk/format.hpp"
#include "disk/session_key.hpp"

namespace onced::disk {

// `body` as encode_body() makes it, `key` the record's own, made with `head.salt`. `sealed_bytes` is filled in here.
std::vector<std::byte> seal_body(SealedHead head, const SessionKey& key, Bytes body);

std::optional<SealedHead> sealed_head(Bytes sealed);
std::optional<std::vector<std::byte>> open_body(Bytes sealed, const SealedHead& head, const SessionKey& key);

}  // namespace onced::disk
