// C++ source as far as the architecture test needs it: what it includes, and its code without comments and literals.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace onced::testing {

struct Include {
  std::string header;   // what stands between the marks
  bool quoted = false;  // "..." rather than <...>
  std::size_t line = 0; // from 1
};

bool is_name(char c);  // may stand in one

std::vector<Include> includes_of(std::string_view source);

// The same text with comments, and what string and character literals hold, replaced by blanks; lines stay lines.
std::string code_of(std::string_view source);

// The line (from 1) of the first place where `word` stands in code and is not a part of a longer name; 0: nowhere.
std::size_t line_of_word(std::string_view code, std::string_view word);

}  // namespace onced::testing
