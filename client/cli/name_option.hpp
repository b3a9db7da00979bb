// Names on the command line that stand for themselves: of a function, a tag, a namespace. (Those within a key are checked where it is built.)
#pragma once

#include <cstddef>
#include <string_view>

#include <onced/protocol/result.hpp>

namespace onced::cli {

// The error says what is wrong with it, and of which word: `--namespace ...: is longer than 64 bytes`. A daemon would end the connection over it.
Result<void> name_option(std::string_view option, std::string_view name, std::size_t bytes_max);

// Of a function; an empty one is none, and well.
Result<void> function_option(std::string_view option, std::string_view name);

}  // namespace onced::cli
