// Which tags were invalidated while computations run that may turn out to have them: a computation names its tags only when
// it publishes.
//
// An invalidation is a stamp (directory.hpp), and a lease and a waiter have the stamp of when they came. It is remembered
// while a lease is under way that is older. Above `fences_max` the oldest are forgotten, and every lease that is older than one
// of those counts as invalidated, whatever tags its value has: some results are not kept, none is kept that must not be.
//
// Bounds: fences_max invalidations, a name and some 200 bytes each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <onced/protocol/limits.hpp>

#include "engine/key_map.hpp"

namespace onced::engine {

class TagFences {
 public:
  explicit TagFences(const BytesHash& hash, std::size_t fences_max = limits::tag_fences_max) : fences_max_(fences_max), by_tag_(0, hash) {}

  struct Fence {
    std::uint64_t stamp = 0;  // whoever asked when this was the newest, or later, must not get the value
    std::string tag;          // empty: it is forgotten which
  };

  // The tag was invalidated; stamps rise.
  void add(std::string_view tag, std::uint64_t stamp) {
    const auto at = by_tag_.try_emplace(std::string(tag)).first;
    at->second.push_back(stamp);
    order_.push_back({&at->first, stamp});
    if (order_.size() <= fences_max_) return;
    floor_ = order_.front().stamp;
    forget_oldest();
  }

  // The first invalidation of one of the tags after a lease of this stamp was granted; nothing: none.
  std::optional<Fence> of(const std::vector<std::string>& tags, std::uint64_t lease_stamp) const {
    if (tags.empty()) return std::nullopt;
    if (lease_stamp < floor_) return Fence{lease_stamp + 1, {}};
    std::optional<Fence> first;
    for (const std::string& tag : tags) {
      const auto found = by_tag_.find(tag);
      if (found == by_tag_.end()) continue;
      const std::deque<std::uint64_t>& stamps = found->second;
      const auto next = std::upper_bound(stamps.begin(), stamps.end(), lease_stamp);
      if (next != stamps.end() && (!first || *next < first->stamp)) first = Fence{*next, tag};
    }
    return first;
  }

  // No lease is older than this stamp.
  void forget_up_to(std::uint64_t stamp) {
    while (!order_.empty() && order_.front().stamp <= stamp) forget_oldest();
  }
  std::size_t size() const { return order_.size(); }

 private:
  struct Order {
    const std::string* tag;  // in by_tag_
    std::uint64_t stamp;
  };

  void forget_oldest() {
    const auto found = by_tag_.find(*order_.front().tag);
    found->second.pop_front();
    if (found->second.empty()) by_tag_.erase(found);
    order_.pop_front();
  }

  std::size_t fences_max_;
  KeyMap<std::deque<std::uint64_t>> by_tag_;
  std::deque<Order> order_;
  std::uint64_t floor_ = 0;  // of the invalidations that were forgotten too early, the newest
};

}  // namespace onced::engine
