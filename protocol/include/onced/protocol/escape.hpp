// Foreign text on its way to a log or a terminal: nothing in it steers one.
#pragma once

#include <string>
#include <string_view>

namespace onced::protocol {

// Control characters (C0, DEL, and C1, which are two bytes of UTF-8) as \x1b, byte by byte; all else as it is, also what is no UTF-8.
std::string escape_controls(std::string_view text);

}  // namespace onced::protocol
