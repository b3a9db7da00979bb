// Makes one source file of an engine's file and its broken versions, so that what they have in common, nearly all, is compiled once.
//
//   merge_broken ORIGINAL MERGED NUMBER PATCHED [NUMBER PATCHED]...
//
// Each function that a version changes gets all its bodies, and broken_engine (broken_engine.hpp) chooses:
//
//   void Computations::end(Lease& lease) {
//   if (::onced::simulation::broken_engine == 33) {
//     the body in version 33
//   }
//   else {
//     the original body
//   }
//   }
//
// So a version may change what stands in the bodies of functions, and nothing else; merging fails if it does. What a function is it sees
// by the format of the sources: a definition begins at the beginning of a line.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "architecture/source_text.hpp"

namespace {

// A definition, or a line between definitions. Joined, the pieces of a file are the file.
struct Piece {
  std::string text;
  std::size_t line = 0;  // its first, from 1
  std::size_t body = std::string::npos;  // where the brace of a function's body opens
};

struct Version {
  int number = 0;
  std::string path;
  std::vector<Piece> pieces;
};

bool begins_definition(std::string_view line) {
  if (line.empty() || std::string_view(" \n}/#").find(line.front()) != std::string_view::npos) return false;
  return !line.starts_with("namespace ") && !line.starts_with("using ");
}

std::vector<Piece> pieces_of(const std::string& text) {
  const std::string code = onced::testing::code_of(text);
  std::vector<Piece> pieces;
  std::size_t line = 1;
  for (std::size_t begin = 0; begin < text.size();) {
    Piece piece{{}, line, std::string::npos};
    std::size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    if (begins_definition(std::string_view(text).substr(begin, end - begin))) {
      int braces = 0, parentheses = 0;
      char last = ' ';
      for (end = begin; ; ++end) {
        if (end == code.size()) throw std::runtime_error("the definition in line " + std::to_string(line) + " has no end");
        const char c = code[end];
        if (c == '(') ++parentheses;
        if (c == ')') --parentheses;
        if (c == '{' && ++braces == 1 && parentheses == 0 && piece.body == std::string::npos) piece.body = end - begin;
        if (c == '}') --braces;
        if (c == '\n' && braces == 0 && parentheses == 0 && (last == ';' || last == '}')) break;
        if (std::isspace(static_cast<unsigned char>(c)) == 0) last = c;
      }
      ++end;
    }
    piece.text = text.substr(begin, end - begin);
    line += static_cast<std::size_t>(std::count(piece.text.begin(), piece.text.end(), '\n'));
    begin = end;
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

std::string contents_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string place(const std::string& path, const Piece& piece, std::size_t offset) {
  const auto lines = std::count(piece.text.begin(), piece.text.begin() + static_cast<std::ptrdiff_t>(offset), '\n');
  return "#line " + std::to_string(piece.line + static_cast<std::size_t>(lines)) + " \"" + path + "\"\n";
}

// Whether both are the same function but for its body. What a constructor initializes before it is not of its body. A function whose result is
// const, with a default argument or of an operator with an equals sign is not told from a constant, and refused.
bool differ_in_body(const Piece& one, const Piece& other) {
  if (one.body == std::string::npos || one.body != other.body) return false;
  const std::string_view signature = std::string_view(one.text).substr(0, one.body);
  for (const char* word : {"struct ", "class ", "enum ", "constexpr ", "const "})
    if (signature.starts_with(word)) return false;
  return signature == std::string_view(other.text).substr(0, other.body) && signature.find("    : ") == std::string_view::npos &&
         signature.find('=') == std::string_view::npos;
}

std::string merged(const std::string& path, const std::vector<Piece>& original, const std::vector<Version>& versions) {
  std::string text = "#include \"broken_engine.hpp\"\n" + place(path, original.front(), 0);
  for (std::size_t number = 0; number < original.size(); ++number) {
    const Piece& piece = original[number];
    std::string broken;
    for (const Version& version : versions) {
      const Piece& other = version.pieces[number];
      if (other.text == piece.text) continue;
      if (!differ_in_body(piece, other)) throw std::runtime_error(version.path + ": changes more than the body of a function that merging knows, in line " + std::to_string(other.line));
      broken += (broken.empty() ? "if" : "else if") + std::string(" (::onced::simulation::broken_engine == ") + std::to_string(version.number) + ")\n" +
                place(version.path, other, other.body) + other.text.substr(other.body);
    }
    if (broken.empty()) {
      text += piece.text;
    } else {
      text += piece.text.substr(0, piece.body) + "{\n" + broken + "else\n" + place(path, piece, piece.body) + piece.text.substr(piece.body) + "}\n" +
              place(path, piece, piece.text.size());
    }
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5 || argc % 2 == 0) {
    std::fprintf(stderr, "usage: merge_broken ORIGINAL MERGED NUMBER PATCHED [NUMBER PATCHED]...\n");
    return 2;
  }
  try {
    const std::string path = argv[1];
    const std::vector<Piece> original = pieces_of(contents_of(path));
    std::vector<Version> versions;
    for (int i = 3; i < argc; i += 2) {
      Version version{std::stoi(argv[i]), argv[i + 1], {}};
      const std::string text = contents_of(version.path);
      version.pieces = pieces_of(text);
      if (version.pieces.size() != original.size()) throw std::runtime_error(version.path + ": adds or removes lines between the functions");
      if (text == contents_of(path)) throw std::runtime_error(version.path + ": changes nothing");
      versions.push_back(std::move(version));
    }
    const std::string text = merged(path, original, versions);
    std::ofstream out(argv[2], std::ios::binary);
    out << text;
    if (!out.flush()) throw std::runtime_error(std::string("cannot write ") + argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "merge_broken: %s\n", error.what());
    return 1;
  }
}
