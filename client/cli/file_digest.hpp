// The digest of a file's content, which stands for the file in a key.
#pragma once

#include <string>

#include <onced/protocol/key.hpp>

namespace onced::cli {

// Of an open file from its present position to its end. Errors: invalid_argument, when it cannot be read.
Result<ContentDigest> digest_of_descriptor(int descriptor);
// Of a file by its path. Errors: invalid_argument.
Result<ContentDigest> digest_of_file(const std::string& path);

}  // namespace onced::cli
