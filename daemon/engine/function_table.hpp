// Names of functions and their small numbers, and what is counted per function.
//
// A number is given at a function's first key and kept until the daemon ends: readers count hits by it (SHM.md, "Pin
// page"). Functions above limits::functions_max share the last number, and its statistics, under the name "other".
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <string>
#include <string_view>

#include <onced/protocol/limits.hpp>

#include "engine/entry.hpp"
#include "engine/eviction_order.hpp"
#include "engine/key_map.hpp"

namespace onced::engine {

struct Function {
  std::string name;
  FunctionNumber number = 0;
  std::list<Entry*> by_stamp{};    // its entries, the newest stamp first
  std::uint64_t calls = 0;         // Acquire requests; readers' own hits never reach the daemon
  std::uint64_t hits = 0;          // of those, answered with a value at once
  std::uint64_t misses = 0;
  std::uint64_t computations = 0;  // published under a lease
  std::uint64_t computed_us = 0;
  std::uint64_t waiters_served = 0;
  std::uint64_t duplicates_avoided = 0;  // waiters served who would have computed it themselves
  std::uint64_t saved_us = 0;      // computing time of the values that daemon hits and waiters were given
  std::uint64_t running = 0;       // leases, detached ones too
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  bool limited = false;   // in bytes (Catalog): then
  EvictionOrder order{};  // its values are in this
};

class FunctionTable {
 public:
  explicit FunctionTable(const BytesHash& hash, std::size_t functions_max = limits::functions_max)
      : functions_max_(functions_max), numbers_(0, hash) {}

  FunctionNumber obtain(std::string_view name) {
    if (const auto found = numbers_.find(name); found != numbers_.end()) return found->second;
    if (functions_.size() >= functions_max_) return functions_.back().number;
    const auto number = static_cast<FunctionNumber>(functions_.size());
    const bool last = functions_.size() + 1 == functions_max_;
    functions_.push_back(Function{.name = last ? "other" : std::string(name), .number = number});
    if (!last) numbers_.emplace(name, number);
    return number;
  }
  Function& at(FunctionNumber number) { return functions_[number]; }
  const Function& at(FunctionNumber number) const { return functions_[number]; }
  std::deque<Function>& all() { return functions_; }
  const std::deque<Function>& all() const { return functions_; }

  // The function of this name, or the shared one when it has no number of its own; null: no key of it was ever seen.
  const Function* find(std::string_view name) const {
    if (const auto found = numbers_.find(name); found != numbers_.end()) return &functions_[found->second];
    return functions_.size() == functions_max_ ? &functions_.back() : nullptr;
  }
  // Whether an entry in `function`'s chain belongs to the function called `name`.
  bool owns(const Function& function, const Entry& entry, std::string_view name) const;

  // A new entry, or one whose stamp has become the newest, comes first in its function's order.
  void link(Entry& entry);
  void move_to_front(Entry& entry);
  void unlink(Entry& entry);

 private:
  std::size_t functions_max_;
  std::deque<Function> functions_;
  KeyMap<FunctionNumber> numbers_;
};

}  // namespace onced::engine
