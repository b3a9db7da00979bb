#include "missing_includes.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <iterator>
#include <utility>

#include "source_text.hpp"

namespace onced::testing {
namespace {

namespace fs = std::filesystem;

// As the builds give them to compilers, below the root.
constexpr std::array<std::string_view, 11> include_directories{
    "protocol/include", "daemon", "client/include", "client/posix", "client/src", "client/cli", "client/examples/demo", "tests", "tests/disk", "tests/simulation", ""};

const std::map<std::string, std::string, std::less<>> standard_headers{
    {"vector", "vector"}, {"string", "string"}, {"string_view", "string_view"}, {"map", "map"}, {"multimap", "map"}, {"set", "set"},
    {"multiset", "set"}, {"unordered_map", "unordered_map"}, {"unordered_set", "unordered_set"}, {"optional", "optional"},
    {"nullopt", "optional"}, {"variant", "variant"}, {"visit", "variant"}, {"get_if", "variant"}, {"holds_alternative", "variant"},
    {"monostate", "variant"}, {"function", "functional"}, {"unique_ptr", "memory"}, {"shared_ptr", "memory"}, {"weak_ptr", "memory"},
    {"make_unique", "memory"}, {"make_shared", "memory"}, {"array", "array"}, {"deque", "deque"}, {"list", "list"}, {"span", "span"},
    {"atomic", "atomic"}, {"atomic_ref", "atomic"}, {"mutex", "mutex"}, {"lock_guard", "mutex"}, {"unique_lock", "mutex"},
    {"scoped_lock", "mutex"}, {"condition_variable", "condition_variable"}, {"thread", "thread"}, {"jthread", "thread"},
    {"this_thread", "thread"}, {"chrono", "chrono"}, {"chrono_literals", "chrono"}, {"sort", "algorithm"}, {"find_if", "algorithm"},
    {"any_of", "algorithm"}, {"all_of", "algorithm"}, {"none_of", "algorithm"}, {"clamp", "algorithm"},
    {"ostringstream", "sstream"}, {"istringstream", "sstream"}, {"stringstream", "sstream"}, {"ifstream", "fstream"},
    {"ofstream", "fstream"}, {"filesystem", "filesystem"}, {"numeric_limits", "limits"}, {"memcpy", "cstring"}, {"memcmp", "cstring"},
    {"memset", "cstring"}, {"strlen", "cstring"}, {"strerror", "cstring"}, {"runtime_error", "stdexcept"}, {"logic_error", "stdexcept"},
    {"invalid_argument", "stdexcept"}, {"priority_queue", "queue"}, {"queue", "queue"}, {"isalnum", "cctype"}, {"isspace", "cctype"},
    {"isdigit", "cctype"}, {"getenv", "cstdlib"}, {"abort", "cstdlib"}, {"printf", "cstdio"}, {"fprintf", "cstdio"},
    {"snprintf", "cstdio"}, {"from_chars", "charconv"}, {"to_chars", "charconv"}, {"popcount", "bit"}, {"bit_cast", "bit"},
    {"countl_zero", "bit"}, {"accumulate", "numeric"}, {"iota", "numeric"}, {"random_device", "random"}, {"mt19937", "random"},
    {"mt19937_64", "random"}, {"minstd_rand", "random"}, {"tuple", "tuple"}, {"tie", "tuple"}, {"back_inserter", "iterator"},
    {"errc", "system_error"}, {"error_code", "system_error"}, {"system_error", "system_error"}, {"log", "cmath"}, {"exp", "cmath"},
    {"isnan", "cmath"}, {"bitset", "bitset"}, {"move", "utility"}, {"forward", "utility"}, {"exchange", "utility"}, {"pair", "utility"},
    {"min", "algorithm"}, {"max", "algorithm"}, {"copy", "algorithm"}, {"find", "algorithm"}, {"count_if", "algorithm"}, {"equal", "algorithm"},
    {"exception", "exception"}, {"numbers", "numbers"}, {"rotr", "bit"}, {"ref", "functional"}, {"cref", "functional"}, {"hash", "functional"}};

// Whose names may be those of the project's types.
constexpr std::array<std::string_view, 10> foreign_namespaces{"std", "CLI", "doctest", "nlohmann", "msgpack", "boost", "asio", "rc", "spdlog", "toml"};

// Where the constants of namespace limits are.
const std::string limits_header = "protocol/include/onced/protocol/limits.hpp";

// Words before a parenthesis that are no functions.
constexpr std::array<std::string_view, 12> operators{"sizeof", "alignas", "alignof", "offsetof", "decltype", "noexcept", "static_assert", "if", "for", "while", "switch", "catch"};

// A name in code, with what stands around it.
struct Word {
  std::string_view text;
  std::string_view before;   // the word before it, through blanks only
  std::string_view qualifier;  // X of X::name
  std::string_view previous; // the one or two characters before it that are no blank, nor of a name
  char following = ' ';      // the one behind it
  bool begins_line = false;  // of the words of a line that begins at its beginning
};

std::vector<Word> words_of(std::string_view code) {
  std::vector<Word> words;
  std::size_t end_before = 0;
  bool at_beginning = false;
  for (std::size_t at = 0; at < code.size();) {
    if (at == 0 || code[at - 1] == '\n') at_beginning = std::isalpha(static_cast<unsigned char>(code[at])) != 0 || code[at] == '[';
    if (!is_name(code[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < code.size() && is_name(code[end])) ++end;
    Word word{code.substr(at, end - at), {}, {}, {}, ' ', at_beginning};
    const std::string_view between = code.substr(end_before, at - end_before);
    const auto is_blank = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
    if (!words.empty() && std::all_of(between.begin(), between.end(), is_blank)) word.before = words.back().text;
    if (!words.empty() && between == "::") word.qualifier = words.back().text;
    const auto previous = std::find_if_not(between.rbegin(), between.rend(), is_blank);
    const std::string_view signs = between.substr(0, static_cast<std::size_t>(between.rend() - previous));
    word.previous = signs.size() > 2 ? signs.substr(signs.size() - 2) : signs;
    const auto following = std::find_if_not(code.begin() + static_cast<std::ptrdiff_t>(end), code.end(), is_blank);
    if (following != code.end()) word.following = *following;
    if (std::isdigit(static_cast<unsigned char>(word.text.front())) == 0) words.push_back(word);
    end_before = at = end;
  }
  return words;
}

bool introduces_type(std::string_view word) {
  return word == "struct" || word == "class" || word == "enum" || word == "using" || word == "concept" || word == "typename" || word == "define";
}

// Words before the name of a function that is called; others say the type of what is declared.
bool precedes_call(std::string_view word) {
  return word.empty() || word == "return" || word == "else" || word == "throw" || word == "co_return" || word == "case";
}

// Of a member or an address, or the end of a type: `&&` is neither. (`>` may be a comparison; mostly it ends a type.)
bool is_member_or_declared(std::string_view previous) {
  return !previous.empty() && !previous.ends_with("&&") && std::string_view(".>~&*").find(previous.back()) != std::string_view::npos;
}

bool is_type_name(std::string_view name) { return std::isupper(static_cast<unsigned char>(name.front())) != 0; }

bool is_foreign(std::string_view space) { return std::find(foreign_namespaces.begin(), foreign_namespaces.end(), space) != foreign_namespaces.end(); }

bool is_before_parenthesis(const Word& word) {
  return word.following == '(' && std::find(operators.begin(), operators.end(), word.text) == operators.end();
}

}  // namespace

Sources::Sources(const fs::path& root, const std::vector<std::string>& parts) {
  std::map<std::string, std::vector<Include>> includes;
  for (const std::string& part : parts) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / part)) {
      const std::string extension = entry.path().extension().string();
      if (!entry.is_regular_file() || (extension != ".hpp" && extension != ".cpp")) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      const std::string source(std::istreambuf_iterator<char>(in), {});
      const std::string path = entry.path().lexically_relative(root).string();
      files_[path].code = code_of(source);
      includes[path] = includes_of(source);
    }
  }
  for (auto& [path, file] : files_) {
    for (const Include& include : includes[path]) {
      const std::string header = header_at(path, include.header);
      if (header.empty()) file.other_headers.insert(include.header);
      else file.project_headers.insert(header);
    }
    std::set<std::string> otherwise;
    bool befriended = false;  // `friend struct Name;` says nothing of Name to those who include it
    for (const Word& word : words_of(file.code)) {
      const std::string name(word.text);
      if (introduces_type(name)) befriended = word.before == "friend";
      if (is_type_name(name)) {
        // `class [[nodiscard]] Name`, `struct alignas(64) Name` and `typename... Names` as well.
        const bool behind_attribute = word.begins_line && (word.previous.ends_with(']') || word.previous.ends_with(')'));
        const bool is_pack = word.previous.ends_with('.') && word.qualifier.empty();
        if (introduces_type(word.before)) (befriended ? file.friends : file.types).insert(name);
        else if (behind_attribute || is_pack) file.types.insert(name);
        continue;
      }
      const bool is_typed = !word.before.empty() || word.previous.ends_with('>') || word.previous.ends_with('&') || word.previous.ends_with('*');
      const bool declared = word.begins_line && is_before_parenthesis(word) && word.qualifier.empty() && is_typed;
      if (declared) file.functions.insert(name);
      const bool of_the_system = word.previous.ends_with("::") && word.qualifier.empty();
      const bool called = is_before_parenthesis(word) && !is_member_or_declared(word.previous) && !of_the_system && !is_foreign(word.qualifier) &&
                          precedes_call(word.before);
      (called && !declared ? file.called : otherwise).insert(name);
    }
    for (const std::string& name : otherwise) file.called.erase(name);
    if (!path.ends_with(".hpp")) continue;
    for (const std::string& name : file.types) type_headers_[name].insert(path);
    for (const std::string& name : file.functions) function_headers_[name].insert(path);
  }
}

