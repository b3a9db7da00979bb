// What is said of a stale value that was given all the same.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <onced/value.hpp>

#include "context.hpp"
#include "reach.hpp"

namespace onced::cli {

// When it was stored, as the daemon says; nothing when it says so of another version by now, or nothing at all.
std::optional<std::uint64_t> age_ms_of(Reach& reach, const Key& key, const Value& value);

// ", 3.00 s old, invalidated softly by pid 4711 (oncectl)".
std::string stale_text(const protocol::Explanation& of_value);

// Who renews a stale value, as the daemon says: "pid 4711 (gunicorn) renews it", "it waits for its turn to be renewed", "a newer one is there by now";
// nothing: nobody does.
std::optional<std::string> renewal_text(const protocol::Explanation& known, const Value& value);

// A line on standard error: how old it is, and who renews it. Nothing when it is fresh.
void note_if_stale(Context& context, Reach& reach, const Key& key, const Value& value);

}  // namespace onced::cli
