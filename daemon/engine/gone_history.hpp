// Why values went, for people who ask (`oncectl explain`): the last so many, the oldest forgotten first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include "engine/key_map.hpp"
#include "engine/types.hpp"

namespace onced::engine {

enum class GoneReason : std::uint8_t { evicted_arena_full, evicted_index_full, expired, invalidated, not_stored, failed, cancelled };

struct Gone {
  GoneReason reason;
  Time when;
  std::string text;  // by whom, or what was said
};

class GoneHistory {
 public:
  explicit GoneHistory(std::size_t keys_max = 4096) : keys_max_(keys_max) {}

  void remember(std::string_view key, Gone gone) {
    const std::uint64_t number = ++last_number_;
    order_.emplace_back(std::string(key), number);
    by_key_.insert_or_assign(std::string(key), Remembered{std::move(gone), number});
    if (order_.size() <= keys_max_) return;
    const auto found = by_key_.find(order_.front().first);
    if (found != by_key_.end() && found->second.number == order_.front().second) by_key_.erase(found);
    order_.pop_front();
  }
  const Gone* find(std::string_view key) const {
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : &found->second.gone;
  }

 private:
  struct Remembered {
    Gone gone;
    std::uint64_t number;
  };
  std::size_t keys_max_;
  std::uint64_t last_number_ = 0;
  std::deque<std::pair<std::string, std::uint64_t>> order_;
  KeyMap<Remembered> by_key_;
};

}  // namespace onced::engine
