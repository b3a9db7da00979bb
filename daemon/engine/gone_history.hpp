// Why values went, for people who ask (`oncectl explain`): the last so many, in a bounded number of bytes, the oldest
// forgotten first. A key that is not found had no value since forgotten_before(), or never.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <onced/protocol/messages.hpp>

#include "engine/key_map.hpp"
#include "engine/types.hpp"

namespace onced::engine {

enum class GoneReason : std::uint8_t { evicted_arena_full, evicted_index_full, evicted_blobs_full, evicted_dependencies_full, evicted_session_full, evicted_function_full, expired, invalidated, superseded, not_stored, memory_refused, failed, cancelled };

struct Gone {
  GoneReason reason;
  Time when;
  std::string text;  // by whom, or what was said; memory_refused: to whom, and why
  protocol::NotStored cause = protocol::NotStored::not_said;  // not_stored, memory_refused: the same as one word
};

class GoneHistory {
 public:
  explicit GoneHistory(const BytesHash& hash, std::size_t keys_max = 4096, std::size_t bytes_max = 4 * 1024 * 1024)
      : keys_max_(keys_max), bytes_max_(bytes_max), by_key_(0, hash) {}

  void remember(std::string_view key, Gone gone) {
    const std::uint64_t number = ++last_number_;
    order_.push_back({std::string(key), number, 2 * key.size() + gone.text.size(), gone.when});
    bytes_ += order_.back().bytes;
    by_key_.insert_or_assign(std::string(key), Remembered{std::move(gone), number});
    while (order_.size() > keys_max_ || bytes_ > bytes_max_) forget_oldest();
  }
  const Gone* find(std::string_view key) const {
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : &found->second.gone;
  }
  // Something has been forgotten that had gone before this time, or at it; what has gone since then is all remembered. Nothing: all is, from the beginning.
  std::optional<Time> forgotten_before() const { return forgotten_ && !order_.empty() ? order_.front().when : forgotten_; }

 private:
  struct Remembered {
    Gone gone;
    std::uint64_t number;
  };
  struct Order {
    std::string key;
    std::uint64_t number;
    std::size_t bytes;  // of the key, here and in by_key_, and of the text
    Time when;
  };

  void forget_oldest() {
    const Order& oldest = order_.front();
    const auto found = by_key_.find(oldest.key);
    if (found != by_key_.end() && found->second.number == oldest.number) by_key_.erase(found);
    bytes_ -= oldest.bytes;
    forgotten_ = oldest.when;
    order_.pop_front();
  }

  std::size_t keys_max_;
  std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  std::uint64_t last_number_ = 0;
  std::optional<Time> forgotten_;  // the latest
  std::deque<Order> order_;
  KeyMap<Remembered> by_key_;
};

}  // namespace onced::engine
