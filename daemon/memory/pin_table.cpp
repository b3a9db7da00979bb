#include "memory/pin_table.hpp"

#include <algorithm>
#include <utility>

#include <onced/protocol/result.hpp>

namespace onced::memory {

using protocol::PinPage;
using protocol::pins_per_line;

namespace {

std::atomic<std::uint64_t>& granted_pin(PinPage& page, std::size_t number) {
  return page.granted_lines[number / pins_per_line].pins[number % pins_per_line];
}

}  // namespace

PinPage& format_pin_page(std::span<std::byte> bytes) {
  ONCED_ASSERT(bytes.size() >= sizeof(PinPage));
  ONCED_ASSERT(reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(PinPage) == 0);
  auto& page = *reinterpret_cast<PinPage*>(bytes.data());
  page.magic = protocol::pin_page_magic;
  page.layout_version = protocol::pin_page_layout_version;
  return page;
}

void PinTable::add(engine::ConnectionId connection, PinPage& page) {
  const bool fresh = position_.emplace(connection, entries_.size()).second;
  ONCED_ASSERT(fresh);
  entries_.push_back({connection, &page, 0, 0, std::make_unique<HitClaims>()});
}

void PinTable::remove(engine::ConnectionId connection, std::size_t session_places) {
  const auto found = position_.find(connection);
  if (found == position_.end()) return;
  const std::size_t position = found->second;
  position_.erase(found);
  Entry& entry = entries_[position];
  entry.claims->take(*entry.page, totals_);
  for (const auto& hit : entry.page->hit_table) {
    // Relaxed: as in harvest().
    const std::uint64_t word = hit.load(std::memory_order_relaxed);
    if (word != 0 && words_of_the_dead_.size() < words_of_the_dead_max) words_of_the_dead_.push_back(word);
  }
  for (std::size_t word = 0; word < (session_places + 63) / 64; ++word) {
    // Relaxed: pairs with nothing; of a claim that nothing is ordered by.
    const std::uint64_t marks = entry.page->session_uses[word].load(std::memory_order_relaxed);
    if (marks == 0) continue;
    marks_of_the_dead_.resize(protocol::session_marks / 64);
    marks_of_the_dead_[word] |= marks;
  }
  if (position + 1 != entries_.size()) {
    entry = std::move(entries_.back());
    position_[entry.connection] = position;
  }
  entries_.pop_back();
}

std::optional<std::uint32_t> PinTable::grant(engine::ConnectionId connection, std::uint64_t offset) {
  const auto found = position_.find(connection);
  if (found == position_.end()) return std::nullopt;
  Entry& entry = entries_[found->second];
  const auto try_claim = [&](std::size_t number) {
    std::uint64_t free = 0;
    // Seq_cst: pairs with our own scan, and keeps the rule that pins have one kind of claim. The record is live, so no
    // slot needs a second look: the strand that grants is the one that unlinks.
    return granted_pin(*entry.page, number)
        .compare_exchange_strong(free, offset, std::memory_order_seq_cst, std::memory_order_relaxed);
  };
  const std::size_t in_use = entry.granted_lines_used * pins_per_line;
  for (std::size_t step = 0; step < in_use; ++step) {
    const std::size_t number = (entry.next_grant + step) % in_use;
    if (!try_claim(number)) continue;
    entry.next_grant = number + 1;
    return static_cast<std::uint32_t>(protocol::client_pins + number);
  }
  // A line that was never granted from: all free, unless the client has scribbled there.
  while (entry.granted_lines_used < protocol::granted_pin_lines) {
    const std::size_t begin = entry.granted_lines_used++ * pins_per_line;
    for (std::size_t number = begin; number < begin + pins_per_line; ++number) {
      if (!try_claim(number)) continue;
      entry.next_grant = number + 1;
      return static_cast<std::uint32_t>(protocol::client_pins + number);
    }
  }
  return std::nullopt;
}

void PinTable::harvest(const std::function<void(std::uint64_t word)>& hit) {
  for (const std::uint64_t word : std::exchange(words_of_the_dead_, {})) hit(word);
  const std::size_t pages = std::min(entries_.size(), harvest_pages_per_call);
  for (std::size_t i = 0; i < pages; ++i) {
    next_harvest_ = (next_harvest_ + 1) % entries_.size();
    for (auto& entry : entries_[next_harvest_].page->hit_table) {
      // Relaxed: pairs with nothing. A hit noted between load and store is lost, as the table allows.
      const std::uint64_t word = entry.load(std::memory_order_relaxed);
      if (word == 0) continue;
      entry.store(0, std::memory_order_relaxed);
      hit(word);
    }
  }
}

bool PinTable::take_session_use(std::size_t place) {
  const std::size_t word = place / 64;
  const std::uint64_t mark = std::uint64_t{1} << (place % 64);
  bool used = false;
  for (const Entry& entry : entries_) {
    std::atomic<std::uint64_t>& marks = entry.page->session_uses[word];
    // Relaxed, both: pairs with InSession::mark_used(). A hit that finds the mark set just before it is cleared counts as before.
    if ((marks.load(std::memory_order_relaxed) & mark) == 0) continue;
    marks.fetch_and(~mark, std::memory_order_relaxed);
    used = true;
  }
  if (!marks_of_the_dead_.empty()) {
    used = used || (marks_of_the_dead_[word] & mark) != 0;
    marks_of_the_dead_[word] &= ~mark;
  }
  return used;
}

std::vector<HitTotals> PinTable::hit_totals() const {
  const std::size_t pages = std::min(entries_.size(), totals_pages_per_call);
  for (std::size_t i = 0; i < pages; ++i) {
    next_total_ = (next_total_ + 1) % entries_.size();
    entries_[next_total_].claims->take(*entries_[next_total_].page, totals_);
  }
  return totals_;
}

}  // namespace onced::memory
