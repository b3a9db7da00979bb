// Readers beside an index that grows under them: what is stored is found at every moment.
#include <doctest/doctest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <onced/protocol/segment_reader.hpp>

#include "memory/segment_store.hpp"
#include "tests/memory/aligned_memory.hpp"

using namespace onced;

TEST_CASE("a key that is stored is never missed while the index grows") {
  constexpr std::size_t keys_max = 30'000;
  constexpr std::size_t readers = 2;
  test::AlignedMemory memory(std::size_t{64} << 20);
  auto store = std::move(*memory::SegmentStore::create(memory.bytes(), 5, 6));
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < keys_max; ++i) keys.push_back("key " + std::to_string(i));
  const std::vector<protocol::Part> parts{{"", "", "value"}};
  const auto& header = *reinterpret_cast<const protocol::SegmentHeader*>(memory.bytes().data());

  std::atomic<std::size_t> stored{0};
  std::atomic<std::size_t> lost{0};
  std::atomic<std::uint64_t> hits_while_growing{0};
  std::vector<test::HeapPinPage> pages(readers);
  for (std::size_t i = 0; i < readers; ++i) store->add_page(engine::ConnectionId{i + 1}, *pages[i]);
  {
    std::vector<std::jthread> threads;
    for (std::size_t number = 0; number < readers; ++number) {
      threads.emplace_back([&, number] {
        const auto reader = protocol::SegmentReader::open(memory.bytes());
        std::mt19937_64 random(number);
        while (true) {
          const std::size_t there = stored.load(std::memory_order_acquire);
          if (there == keys_max) return;
          if (there == 0) continue;
          // The newest as often as any other: its bucket is about to be split.
          const std::string& key = keys[random() % 2 == 0 ? there - 1 : random() % there];
          const auto found = reader->lookup(key, reader->hash(key), *pages[number], 0);
          if (found.outcome != protocol::LookupOutcome::hit) {
            lost.fetch_add(1);
            continue;
          }
          protocol::release_pin(*pages[number], found.pin);
          hits_while_growing.fetch_add(1, std::memory_order_relaxed);
        }
      });
    }
    for (std::size_t i = 0; i < keys_max; ++i) {
      engine::RecordImage image;
      image.key = keys[i];
      image.parts = &parts;
      REQUIRE(store->place(image, std::nullopt).outcome == engine::RecordStore::Outcome::placed);
      stored.store(i + 1, std::memory_order_release);
      // On a machine that is busy readers might not run at all while it grows.
      while (i % 1000 == 999 && hits_while_growing.load(std::memory_order_relaxed) < i / 10 && lost == 0) std::this_thread::yield();
    }
  }
  CHECK(lost == 0);
  CHECK(hits_while_growing > 0);
  CHECK(header.buckets_used > keys_max / 4);
  CHECK(header.buckets_used < keys_max);
}
