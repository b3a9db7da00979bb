// What a hit costs beside std::unordered_map under std::mutex: 100,000 keys of about 30 bytes, 64-byte values, random
// order, key bytes built before, life and expiry checked. Interleaved rounds, medians, nanoseconds. Consumes results.
// The pin is claimed without a fence (the daemon issues it), and for comparison by compare-and-swap.
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <onced/protocol/segment_reader.hpp>

#include "memory/segment_store.hpp"
#include "tests/memory/aligned_memory.hpp"
#include "tests/memory/reader_registration.hpp"

namespace {

constexpr std::size_t key_count = 100'000;
constexpr int rounds = 12;

// Of this thread's own CPU time: what else runs on the machine costs only the caches that it takes.
double thread_nanoseconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

template <typename Body>
double nanoseconds_per_key(const std::vector<std::uint32_t>& order, Body body) {
  const double begin = thread_nanoseconds();
  for (const std::uint32_t key : order) body(key);
  return (thread_nanoseconds() - begin) / static_cast<double>(order.size());
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main() {
  using namespace onced;
  test::AlignedMemory memory(std::size_t{64} << 20);
  auto store = memory::SegmentStore::create(memory.bytes(), 1, 1, {}, memory::kernel_reader_barrier());
  if (!store || !test::register_reader()) return 1;
  test::HeapPinPage page;
  (*store)->add_page(engine::ConnectionId{1}, *page);
  const auto reader = protocol::SegmentReader::open((*store)->segment());

  std::vector<std::string> keys;
  std::unordered_map<std::string, std::string> map;
  std::mutex mutex;
  for (std::size_t i = 0; i < key_count; ++i) keys.push_back("benchmark.function/version/" + std::to_string(i));
  std::vector<std::uint32_t> order(key_count);
  for (std::uint32_t i = 0; i < key_count; ++i) order[i] = i;
  std::mt19937 random(1);
  // Stored in one order, looked up in another: else a map's nodes lie beside the very key that is looked up.
  std::shuffle(order.begin(), order.end(), random);
  for (const std::uint32_t i : order) {
    const std::vector<protocol::Part> parts{{"", "", std::string(64, static_cast<char>(i))}};
    engine::RecordImage image;
    image.key = keys[i];
    image.parts = &parts;
    if ((*store)->place(image, std::nullopt).outcome != engine::RecordStore::Outcome::placed) return 1;
    map.emplace(keys[i], parts[0].bytes);
  }
  std::shuffle(order.begin(), order.end(), random);

  // A second thread, asleep: alone in its process a mutex is no lock at all (the C library leaves out the locked
  // instructions while there is one thread), and nobody would need one.
  std::atomic<bool> done{false};
  std::thread sleeper([&] { done.wait(false); });

  std::uint64_t sum = 0;
  const auto hit = [&](protocol::LineUse use) {
    return nanoseconds_per_key(order, [&](std::uint32_t i) {
      const std::string& key = keys[i];
      const auto found = reader->lookup(key, reader->hash(key), *page, 0, use);
      if (found.outcome != protocol::LookupOutcome::hit) std::abort();
      const auto part = reader->part(found.record, 0);
      std::uint64_t word = 0;
      std::memcpy(&word, part->bytes.data(), sizeof word);
      sum += word;
      protocol::release_pin(*page, found.pin);
    });
  };
  std::vector<double> fenced_ns, swapped_ns, map_ns;
  for (int round = 0; round < rounds; ++round) {
    // After the map the caches are full of it; and whoever comes second finds them warmer.
    (void)hit(protocol::LineUse::exclusive);
    if (round % 2 == 0) fenced_ns.push_back(hit(protocol::LineUse::exclusive_fenced));
    swapped_ns.push_back(hit(protocol::LineUse::exclusive));
    if (round % 2 == 1) fenced_ns.push_back(hit(protocol::LineUse::exclusive_fenced));
    map_ns.push_back(nanoseconds_per_key(order, [&](std::uint32_t i) {
      const std::lock_guard lock(mutex);
      std::uint64_t word = 0;
      std::memcpy(&word, map.find(keys[i])->second.data(), sizeof word);
      sum += word;
    }));
  }
  done.store(true);
  done.notify_all();
  sleeper.join();
  std::printf("hit %.1f ns (with a compare-and-swap %.1f ns), unordered_map + mutex %.1f ns, ratio %.2f (%llu)\n", median(fenced_ns),
              median(swapped_ns), median(map_ns), median(fenced_ns) / median(map_ns), static_cast<unsigned long long>(sum));
}
