// Caches on disk that Dash applications use, as peers: diskcache, and Flask-Caching's filesystem backend. They run in Python, where their users
// have them; what is timed is one get, inside that process.
//
// Threads: one at a time. Errors: std::runtime_error with what Python said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace onced::bench {

class PythonCache {
 public:
  // Fills it with so many values of random bytes. `kind`: diskcache, flask-caching.
  PythonCache(std::string kind, std::filesystem::path directory, std::size_t count, std::size_t bytes);
  // The median of a get of each value once, in random order.
  double read_us(std::uint64_t seed) const;

 private:
  std::string run(const std::string& verb, std::uint64_t argument) const;

  std::string kind_;
  std::filesystem::path directory_;
  std::size_t count_;
};

}  // namespace onced::bench
