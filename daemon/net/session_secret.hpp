// What session ids are made of. All of them come from here, and from nothing but getrandom(2).
#pragma once

#include <onced/protocol/messages.hpp>

#include "engine/types.hpp"

namespace onced::net {

// Whether the engine makes an id for it, and needs a secret for that.
bool makes_session_id(const protocol::Request& request);

// 256 bits from the kernel's generator, which is seeded (getrandom() without flags waits for that). There is no fallback: a daemon
// that cannot have them ends.
engine::SessionSecret fresh_session_secret();

}  // namespace onced::net
