#include "memory/reclaimer.hpp"

#include <algorithm>
#include <iterator>

namespace onced::memory {

void Reclaimer::retire(std::uint64_t offset, std::size_t bytes, Holds holds, std::uint64_t blob_bytes, bool of_session) {
  const bool with_blobs = holds == Holds::blobs;
  (with_blobs || of_session ? urgent_ : waiting_).push_back({offset, bytes, blob_bytes, 0, of_session, with_blobs});
  retired_of_sessions_ += of_session ? 1U : 0U;
  retired_bytes_ += bytes;
}

std::size_t Reclaimer::reclaim() {
  // Whatever is still to be wiped: blobs are large, and go with the scan.
  const bool scanned = !urgent_.empty();
  if (scanned) scan();
  std::size_t freed = wipe_unpinned(wipe_bytes_per_call);
  if (!scanned && freed < wipe_bytes_per_call && !waiting_.empty()) {
    scan();
    freed += wipe_unpinned(wipe_bytes_per_call - freed);
  }
  return freed;
}

std::size_t Reclaimer::wipe_unpinned(std::size_t bytes_max) {
  std::size_t freed = 0;
  for (auto* const records : {&unpinned_of_sessions_, &unpinned_}) {
    while (!records->empty() && freed < bytes_max) {
      const Retired record = records->back();
      records->pop_back();
      arena_.wipe_and_free(base_ + record.offset, record.bytes);
      freed += record.bytes;
      retired_of_sessions_ -= record.of_session ? 1U : 0U;
    }
  }
  retired_bytes_ -= freed;
  return freed;
}

// Moves to unpinned_ what nobody pins. All that waits was unlinked before this begins.
void Reclaimer::scan() {
  // After the slot stores, before the pin loads: pairs with the unfenced claim in claim_pin() (segment_reader.cpp).
  if (barrier_) barrier_();
  const auto by_offset = [](const Retired& a, const Retired& b) { return a.offset < b.offset; };
  const auto lists = {&urgent_, &waiting_};
  for (auto* const list : lists) std::sort(list->begin(), list->end(), by_offset);
  kept_.clear();
  kept_most_ = {};
  std::size_t page = 0;
  Kept kept;  // by the present page
  const auto end_page = [&] {
    if (kept.bytes == 0) return;
    kept_[kept.by] = kept.bytes;
    if (kept.bytes > kept_most_.bytes) kept_most_ = kept;
  };
  const auto begin_page = [&](engine::ConnectionId connection) {
    end_page();
    ++page;
    kept = {connection, 0};
  };
  pins_.for_each_pin_by_page(begin_page, [&](std::uint64_t offset) {
    for (auto* const list : lists) {
      const auto found = std::lower_bound(list->begin(), list->end(), Retired{.offset = offset, .bytes = 0}, by_offset);
      if (found == list->end() || found->offset != offset || found->page == page) continue;
      found->page = page;  // a page may pin a record often, and it counts once
      kept.bytes += found->bytes + found->blob_bytes;
    }
  });
  end_page();
  move_unpinned(urgent_);
  move_unpinned(waiting_);
  kept_bytes_ = 0;
  for (const auto* const list : lists)
    for (const Retired& record : *list) kept_bytes_ += record.bytes + record.blob_bytes;
}

void Reclaimer::move_unpinned(std::vector<Retired>& waiting) {
  const auto unpinned = std::partition(waiting.begin(), waiting.end(), [](const Retired& r) { return r.page != 0; });
  for (auto record = unpinned; record != waiting.end(); ++record) {
    // Told once: it is in no list any more that a scan looks at.
    if (record->holds_blobs && blobs_unpinned_) blobs_unpinned_(record->offset);
    (record->of_session ? unpinned_of_sessions_ : unpinned_).push_back(*record);
  }
  waiting.erase(unpinned, waiting.end());
  for (Retired& record : waiting) record.page = 0;
}

}  // namespace onced::memory
