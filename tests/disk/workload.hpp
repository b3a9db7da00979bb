// Puts, drops and label drops at random, and the history of them: what the tests with faults, power loss and damage run.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "disk/store.hpp"
#include "history.hpp"
#include "memory_files.hpp"

namespace onced::testing {

disk::StoreOptions small_store(std::vector<std::string>* said = nullptr);

inline Result<std::unique_ptr<disk::Store>> open_store(const std::shared_ptr<MemoryDisk>& disk, disk::StoreOptions options = small_store(),
                                                       std::uint64_t wall_ms = 10'000) {
  return disk::Store::open(std::make_unique<MemoryFiles>(disk), std::move(options), wall_ms);
}

struct Workload {
  int keys = 24;
  std::mt19937_64 random{1};
  std::uint64_t version = 0;
  History history;
  bool faults = false;  // a put that is not acknowledged may also have dropped what the key had
  std::vector<int> touched{};

  // One batch. `time` gives the present point in time.
  void step(disk::Store& store, const std::function<std::size_t()>& time, std::uint64_t now_ms = 20'000);

  // The first thing that is wrong, or empty.
  std::string problem(disk::Store& store, std::size_t now, bool lossless, std::uint64_t now_ms = 20'000);
};

}  // namespace onced::testing
