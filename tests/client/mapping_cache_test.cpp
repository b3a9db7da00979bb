#include "mapping_cache.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <random>
#include <thread>

#include "fake_daemon.hpp"

using namespace onced;
using namespace onced::testing;
using client_detail::BlobMapping;
using client_detail::BlobView;
using client_detail::Mapping;
using client_detail::MappingCache;

namespace {

constexpr std::size_t page_bytes = 4096;

// Memory that begins with its number.
Mapping memory_of(std::uint64_t number, std::size_t pages = 1) {
  void* const address = mmap(nullptr, pages * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::runtime_error("mmap");
  std::memcpy(address, &number, sizeof(number));
  return {address, pages * page_bytes};
}
std::uint64_t number_in(const BlobMapping& mapping) {
  std::uint64_t number = 0;
  std::memcpy(&number, mapping.memory.address(), sizeof(number));
  return number;
}

// A segment whose blob table the test writes.
struct Scene {
  explicit Scene(client_detail::MappingBounds bounds)
      : reader(*protocol::SegmentReader::open({static_cast<const std::byte*>(space.segment.address), space.segment.bytes})),
        cache(std::make_shared<MappingCache>(bounds, reader)) {}
  // As a value that names it does.
  engine::BlobId publish() {
    auto& blobs = space.store->blobs();
    const auto blob = blobs.create(page_bytes);
    if (!blob) throw std::runtime_error(blob.error().text);
    blobs.enlist(*blob);
    return *blob;
  }
  void drop(engine::BlobId blob) {
    space.store->blobs().delist(blob);
    space.store->blobs().release(blob);
  }
  void insert_unviewed(std::uint64_t blob, std::size_t pages = 1) { cache->release(cache->insert(blob, memory_of(blob, pages)), true); }
  bool has(std::uint64_t blob) {
    BlobMapping* const mapping = cache->find(blob);
    if (mapping == nullptr) return false;
    CHECK(number_in(*mapping) == blob);
    cache->release(mapping, true);
    return true;
  }
  FakeNamespace space;
  protocol::SegmentReader reader;
  std::shared_ptr<MappingCache> cache;
};

std::uint64_t number(engine::BlobId blob) { return static_cast<std::uint64_t>(blob); }

}  // namespace

TEST_CASE("what was mapped is found again, and nothing else") {
  Scene scene({1 << 20, 8});
  CHECK_FALSE(scene.has(5));
  scene.insert_unviewed(5);
  CHECK(scene.has(5));
  CHECK_FALSE(scene.has(6));
  CHECK(scene.cache->count() == 1);
  CHECK(scene.cache->bytes() == page_bytes);
}

TEST_CASE("beyond the count the least recently used mapping goes that nobody views") {
  Scene scene({1 << 20, 3});
  for (std::uint64_t blob = 1; blob <= 3; ++blob) scene.insert_unviewed(blob);
  CHECK(scene.has(1));
  scene.insert_unviewed(4);
  CHECK(scene.has(1));
  CHECK_FALSE(scene.has(2));
  CHECK(scene.has(3));
  CHECK(scene.has(4));
  BlobMapping* const one = scene.cache->find(1);
  BlobMapping* const three = scene.cache->find(3);
  for (std::uint64_t blob = 5; blob <= 20; ++blob) scene.insert_unviewed(blob);
  CHECK(number_in(*one) == 1);
  CHECK(number_in(*three) == 3);
  CHECK(scene.has(20));
  CHECK_FALSE(scene.has(19));
  CHECK(scene.cache->count() == 3);
  scene.cache->release(one, true);
  scene.cache->release(three, true);
}

TEST_CASE("beyond the bytes as many go as must, and what is viewed beyond them goes with its last view") {
  Scene scene({4 * page_bytes, 100});
  for (std::uint64_t blob = 1; blob <= 4; ++blob) scene.insert_unviewed(blob);
  scene.insert_unviewed(5, 3);
  CHECK(scene.cache->count() == 2);
  CHECK(scene.has(4));
  CHECK(scene.has(5));
  BlobMapping* const large = scene.cache->insert(6, memory_of(6, 10));
  BlobMapping* const shared = scene.cache->find(6);
  CHECK(shared == large);
  CHECK(scene.cache->bytes() == 14 * page_bytes);
  scene.cache->release(large, true);
  CHECK(number_in(*shared) == 6);
  CHECK(scene.cache->count() == 3);
  scene.cache->release(shared, true);
  CHECK(scene.cache->count() == 2);
}

TEST_CASE("a mapping beyond the bound drives nothing out, neither when it comes nor while it is viewed") {
  Scene scene({4 * page_bytes, 100});
  for (std::uint64_t blob = 1; blob <= 4; ++blob) scene.insert_unviewed(blob);
  const BlobView large(scene.cache, scene.cache->insert(5, memory_of(5, 10)));
  for (std::uint64_t blob = 1; blob <= 4; ++blob) CHECK(scene.has(blob));
  for (std::uint64_t blob = 1; blob <= 4; ++blob) CHECK(scene.has(blob));  // the last view of each went meanwhile
}

TEST_CASE("a cache that keeps nothing any more unmaps with the last view") {
  Scene scene({1 << 20, 8});
  scene.insert_unviewed(1);
  BlobView view(scene.cache, scene.cache->insert(2, memory_of(2)));
  scene.cache->keep_nothing();
  CHECK(scene.cache->count() == 1);
  scene.insert_unviewed(3);
  CHECK(scene.cache->count() == 1);
  scene.cache->release(scene.cache->find(2), true);
  CHECK(scene.cache->count() == 1);
  view = BlobView();
  CHECK(scene.cache->count() == 0);
  CHECK(scene.cache->bytes() == 0);
}

TEST_CASE("with more views than the cache may count, the others map for themselves") {
  Scene scene({1 << 20, 2});
  std::vector<BlobMapping*> viewed;
  for (std::uint64_t blob = 1; blob <= 5; ++blob) viewed.push_back(scene.cache->insert(blob, memory_of(blob)));
  for (std::uint64_t blob = 1; blob <= 5; ++blob) CHECK(number_in(*viewed[blob - 1]) == blob);
  CHECK(scene.cache->count() == 5);
  for (BlobMapping* mapping : viewed) scene.cache->release(mapping, true);
  CHECK(scene.cache->count() == 2);
  Scene none({0, 0});
  none.insert_unviewed(1);
  CHECK(none.cache->count() == 0);
}

TEST_CASE("two that map the same blob at once share the first one's memory") {
  Scene scene({1 << 20, 8});
  BlobMapping* const first = scene.cache->insert(7, memory_of(7));
  BlobMapping* const second = scene.cache->insert(7, memory_of(7));
  CHECK(first == second);
  CHECK(scene.cache->bytes() == page_bytes);
  scene.cache->release(first, true);
  scene.cache->release(second, true);
}

TEST_CASE("a blob that was dropped is unmapped: at the next look when nobody views it, else with its last view") {
  Scene scene({1 << 20, 8});
  const auto viewed = scene.publish();
  const auto unviewed = scene.publish();
  const auto live = scene.publish();
  for (const auto blob : {unviewed, live}) scene.insert_unviewed(number(blob));
  BlobView view(scene.cache, scene.cache->insert(number(viewed), memory_of(number(viewed))));
  scene.cache->drop_dead();
  CHECK(scene.cache->count() == 3);
  scene.drop(viewed);
  scene.drop(unviewed);
  CHECK(scene.cache->count() == 3);
  scene.cache->drop_dead();
  CHECK(scene.cache->count() == 2);
  CHECK(scene.has(number(live)));
  view = BlobView();
  CHECK(scene.cache->count() == 1);
  CHECK(scene.has(number(live)));
}

TEST_CASE("unviewed mappings go on demand and with the connection; views outlive it") {
  Scene scene({1 << 20, 8});
  scene.insert_unviewed(1);
  BlobView view(scene.cache, scene.cache->insert(2, memory_of(2)));
  scene.cache->drop_unviewed();
  CHECK(scene.cache->count() == 1);
  scene.insert_unviewed(3);
  scene.cache->detach();
  CHECK(scene.cache->count() == 1);
  BlobView late(scene.cache, scene.cache->insert(4, memory_of(4)));
  CHECK(view.bytes().size() == page_bytes);
  view = BlobView();
  late = BlobView();
  CHECK(scene.cache->count() == 0);
}

TEST_CASE("blobs come and go for ever without a mapping being lost in the index") {
  Scene scene({1 << 20, 16});
  for (std::uint64_t blob = 1; blob <= 5000; ++blob) {
    scene.insert_unviewed(blob);
    REQUIRE(scene.has(blob));
    if (blob % 97 != 0) continue;
    std::uint64_t found = 0;
    for (std::uint64_t each = 1; each <= blob; ++each) found += scene.has(each);
    REQUIRE(found == 16);
  }
}

TEST_CASE("threads that find, insert, drop and release see the right memory, and in the end none is left") {
  Scene scene({64 * page_bytes, 8});
  constexpr std::uint64_t blobs = 24;
  std::atomic<std::uint64_t> wrong{0};
  std::atomic<std::uint64_t> hits{0};
  {
    std::vector<std::jthread> threads;
    for (unsigned thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        std::minstd_rand random(thread + 1);
        std::vector<std::pair<std::uint64_t, BlobView>> held(3);
        for (int round = 0; round < 20'000; ++round) {
          const std::uint64_t blob = 1 + random() % blobs;
          BlobMapping* mapping = scene.cache->find(blob);
          hits += mapping != nullptr;
          if (mapping == nullptr) mapping = scene.cache->insert(blob, memory_of(blob));
          wrong += number_in(*mapping) != blob;
          auto& place = held[random() % held.size()];
          if (place.second) {
            std::uint64_t first = 0;
            std::memcpy(&first, place.second.bytes().data(), sizeof(first));
            wrong += first != place.first;
          }
          if (round % 2 == 0) {
            place = {blob, BlobView(scene.cache, mapping)};
          } else {
            scene.cache->release(mapping, random() % 4 != 0);
          }
          if (round % 500 == 0) scene.cache->drop_unviewed();
        }
      });
    }
  }
  CHECK(wrong == 0);
  CHECK(hits > 0);
  scene.cache->drop_unviewed();
  CHECK(scene.cache->count() == 0);
  CHECK(scene.cache->bytes() == 0);
}

TEST_CASE("room is made among mappings that others are finding") {
  constexpr std::uint32_t count = 1024;
  Scene scene({std::uint64_t{count} * page_bytes * 2, count});
  for (std::uint64_t blob = 1; blob <= count; ++blob) scene.insert_unviewed(blob);
  std::atomic<std::uint64_t> newest{count};
  std::atomic<std::uint64_t> wrong{0};
  std::atomic<bool> over{false};
  {
    std::vector<std::jthread> finders;
    for (unsigned thread = 0; thread < 3; ++thread) {
      finders.emplace_back([&, thread] {
        std::minstd_rand random(thread + 1);
        while (!over) {
          const std::uint64_t blob = newest - random() % count;
          BlobMapping* const mapping = scene.cache->find(blob);
          if (mapping == nullptr) continue;
          wrong += number_in(*mapping) != blob;
          scene.cache->release(mapping, true);
        }
      });
    }
    for (int round = 0; round < 20'000; ++round) {
      scene.insert_unviewed(newest + 1);
      ++newest;
    }
    over = true;
  }
  CHECK(wrong == 0);
  CHECK(scene.cache->count() == count);
  CHECK(scene.cache->bytes() == count * page_bytes);
}
