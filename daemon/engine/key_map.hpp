// A hash table by bytes (keys, function names) that is searched with a string_view, without making a string.
//
// Clients choose the bytes. The hash is XXH3-64 with a secret of the daemon's start that never leaves it, so that nobody
// can choose keys that all fall into one bucket.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/types.hpp"

namespace onced::engine {

class BytesHash {
 public:
  using is_transparent = void;

  explicit BytesHash(const HashSecret& secret) : secret_(std::make_shared<const HashSecret>(secret)) {}
  std::size_t operator()(std::string_view bytes) const;

 private:
  std::shared_ptr<const HashSecret> secret_;  // of all tables that were made with copies of this
};

// Made with KeyMap<T> map(0, hash).
template <typename T>
using KeyMap = std::unordered_map<std::string, T, BytesHash, std::equal_to<>>;

}  // namespace onced::engine
