#include "engine/eviction_order.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <onced/protocol/result.hpp>

namespace onced::engine {
namespace {

constexpr double merits_per_octave = 8;

std::int64_t rounded(double log_merit) { return static_cast<std::int64_t>(std::floor(log_merit * merits_per_octave)); }

}  // namespace

double log_cost_per_byte(std::uint64_t cost_us, std::uint64_t bytes) {
  return std::log2(static_cast<double>(std::max<std::uint64_t>(cost_us, 1))) -
         std::log2(static_cast<double>(std::max<std::uint64_t>(bytes, 1)));
}

EvictionOrder::Place EvictionOrder::insert(Entry& entry, double log_merit) {
  const auto queue = queues_.try_emplace(rounded(log_merit)).first;
  ++size_;
  return {queue, queue->second.insert(queue->second.end(), &entry)};
}

void EvictionOrder::move(Place& place, double log_merit) { move_to(place, rounded(log_merit)); }

void EvictionOrder::move_to_end(Place& place) { move_to(place, queues_.rbegin()->first); }

void EvictionOrder::move_to(Place& place, std::int64_t merit) {
  const auto from = place.queue;
  const auto to = from->first == merit ? from : queues_.try_emplace(merit).first;
  to->second.splice(to->second.end(), from->second, place.at);
  place.queue = to;
  if (from->second.empty()) queues_.erase(from);
}

void EvictionOrder::erase(const Place& place) {
  place.queue->second.erase(place.at);
  if (place.queue->second.empty()) queues_.erase(place.queue);
  --size_;
}

Entry* EvictionOrder::after(const Place& place) const {
  if (const auto next = std::next(place.at); next != place.queue->second.end()) return *next;
  const auto queue = std::next(place.queue);
  return queue == queues_.end() ? nullptr : queue->second.front();
}

void EvictionOrder::check_invariants() const {
  std::size_t values = 0;
  for (const auto& [merit, queue] : queues_) {
    ONCED_ASSERT(!queue.empty());
    values += queue.size();
  }
  ONCED_ASSERT(values == size_);
}

}  // namespace onced::engine
