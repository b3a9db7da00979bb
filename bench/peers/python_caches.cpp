#include "peers/python_caches.hpp"

#include <chrono>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>
#include <utility>

#include "harness/process.hpp"

namespace onced::bench {

PythonCache::PythonCache(std::string kind, std::filesystem::path directory, std::size_t count, std::size_t bytes)
    : kind_(std::move(kind)), directory_(std::move(directory)), count_(count) {
  std::filesystem::create_directories(directory_);
  if (const std::string said = run("fill", bytes); !said.empty()) throw std::runtime_error(kind_ + ": " + said);
}

double PythonCache::read_us(std::uint64_t seed) const {
  const std::string said = run("read", seed);
  std::size_t used = 0;
  try {
    const double us = std::stod(said, &used);
    if (said.find_first_not_of('\n', used) == std::string::npos) return us;
  } catch (const std::exception&) {
    used = 0;
  }
  throw std::runtime_error(kind_ + ": " + said);
}

// What it printed.
std::string PythonCache::run(const std::string& verb, std::uint64_t argument) const {
  const std::filesystem::path log = directory_.string() + ".log";
  std::filesystem::remove(log);  // it is appended to
  // The system's Python: it has the system's packages.
  ChildProcess process = ChildProcess::execute(
      {"/usr/bin/python3", ONCED_BENCH_PYTHON_CACHES, kind_, directory_.string(), verb, std::to_string(count_), std::to_string(argument)}, log);
  while (process.running()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::ifstream in(log);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace onced::bench
