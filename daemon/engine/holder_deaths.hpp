// Which computations killed their processes: so many dead in a row, and the key fails instead of killing the next one.
//
// Counted are processes, not connections: one process may hold and wait in many. They are remembered beyond the key's
// entry, for nobody may be waiting between one process and the next that a supervisor starts. Forgotten when the key
// is computed, put, failed, cancelled or invalidated, or when the last death is holder_deaths_memory ago.
//
// Bounds: keys_max keys, bytes_max bytes of them; the one whose last death is longest ago goes first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.hpp"
#include "engine/key_map.hpp"

namespace onced::engine {

class HolderDeaths {
 public:
  HolderDeaths(const Settings& settings, const BytesHash& hash, std::size_t keys_max = 4096, std::size_t bytes_max = 4 * 1024 * 1024)
      : settings_(settings), keys_max_(keys_max), bytes_max_(bytes_max), by_key_(0, hash) {}

  // A process died while it computed the key. Returns how many have in a row.
  int add(std::string_view key, std::uint64_t process, Time now) {
    if (count(key, now) == 0) forget(key);
    const auto [at, made] = by_key_.try_emplace(std::string(key));
    Deaths& deaths = at->second;
    if (made) {
      deaths.order = order_.insert(order_.end(), &at->first);
      bytes_ += key.size();
    }
    order_.splice(order_.end(), order_, deaths.order);
    deaths.last = now;
    const bool counted = std::find(deaths.processes.begin(), deaths.processes.end(), process) != deaths.processes.end();
    if (!counted && deaths.processes.size() < static_cast<std::size_t>(settings_.holder_deaths_max)) deaths.processes.push_back(process);
    const int in_a_row = static_cast<int>(deaths.processes.size());
    while (by_key_.size() > keys_max_ || (bytes_ > bytes_max_ && by_key_.size() > 1)) forget(*order_.front());
    return in_a_row;
  }
  int count(std::string_view key, Time now) const {
    const auto found = by_key_.find(key);
    if (found == by_key_.end() || found->second.last + settings_.holder_deaths_memory <= now) return 0;
    return static_cast<int>(found->second.processes.size());
  }
  void forget(std::string_view key) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return;
    bytes_ -= found->first.size();
    order_.erase(found->second.order);
    by_key_.erase(found);
  }
  // Of every key for which matches(key) holds.
  template <typename Matches>
  void forget_if(Matches matches) {
    for (auto at = order_.begin(); at != order_.end();) {
      const std::string& key = **at++;  // forget() erases its place
      if (matches(key)) forget(key);
    }
  }
  std::size_t size() const { return by_key_.size(); }

 private:
  struct Deaths {
    std::vector<std::uint64_t> processes;
    Time last{};
    std::list<const std::string*>::iterator order;
  };

  const Settings& settings_;
  std::size_t keys_max_;
  std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  KeyMap<Deaths> by_key_;
  std::list<const std::string*> order_;  // of last deaths, the earliest first
};

}  // namespace onced::engine
