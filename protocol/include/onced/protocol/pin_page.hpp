// The layout of a connection's pin page: what one client says about its reading, in memory that it shares with the
// daemon alone. SHM.md, "Pin page".
//
// A pin holds the offset of a record that somebody reads in place; 0 is free. The daemon reads all pins after it has
// unlinked a record and before it reuses its memory (Dekker: both sides store, then load, with a full fence between; the
// daemon can issue the reader's too, LineUse::exclusive_fenced).
//
// Two kinds of lines: client lines, claimed by the client's threads (compare-and-swap 0 -> offset, or a plain store by the
// line's one owner), and granted lines,
// in which the daemon sets pins on the client's behalf when it answers a request with a record (again by
// compare-and-swap 0 -> offset). Both are cleared by the client, from any thread.
//
// Trust: the client may scribble anything here at any time. The daemon reads each word once, checks its range, never
// waits on it and never follows it. A client that lies harms what it reads itself, and nothing else.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace onced::protocol {

inline constexpr std::uint64_t pin_page_magic = 0x4e49'5044'4543'4e4fULL;  // "ONCEDPIN"
inline constexpr std::uint32_t pin_page_layout_version = 2;
inline constexpr std::size_t pins_per_line = 8;
inline constexpr std::size_t client_pin_lines = 64;
inline constexpr std::size_t granted_pin_lines = 64;
inline constexpr std::size_t client_pins = client_pin_lines * pins_per_line;    // pin numbers [0, 512)
inline constexpr std::size_t granted_pins = granted_pin_lines * pins_per_line;  // pin numbers [512, 1024)
inline constexpr std::size_t hit_table_entries = 1024;
inline constexpr std::size_t session_marks = 65536;      // one bit for each entry of a segment's session table, at most
inline constexpr std::size_t counter_functions = 256;  // function numbers from 255 on share the last one, "other"

struct alignas(64) PinLine {
  std::atomic<std::uint64_t> pins[pins_per_line];
};

// Hits of one function counted by one thread's line. Plain load-add-store by the line's owner; a line that several
// threads share is added to with fetch_add. The daemon folds the totals into its statistics, clamped.
struct HitCounter {
  std::atomic<std::uint64_t> hits;
  std::atomic<std::uint64_t> saved_us;  // sum of the records' cost_us
};

struct PinPage {
  std::uint64_t magic;
  std::uint32_t layout_version;
  std::uint32_t reserved0;
  // How many client lines are in use, from the first: written by the client (seq_cst) before it first uses a line, so
  // that the daemon need not scan the others. More than client_pin_lines counts as all.
  alignas(64) std::atomic<std::uint32_t> client_lines_used;
  std::uint8_t reserved1[4096 - 68];
  PinLine client_lines[client_pin_lines];
  PinLine granted_lines[granted_pin_lines];
  // Recently hit index words, by (word >> 6) % hit_table_entries: for eviction. Lossy; unchanged entries are not
  // rewritten; the daemon zeroes what it has read.
  std::atomic<std::uint64_t> hit_table[hit_table_entries];
  HitCounter counters[client_pin_lines][counter_functions];
  // Sessions that were used by hits since the daemon last looked: bit number % sessions_count. Set by the client (relaxed), cleared
  // by the daemon. All that a client can bring about by setting others is that sessions of its own namespace live longer.
  std::atomic<std::uint64_t> session_uses[session_marks / 64];
};
// The last pin of a client line is for copying: claimed when the others hold live views, cleared as soon as the value
// has been copied out.
inline constexpr std::size_t copying_pin = pins_per_line - 1;

static_assert(sizeof(PinLine) == 64);
static_assert(sizeof(HitCounter) == 16);
static_assert(offsetof(PinPage, client_lines_used) == 64);
static_assert(offsetof(PinPage, client_lines) == 4096);
static_assert(offsetof(PinPage, granted_lines) == 8192);
static_assert(offsetof(PinPage, hit_table) == 12288);
static_assert(offsetof(PinPage, counters) == 20480);
static_assert(offsetof(PinPage, session_uses) == 282624);
static_assert(sizeof(PinPage) == 282624 + 65536 / 8);

}  // namespace onced::protocol
