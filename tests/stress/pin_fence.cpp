// Whether the daemon's barrier takes the place of the reader's fence: one look-up against one unlink and scan, again and again.
//
// In every round a reader looks a key up while the writer unlinks its record and reclaims memory. One of two things must happen:
// the reader misses, or the scan sees its pin. A hit whose memory was wiped nevertheless is what this program looks for. Before
// its look-up the reader stores to memory far away: its processor is busy with those when the pin is stored, so that the pin stays in
// the store buffer for long.
//
// `onced_pin_fence [ROUNDS]` issues the barrier: not one such round may be. `onced_pin_fence --without-barrier [ROUNDS]` leaves it out:
// such a round must turn up, else this program would prove nothing.
// Exit status: 0 as it must be, 3 not so, 77 no barrier or no second processor here, 2 usage.
#include <sched.h>

#include <atomic>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include <onced/protocol/segment_reader.hpp>

#include "memory/segment_store.hpp"
#include "tests/memory/aligned_memory.hpp"
#include "tests/memory/reader_registration.hpp"

namespace {

using namespace onced;
using protocol::LineUse;
using protocol::LookupOutcome;

constexpr const char* key = "key";
constexpr std::size_t far_bytes = std::size_t{64} << 20;
constexpr std::size_t far_stores = 24;  // fewer than a store buffer holds

// What the two threads tell each other. Release by who stores, acquire by who waits: each round is over for both
// before the next one begins.
struct Turns {
  std::atomic<std::uint64_t> begun{0};     // the writer: round n may begin
  std::atomic<std::uint64_t> looked_up{0};  // the reader: 2n a miss, 2n + 1 a hit, whose pin is set
  std::atomic<std::uint64_t> judged{0};    // the writer: the pin of round n may go
  std::atomic<bool> done{false};
};

// Spins: the two are to meet within nanoseconds. Lets others run when it takes long.
template <typename Condition>
void spin_until(Condition condition) {
  for (unsigned spins = 1; !condition(); ++spins) {
    if (spins % 20'000 == 0) ::sched_yield();
  }
}

// The calling thread, to the `number`th of the processors it may use: on the same one the two would never meet.
void stay_on(const cpu_set_t& processors, unsigned number) {
  for (unsigned processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (!CPU_ISSET(processor, &processors) || number-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    ::sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

void look_up(Turns& turns, const protocol::SegmentReader& reader, protocol::PinPage& page) {
  std::vector<std::uint64_t> far(far_bytes / sizeof(std::uint64_t));
  std::mt19937_64 random(1);
  const protocol::KeyHash hash = reader.hash(key);
  for (std::uint64_t round = 1;; ++round) {
    std::size_t places[far_stores];
    for (std::size_t& place : places) place = random() % far.size();
    spin_until([&] { return turns.begun.load(std::memory_order_acquire) >= round || turns.done.load(std::memory_order_acquire); });
    if (turns.done.load(std::memory_order_acquire)) return;
    for (const std::size_t place : places) {
      // Relaxed: nobody reads it.
      std::atomic_ref(far[place]).store(round, std::memory_order_relaxed);
    }
    const auto found = reader.lookup(key, hash, page, 0, LineUse::exclusive_fenced);
    const bool hit = found.outcome == LookupOutcome::hit;
    turns.looked_up.store(2 * round + hit, std::memory_order_release);
    spin_until([&] { return turns.judged.load(std::memory_order_acquire) == round; });
    if (hit) protocol::release_pin(page, found.pin);
  }
}

int run(std::uint64_t rounds, bool without_barrier) {
  cpu_set_t processors;
  CPU_ZERO(&processors);
  if (::sched_getaffinity(0, sizeof processors, &processors) == 0 && CPU_COUNT(&processors) < 2) {
    std::printf("one processor: no two threads meet\n");
    return 77;
  }
  memory::ReaderBarrier barrier = memory::kernel_reader_barrier();
  if (!barrier || !test::register_reader()) {
    std::printf("no membarrier(GLOBAL_EXPEDITED) here\n");
    return 77;
  }
  if (without_barrier) barrier = [] {};
  test::AlignedMemory memory(256 * 1024);
  const auto store = std::move(*memory::SegmentStore::create(memory.bytes(), 1, 1, {}, barrier));
  test::HeapPinPage page;
  store->add_page(engine::ConnectionId{1}, *page);
  const auto reader = protocol::SegmentReader::open(store->segment());
  Turns turns;
  std::thread looking([&] {
    stay_on(processors, 1);
    look_up(turns, *reader, *page);
  });
  stay_on(processors, 0);

  const std::vector<protocol::Part> parts{{"", "", "value"}};
  engine::RecordImage image;
  image.key = key;
  image.parts = &parts;
  std::mt19937_64 random(2);
  std::uint64_t hits = 0, seen = 0, wrong = 0;
  std::uint64_t round = 1;
  for (; round <= rounds && wrong == 0; ++round) {
    const auto placed = store->place(image, std::nullopt);
    if (placed.outcome != engine::RecordStore::Outcome::placed) std::abort();
    const std::uint64_t wait = random() % 4000;
    turns.begun.store(round, std::memory_order_release);
    for (std::uint64_t i = 0; i < wait; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
    store->unlink(placed.record);
    const bool freed = store->reclaim() > 0;
    spin_until([&] { return turns.looked_up.load(std::memory_order_acquire) >= 2 * round; });
    const bool hit = turns.looked_up.load(std::memory_order_acquire) % 2 == 1;
    hits += hit;
    seen += !freed;
    wrong += hit && freed;
    turns.judged.store(round, std::memory_order_release);
    if (!freed) spin_until([&] { return store->reclaim() > 0; });
  }
  turns.done.store(true, std::memory_order_release);
  looking.join();
  std::printf("%" PRIu64 " rounds: %" PRIu64 " hits, %" PRIu64 " pins seen, %" PRIu64 " hits on memory that was wiped\n", round - 1, hits, seen, wrong);
  if (hits == 0 || hits == round - 1) std::printf("look-up and unlink never met\n");
  return (wrong > 0) == without_barrier ? 0 : 3;
}

}  // namespace

int main(int argc, char** argv) {
  int at = 1;
  const bool without_barrier = argc > at && std::strcmp(argv[at], "--without-barrier") == 0;
  at += without_barrier;
  const std::uint64_t rounds = argc > at ? std::strtoull(argv[at++], nullptr, 10) : without_barrier ? 10'000'000 : 10'000;
  if (rounds == 0 || at != argc) {
    std::fprintf(stderr, "usage: onced_pin_fence [--without-barrier] [ROUNDS]\n");
    return 2;
  }
  return run(rounds, without_barrier);
}
