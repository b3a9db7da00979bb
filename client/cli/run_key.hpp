// What makes two runs of a command the same run.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <onced/protocol/key.hpp>

namespace onced::cli {

struct RunIdentity {
  std::string name;                // empty: the command's first word
  std::vector<std::string> words;  // the command and its arguments, at least one
  std::vector<std::pair<std::string, std::optional<std::string>>> environment;  // chosen variables; nothing: unset
  std::optional<std::string> directory;                                         // when the working directory counts
  std::vector<ContentDigest> inputs;                                            // of the --input files, in their order
  std::optional<ContentDigest> standard_input;                                  // when it is passed on
};

// Function "run:<name>"; the arguments are named: words, and what was chosen of env, cwd, inputs, stdin. Words that are
// not UTF-8 are bytes.
Result<Key> run_key(const RunIdentity& identity, std::optional<std::uint64_t> session = std::nullopt);

}  // namespace onced::cli
