// Named numbers of the daemon (status, statistics) for people and for programs.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <onced/protocol/messages.hpp>

#include "key_words.hpp"

namespace onced::cli {

Json report_json(const protocol::Report& report);

// A field as a number; nothing when the daemon does not say or know it (NaN: JSON null, "-" for people).
std::optional<double> number(const protocol::Report& report, std::string_view name);
std::uint64_t count(const protocol::Report& report, std::string_view name);
std::string text(const protocol::Report& report, std::string_view name);

// "12.3 %"; "-" of nothing.
std::string ratio_text(std::uint64_t part, std::uint64_t whole);
// What the status says of both kinds of memory, in the same words wherever that is told:
// "12 MiB of 256 MiB (4.6 %)" and "4.8 MiB of 1.0 GiB (0.4 %) in 1 blob". A budget that the daemon does not say is left out.
std::string memory_text(const protocol::Report& status);
std::string large_parts_text(const protocol::Report& status);
// "1,234 computations avoided, 5 min 12 s saved, 310 duplicates avoided".
std::string last_hour_text(const protocol::Report& status);

// A field's value by the unit in its name: bytes, seconds, _ms, _us, _ratio; everything else is a count or a text.
std::string human(std::string_view name, const protocol::Number& value);

}  // namespace onced::cli
