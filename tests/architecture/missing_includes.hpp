// What a file names and does not include. The libraries are compiled several files at once, where one file's includes hide that another one
// lacks them; here each file is read by itself, with what it includes and what that includes.
//
// It sees, of the standard library, the names of a table; of the project, types, macros and functions that its headers declare, and limits. It
// does not see other constants, nor members, nor that a type which is only declared must be complete: only a compiler does. What it
// does see it judges more strictly than that, for which a standard header that happens to include another one is good enough.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace onced::testing {

class Sources {
 public:
  // Every C++ file below these parts of the root.
  Sources(const std::filesystem::path& root, const std::vector<std::string>& parts);

  std::size_t files() const { return files_.size(); }
  // One sentence each, with file and line.
  std::vector<std::string> missing_includes() const;

 private:
  struct File {
    std::string code;                // without comments and literals
    std::set<std::string> types;     // that it declares or introduces, anywhere
    std::set<std::string> friends;   // that it names as friends: nothing to those who include it
    std::set<std::string> functions; // that it declares at namespace scope
    std::set<std::string> called;    // named nowhere but before an opening parenthesis, and not as a member
    std::set<std::string> project_headers, other_headers;
  };
  // Paths relative to the root; empty: not of the project.
  std::string header_at(const std::string& from, const std::string& name) const;
  // Itself too.
  std::set<std::string> closure_of(const std::string& path) const;
  void find_missing(const std::string& path, std::vector<std::string>& found) const;

  std::map<std::string, File> files_;
  std::map<std::string, std::set<std::string>> type_headers_, function_headers_;
};

}  // namespace onced::testing
