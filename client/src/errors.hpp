// Errors by their code, for where they are made often.
#pragma once

#include <string>
#include <utility>

#include <onced/protocol/result.hpp>

namespace onced::client_detail {

// The caller's own mistake.
inline Error wrong(std::string text) { return {ErrorCode::invalid_argument, std::move(text)}; }
// What came from the daemon, or from whoever says that it is one.
inline Error malformed(std::string text) { return {ErrorCode::malformed, std::move(text)}; }

}  // namespace onced::client_detail
