#include "peers/eviction_policies.hpp"

#include <algorithm>
#include <deque>
#include <set>
#include <tuple>

namespace onced::bench {
namespace {

class Lru final : public EvictionPolicy {
 public:
  using EvictionPolicy::EvictionPolicy;
  bool keeps(ItemNumber item) const override { return places_.contains(item); }
  void hit(ItemNumber item) override { order_.splice(order_.end(), order_, places_.at(item)); }

 private:
  void evict() override {
    const ItemNumber victim = order_.front();
    order_.pop_front();
    places_.erase(victim);
    gone(victim);
  }
  void insert(ItemNumber item) override { places_[item] = order_.insert(order_.end(), item); }

  std::list<ItemNumber> order_;  // the least recently used first
  std::unordered_map<ItemNumber, std::list<ItemNumber>::iterator> places_;
};

// Items in order of their arrival, with the bytes of them all.
class ByteQueue {
 public:
  explicit ByteQueue(std::span<const CacheItem> items) : items_(items) {}
  bool empty() const { return order_.empty(); }
  std::uint64_t bytes() const { return bytes_; }
  void push(ItemNumber item) {
    order_.push_back(item);
    bytes_ += items_[item].bytes;
  }
  ItemNumber pop() {
    const ItemNumber oldest = order_.front();
    order_.pop_front();
    bytes_ -= items_[oldest].bytes;
    return oldest;
  }

 private:
  std::span<const CacheItem> items_;
  std::deque<ItemNumber> order_;
  std::uint64_t bytes_ = 0;
};

class S3Fifo final : public EvictionPolicy {
 public:
  S3Fifo(std::span<const CacheItem> items, std::uint64_t capacity_bytes)
      : EvictionPolicy(items, capacity_bytes), small_(items), main_(items), ghost_order_(items) {}
  bool keeps(ItemNumber item) const override { return uses_.contains(item); }
  void hit(ItemNumber item) override {
    int& uses = uses_.at(item);
    uses = std::min(uses + 1, 3);
  }

 private:
  void evict() override {
    if (small_.bytes() >= capacity_bytes() / 10 || main_.empty()) evict_small();
    else evict_main();
  }
  void evict_small() {
    while (!small_.empty()) {
      const ItemNumber oldest = small_.pop();
      if (uses_.at(oldest) <= 1) {
        uses_.erase(oldest);
        gone(oldest);
        return remember(oldest);
      }
      uses_.at(oldest) = 0;
      main_.push(oldest);
      if (main_.bytes() > main_bytes_max()) return evict_main();
    }
    evict_main();
  }
  void evict_main() {
    while (!main_.empty()) {
      const ItemNumber oldest = main_.pop();
      if (int& uses = uses_.at(oldest); uses > 0) {
        --uses;
        main_.push(oldest);
        continue;
      }
      uses_.erase(oldest);
      return gone(oldest);
    }
  }
  void insert(ItemNumber number) override {
    uses_[number] = 0;
    (ghosts_.erase(number) != 0 ? main_ : small_).push(number);
  }
  void remember(ItemNumber number) {
    ++ghosts_made_;
    ghosts_[number] = ghosts_made_;
    ghost_order_.push(number);
    while (ghost_order_.bytes() > main_bytes_max()) {
      const std::uint64_t made = ++ghosts_forgotten_;  // they go in the order in which they were made
      const ItemNumber oldest = ghost_order_.pop();
      if (const auto found = ghosts_.find(oldest); found != ghosts_.end() && found->second == made) ghosts_.erase(found);
    }
  }
  std::uint64_t main_bytes_max() const { return capacity_bytes() / 10 * 9; }

  std::unordered_map<ItemNumber, int> uses_;  // of what is kept
  ByteQueue small_;
  ByteQueue main_;
  std::unordered_map<ItemNumber, std::uint64_t> ghosts_;  // the which-th that was made
  ByteQueue ghost_order_;
  std::uint64_t ghosts_made_ = 0;
  std::uint64_t ghosts_forgotten_ = 0;
};

class Gdsf final : public EvictionPolicy {
 public:
  using EvictionPolicy::EvictionPolicy;
  bool keeps(ItemNumber item) const override { return kept_.contains(item); }
  void hit(ItemNumber item) override {
    Kept& kept = kept_.at(item);
    order_.erase({kept.priority, kept.ordered, item});
    ++kept.uses;
    put_in_order(item, kept);
  }

 private:
  struct Kept {
    std::uint64_t uses = 1;
    double priority = 0;
    std::uint64_t ordered = 0;
  };

  void evict() override {
    const auto [priority, ordered, victim] = *order_.begin();
    age_ = priority;
    order_.erase(order_.begin());
    kept_.erase(victim);
    gone(victim);
  }
  void insert(ItemNumber item) override { put_in_order(item, kept_[item]); }
  void put_in_order(ItemNumber number, Kept& kept) {
    const CacheItem& one = item(number);
    kept.priority = age_ + static_cast<double>(kept.uses) * static_cast<double>(one.cost_us) / static_cast<double>(one.bytes);
    kept.ordered = ++ordered_;
    order_.emplace(kept.priority, kept.ordered, number);
  }

  std::unordered_map<ItemNumber, Kept> kept_;
  std::set<std::tuple<double, std::uint64_t, ItemNumber>> order_;
  double age_ = 0;
  std::uint64_t ordered_ = 0;
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_lru(std::span<const CacheItem> items, std::uint64_t capacity_bytes) {
  return std::make_unique<Lru>(items, capacity_bytes);
}
std::unique_ptr<EvictionPolicy> make_s3_fifo(std::span<const CacheItem> items, std::uint64_t capacity_bytes) {
  return std::make_unique<S3Fifo>(items, capacity_bytes);
}
std::unique_ptr<EvictionPolicy> make_gdsf(std::span<const CacheItem> items, std::uint64_t capacity_bytes) {
  return std::make_unique<Gdsf>(items, capacity_bytes);
}

}  // namespace onced::bench