std::string Sources::header_at(const std::string& from, const std::string& name) const {
  const std::string beside = (fs::path(from).parent_path() / name).lexically_normal().string();
  if (files_.contains(beside)) return beside;
  for (const std::string_view directory : include_directories) {
    const std::string path = (fs::path(directory) / name).lexically_normal().string();
    if (files_.contains(path)) return path;
  }
  return {};
}

std::set<std::string> Sources::closure_of(const std::string& path) const {
  std::set<std::string> closure{path};
  for (std::vector<std::string> open{path}; !open.empty();) {
    const std::string next = open.back();
    open.pop_back();
    for (const std::string& header : files_.at(next).project_headers)
      if (closure.insert(header).second) open.push_back(header);
  }
  return closure;
}

void Sources::find_missing(const std::string& path, std::vector<std::string>& found) const {
  const File& file = files_.at(path);
  std::set<std::string> types = file.friends, standard;
  std::set<std::string, std::less<>> said;
  const std::set<std::string> closure = closure_of(path);
  for (const std::string& each : closure) {
    const File& one = files_.at(each);
    types.insert(one.types.begin(), one.types.end());
    standard.insert(one.other_headers.begin(), one.other_headers.end());
  }
  const auto complain = [&](std::string_view name, const std::string& header) {
    if (!said.insert(std::string(name)).second) return;
    found.push_back(path + ":" + std::to_string(line_of_word(file.code, name)) + ": names " + std::string(name) + " and does not include " + header);
  };
  for (const Word& word : words_of(file.code)) {
    if (word.qualifier == "std") {
      const auto header = standard_headers.find(word.text);
      if (header != standard_headers.end() && !standard.contains(header->second)) complain(word.text, "<" + header->second + ">");
      continue;
    }
    const std::string name(word.text);
    if (word.qualifier == "limits" && !closure.contains(limits_header) && files_.contains(limits_header)) complain(name, limits_header);
    if (const auto headers = type_headers_.find(name); headers != type_headers_.end()) {
      if (!types.contains(name) && !is_foreign(word.qualifier)) complain(name, *headers->second.begin());
    }
  }
  for (const std::string& name : file.called) {
    const auto headers = function_headers_.find(name);
    if (headers == function_headers_.end()) continue;
    const bool known = std::any_of(closure.begin(), closure.end(), [&](const std::string& each) {
      return each == path ? files_.at(each).functions.contains(name) : line_of_word(files_.at(each).code, name) != 0;
    });
    if (!known) complain(name, *headers->second.begin());
  }
}

std::vector<std::string> Sources::missing_includes() const {
  std::vector<std::string> found;
  for (const auto& [path, file] : files_) find_missing(path, found);
  return found;
}

}  // namespace onced::testing
