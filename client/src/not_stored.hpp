// Why a published value is only its computer's and theirs who waited, for people: what happened, and what to do about it, which is not
// the same for want of room and for a change of what it was computed from.
#pragma once

#include <onced/protocol/messages.hpp>
#include <onced/protocol/result.hpp>

namespace onced::client_detail {

// Of an answer with stored = false. The code: out_of_memory (there is no room for it, or none that it is worth), limit_reached (its upstreams cannot be
// recorded), unknown_token (an invalidation or another value has come before it: nothing is wrong).
Error why_not_stored(const protocol::Published& published);

}  // namespace onced::client_detail
