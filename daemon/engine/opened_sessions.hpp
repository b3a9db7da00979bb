// Which sessions a connection has opened, that is, has shown the id of: keys that it sends may name their numbers.
//
// With the generation that each had: after a rotation the old id opens nothing any more. It may forget the ones opened
// longest ago, whose clients are told to open them again (not_permitted); it never remembers one that was not opened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>

namespace onced::engine {

class OpenedSessions {
 public:
  // Returns whether there is one more now.
  bool add(std::uint64_t number, std::uint64_t generation) {
    const bool added = generations_.insert_or_assign(number, generation).second;
    if (added) order_.push_back(number);
    return added;
  }
  void forget_oldest() {
    generations_.erase(order_.front());
    order_.pop_front();
  }
  std::optional<std::uint64_t> generation_of(std::uint64_t number) const {
    const auto found = generations_.find(number);
    if (found == generations_.end()) return std::nullopt;
    return found->second;
  }
  std::size_t size() const { return order_.size(); }

 private:
  std::unordered_map<std::uint64_t, std::uint64_t> generations_;  // by number
  std::deque<std::uint64_t> order_;                               // the one opened longest ago first
};

}  // namespace onced::engine
