// The pin pages of all connections of a namespace: what their readers pin, hit and claim to have saved.
//
// Ownership: borrows the pages; a page outlives its entry. Memory of our own is bounded per page, whatever it holds.
// Threads:   the strand. Clients' threads change the pages at any time.
// Trust:     a page is hostile. Each word is read once and compared, never followed, never waited on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include <onced/protocol/pin_page.hpp>

#include "engine/record_store.hpp"
#include "engine/types.hpp"
#include "memory/hit_claims.hpp"

namespace onced::memory {

// Makes zeroed memory a pin page. `bytes` has at least sizeof(PinPage), aligned to a cache line.
protocol::PinPage& format_pin_page(std::span<std::byte> bytes);

class PinTable {
 public:
  // A connection has at most one page.
  void add(engine::ConnectionId connection, protocol::PinPage& page);
  // Its pins no longer count, what it claims is added to the totals for good, and the next harvest() reports its hits: a reader that lives
  // shortly is heard, too. Unknown connections are ignored.
  // Its marks of the first `session_places` places are kept for take_session_use().
  void remove(engine::ConnectionId connection, std::size_t session_places = protocol::session_marks);
  std::size_t size() const { return entries_.size(); }

  // Calls pinned(offset) for every pin that is set, in no order; offsets are unchecked. Seq_cst loads: a pin whose
  // reader passed its second slot load before a slot was stored, and is still set, is seen by any scan that begins
  // after it; one that was claimed without a fence, by any scan that begins with a reader barrier (Reclaimer::scan).
  template <typename Pinned>
  void for_each_pin(Pinned pinned) const {
    for_each_pin_by_page([](engine::ConnectionId) {}, pinned);
  }
  // Likewise, page by page: page(connection) comes before the pins of each.
  template <typename Page, typename Pinned>
  void for_each_pin_by_page(Page page, Pinned pinned) const {
    for (const Entry& entry : entries_) {
      page(entry.connection);
      scan_lines(entry.page->client_lines, client_lines_in_use(*entry.page), pinned);
      scan_lines(entry.page->granted_lines, entry.granted_lines_used, pinned);
    }
  }

  // Sets a free granted pin to `offset`, which must be the offset of a live record: its number in the page, or nothing
  // when there is no page or no free pin. Reads each granted pin at most once.
  std::optional<std::uint32_t> grant(engine::ConnectionId connection, std::uint64_t offset);

  // Reports index words from the hit tables, unchecked, and empties what it has read. At most harvest_pages_per_call
  // pages, the next ones in turn with every call. `hit` must not change this table.
  static constexpr std::size_t harvest_pages_per_call = 64;
  // So many words of removed pages are kept at most; what is more is lost, as the table allows.
  static constexpr std::size_t words_of_the_dead_max = 4096;
  void harvest(const std::function<void(std::uint64_t word)>& hit);

  // Whether any page, living or dead, has this place's mark; clears it. One look at each page.
  bool take_session_use(std::size_t place);

  // Sums over all pages, living and dead, by function number. Reads at most totals_pages_per_call living pages anew, the
  // next ones in turn with every call: with more connections a living one's part may be as old as the last round. What a
  // page claimed when it was removed is in it exactly.
  static constexpr std::size_t totals_pages_per_call = engine::RecordStore::totals_pages_per_call;
  std::vector<HitTotals> hit_totals() const;

 private:
  struct Entry {
    engine::ConnectionId connection;
    protocol::PinPage* page;
    std::size_t granted_lines_used = 0;  // ours: only lines in which we have set a pin need a scan
    std::size_t next_grant = 0;          // where to look for a free one
    std::unique_ptr<HitClaims> claims;   // what of this page is in the totals
  };

  template <typename Pinned>
  static void scan_lines(const protocol::PinLine* lines, std::size_t count, Pinned& pinned) {
    for (std::size_t line = 0; line < count; ++line) {
      for (const auto& pin : lines[line].pins) {
        // Seq_cst: pairs with the fenced claim_pin() of the reader and with grant(). Acquire: what was read through a
        // pin that is clear again happened before we reuse the memory; pairs with release_pin(), also by way of a
        // later claim of the same pin (a compare-and-swap, or acquire and release).
        if (const std::uint64_t offset = pin.load(std::memory_order_seq_cst); offset != 0) pinned(offset);
      }
    }
  }

  std::vector<Entry> entries_;
  std::unordered_map<engine::ConnectionId, std::size_t> position_;  // in entries_
  std::size_t next_harvest_ = 0;
  std::vector<std::uint64_t> words_of_the_dead_;  // of their hit tables
  std::vector<std::uint64_t> marks_of_the_dead_;  // as in a page; made with the first
  // What is known of the pages; asking for it makes it newer.
  mutable std::vector<HitTotals> totals_;
  mutable std::size_t next_total_ = 0;
};

}  // namespace onced::memory
