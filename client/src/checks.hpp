// What a caller says, looked at before it is sent. A daemon ends the connection of who sends what it cannot read, and with it every
// lease of the process: one caller's wrong word must not cost another caller's result.
//
// Errors: invalid_argument; too_large: above its limit (limits.hpp).
#pragma once

#include <string_view>

#include <onced/protocol/result.hpp>

namespace onced::client_detail {

// A key as KeyBuilder makes it; not the name of a function.
Result<void> check_key_given(std::string_view key);
Result<void> check_function(std::string_view function);
Result<void> check_tag(std::string_view tag);
Result<void> check_content_type(std::string_view content_type);

}  // namespace onced::client_detail
