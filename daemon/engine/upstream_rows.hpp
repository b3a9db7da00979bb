// What `oncectl explain --json` says of what a value was computed from, as fields; dependency_texts.hpp says it in words.
#pragma once

#include <onced/protocol/messages.hpp>

#include "engine/entry.hpp"

namespace onced::engine {

// Why the entry's value, which is stale, is so.
protocol::StaleCause stale_cause_of(const Entry& entry);

// Fills in the upstreams of the entry's value, as many as there is room for, how many there are, and its dependants.
void describe_upstreams(const Entry& entry, protocol::Explanation& explanation);

}  // namespace onced::engine
