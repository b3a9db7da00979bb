// Named numbers of the daemon (status, statistics) for people and for programs.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <onced/protocol/messages.hpp>

#include "key_words.hpp"

namespace onced::cli {

Json report_json(const protocol::Report& report);

// A field as a number; nothing when the daemon does not say it.
std::optional<double> number(const protocol::Report& report, std::string_view name);
std::uint64_t count(const protocol::Report& report, std::string_view name);
std::string text(const protocol::Report& report, std::string_view name);

// A field's value by the unit in its name: bytes, seconds, _ms, _us, _ratio; everything else is a count or a text.
std::string human(std::string_view name, const protocol::Number& value);

}  // namespace onced::cli
