// The parts that a command line names: `put --part NAME=FILE --part-type NAME=TYPE ...`. Pure: words in, a plan out.
#pragma once

#include <string>
#include <vector>

#include <onced/protocol/result.hpp>

namespace onced::cli {

struct PartWords {
  std::string file{};                // --file: the part without a name; empty: not given
  std::vector<std::string> parts{};  // --part: NAME=FILE
  std::vector<std::string> types{};  // --part-type: NAME=TYPE
  std::string content_type{};        // --content-type: of every part without a type of its own
};

// Where a part comes from. Path "-" is standard input.
struct PartSource {
  std::string name;
  std::string path;
  std::string content_type;
};

// In the order of the words, the part without a name first when it comes from --file. Standard input alone when the words
// name nothing. NAME ends at the first "=", so that FILE and TYPE may hold any character. Errors: invalid_argument.
Result<std::vector<PartSource>> part_sources(const PartWords& words);

}  // namespace onced::cli
