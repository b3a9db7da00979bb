#include "memory/reclaimer.hpp"

#include <algorithm>
#include <iterator>

namespace onced::memory {

void Reclaimer::retire(std::uint64_t offset, std::size_t bytes) {
  waiting_.push_back({offset, bytes});
  retired_bytes_ += bytes;
}

std::size_t Reclaimer::reclaim() {
  std::size_t freed = wipe_unpinned(wipe_bytes_per_call);
  if (freed < wipe_bytes_per_call && !waiting_.empty()) {
    scan();
    freed += wipe_unpinned(wipe_bytes_per_call - freed);
  }
  return freed;
}

std::size_t Reclaimer::wipe_unpinned(std::size_t bytes_max) {
  std::size_t freed = 0;
  while (!unpinned_.empty() && freed < bytes_max) {
    const Retired record = unpinned_.back();
    unpinned_.pop_back();
    arena_.wipe_and_free(base_ + record.offset, record.bytes);
    if (freed_) freed_(record.offset);
    freed += record.bytes;
  }
  retired_bytes_ -= freed;
  return freed;
}

// Moves from waiting_ to unpinned_ what nobody pins. All of waiting_ was unlinked before this begins.
void Reclaimer::scan() {
  const auto by_offset = [](const Retired& a, const Retired& b) { return a.offset < b.offset; };
  std::sort(waiting_.begin(), waiting_.end(), by_offset);
  pins_.for_each_pin([&](std::uint64_t offset) {
    const auto found = std::lower_bound(waiting_.begin(), waiting_.end(), Retired{offset, 0}, by_offset);
    if (found != waiting_.end() && found->offset == offset) found->pinned = true;
  });
  const auto unpinned = std::partition(waiting_.begin(), waiting_.end(), [](const Retired& r) { return r.pinned; });
  unpinned_.insert(unpinned_.end(), unpinned, waiting_.end());
  waiting_.erase(unpinned, waiting_.end());
  for (Retired& record : waiting_) record.pinned = false;
}

}  // namespace onced::memory
