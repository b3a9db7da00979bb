#include "source_text.hpp"

#include <algorithm>
#include <cctype>

namespace onced::testing {
namespace {

std::size_t line_at(std::string_view text, std::size_t position) {
  return static_cast<std::size_t>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(position), '\n')) + 1;
}

// One past the end of the comment or literal that begins at `at`; `at` when none begins there.
std::size_t end_of_blank(std::string_view source, std::size_t at) {
  const std::string_view rest = source.substr(at);
  const auto after = [&](std::string_view ending, std::size_t from) {
    const std::size_t found = source.find(ending, from);
    return found == std::string_view::npos ? source.size() : found + ending.size();
  };
  if (rest.starts_with("//")) return std::min(source.find('\n', at), source.size());
  if (rest.starts_with("/*")) return after("*/", at + 2);
  if (rest.starts_with("R\"") && (at == 0 || !is_name(source[at - 1]))) {
    const std::size_t open = source.find('(', at);
    if (open == std::string_view::npos) return source.size();
    return after(")" + std::string(source.substr(at + 2, open - at - 2)) + "\"", open);
  }
  const bool digit_separator = rest[0] == '\'' && at > 0 && is_name(source[at - 1]);
  if ((rest[0] != '"' && rest[0] != '\'') || digit_separator) return at;
  for (std::size_t i = at + 1; i < source.size() && source[i] != '\n'; ++i) {
    if (source[i] == '\\') ++i;
    else if (source[i] == rest[0]) return i + 1;
  }
  return at + 1;
}

}  // namespace

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string code_of(std::string_view source) {
  std::string code(source);
  for (std::size_t at = 0; at < source.size();) {
    const std::size_t end = end_of_blank(source, at);
    for (std::size_t i = at; i < end; ++i) {
      if (code[i] != '\n') code[i] = ' ';
    }
    at = std::max(end, at + 1);
  }
  return code;
}

std::vector<Include> includes_of(std::string_view source) {
  std::vector<Include> includes;
  const std::string code = code_of(source);  // tells where a directive is; the name is read from the source
  for (std::size_t begin = 0; begin < source.size();) {
    const std::size_t end = std::min(source.find('\n', begin), source.size());
    const std::string_view code_line = std::string_view(code).substr(begin, end - begin);
    const std::string_view line = source.substr(begin, end - begin);
    const std::size_t hash = code_line.find_first_not_of(" \t");
    const std::size_t word = hash == std::string_view::npos ? hash : code_line.find_first_not_of(" \t", hash + 1);
    if (word != std::string_view::npos && code_line[hash] == '#' && code_line.substr(word).starts_with("include")) {
      const std::size_t open = line.find_first_of("<\"", word);
      const std::size_t close = open == std::string_view::npos ? open : line.find_first_of(">\"", open + 1);
      if (close != std::string_view::npos) {
        includes.push_back({std::string(line.substr(open + 1, close - open - 1)), line[open] == '"', line_at(source, begin)});
      }
    }
    begin = end + 1;
  }
  return includes;
}

std::size_t line_of_word(std::string_view code, std::string_view word) {
  for (std::size_t at = code.find(word); at != std::string_view::npos; at = code.find(word, at + 1)) {
    const bool begins = at == 0 || !is_name(code[at - 1]) || !is_name(word.front());
    const std::size_t after = at + word.size();
    const bool ends = after >= code.size() || !is_name(code[after]) || !is_name(word.back());
    if (begins && ends) return line_at(code, at);
  }
  return 0;
}

}  // namespace onced::testing
