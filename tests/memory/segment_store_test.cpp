#include "memory/segment_store.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <onced/protocol/limits.hpp>
#include <random>
#include <utility>

#include "tests/memory/aligned_memory.hpp"

using namespace onced;
using engine::ConnectionId;
using engine::RecordRef;
using Outcome = engine::RecordStore::Outcome;
using protocol::LookupOutcome;

namespace {
struct StoreScene {
  explicit StoreScene(std::size_t bytes = 256 * 1024, memory::ReaderBarrier barrier = {}) : memory(bytes) {
    auto created = memory::SegmentStore::create(memory.bytes(), 77, 88, {}, std::move(barrier));
    REQUIRE(created.ok());
    store = std::move(*created);
    store->add_page(ConnectionId{1}, *page);
  }
  engine::RecordStore::Placement place(std::string_view key, std::string value,
                                       std::optional<RecordRef> replaces = std::nullopt) {
    parts = {{"", "text/plain", std::move(value)}};
    engine::RecordImage image;
    image.key = key;
    image.parts = &parts;
    image.version = ++version;
    image.cost_us = 5;
    image.function_number = 300;  // beyond the counters: counts as "other"
    return store->place(image, replaces);
  }
  // The value and its pin released at once; "-" for a miss.
  std::string look_up(std::string_view key) {
    const auto reader = protocol::SegmentReader::open(store->segment());
    const auto found = reader->lookup(key, reader->hash(key), *page, 0);
    if (found.outcome != LookupOutcome::hit) return "-";
    const auto part = reader->part(found.record, 0);
    std::string value(reinterpret_cast<const char*>(part->bytes.data()), part->bytes.size());
    protocol::release_pin(*page, found.pin);
    return value;
  }
  test::AlignedMemory memory;
  std::unique_ptr<memory::SegmentStore> store;
  test::HeapPinPage page;
  std::vector<protocol::Part> parts;
  std::uint64_t version = 0;
};
}  // namespace

TEST_CASE("what is placed is found and read, what is unlinked is not found") {
  StoreScene scene;
  const auto placed = scene.place("key", "value");
  REQUIRE(placed.outcome == Outcome::placed);
  CHECK(scene.look_up("key") == "value");
  CHECK(scene.look_up("kez") == "-");
  CHECK(scene.store->read(placed.record) == scene.parts);
  scene.store->unlink(placed.record);
  CHECK(scene.look_up("key") == "-");
  CHECK(scene.store->usage().retired_records == 1);
  CHECK(scene.store->reclaim() > 0);
  CHECK(scene.store->usage().used_bytes == 0);
}

TEST_CASE("a replacement is found in place of the old value, which a reader may go on reading") {
  StoreScene scene;
  const auto old = scene.place("key", "old");
  const auto reader = protocol::SegmentReader::open(scene.store->segment());
  const auto held = reader->lookup("key", reader->hash("key"), *scene.page, 0);
  REQUIRE(held.outcome == LookupOutcome::hit);
  REQUIRE(scene.place("key", "new", old.record).outcome == Outcome::placed);
  CHECK(scene.look_up("key") == "new");
  CHECK(scene.store->reclaim() == 0);
  CHECK(std::string_view(reinterpret_cast<const char*>(reader->part(held.record, 0)->bytes.data()), 3) == "old");
  protocol::release_pin(*scene.page, held.pin);
  CHECK(scene.store->reclaim() > 0);
}

TEST_CASE("a value that no arena of this size can hold is never placed") {
  StoreScene scene;
  std::string large(limits::value_bytes_max, 'x');
  CHECK(scene.place("key", large).outcome == Outcome::placed);  // the least segment holds the largest value
  const std::string long_key(limits::key_bytes_max, 'k');
  CHECK(scene.place(long_key, large).outcome == Outcome::placed);
}

TEST_CASE("a full arena says so, and has room again for what was unlinked and is not pinned") {
  StoreScene scene;
  std::vector<RecordRef> records;
  for (int i = 0;; ++i) {
    const auto placed = scene.place("key " + std::to_string(i), std::string(20'000, 'x'));
    if (placed.outcome == Outcome::arena_full) break;
    REQUIRE(placed.outcome == Outcome::placed);
    records.push_back(placed.record);
  }
  REQUIRE(records.size() > 5);
  const auto pin = scene.store->grant_pin(ConnectionId{1}, records[2]);
  REQUIRE(pin.has_value());
  scene.store->unlink(records[2]);
  CHECK(scene.place("another", std::string(20'000, 'y')).outcome == Outcome::arena_full);
  protocol::release_pin(*scene.page, *pin);
  CHECK(scene.place("another", std::string(20'000, 'y')).outcome == Outcome::placed);
}

TEST_CASE("a place that finds the arena full scans the pins once, however many records wait for their readers") {
  int scans = 0;  // each begins with the barrier
  StoreScene scene(256 * 1024, [&scans] { ++scans; });
  std::vector<RecordRef> records;
  for (auto placed = scene.place("key 0", std::string(2000, 'x')); placed.outcome == Outcome::placed;
       placed = scene.place("key " + std::to_string(records.size()), std::string(2000, 'x')))
    records.push_back(placed.record);
  REQUIRE(records.size() > 50);
  CHECK(scans == 0);
  for (std::size_t i = 0; i < 20; ++i) {
    REQUIRE(scene.store->grant_pin(ConnectionId{1}, records[i]).has_value());
    scene.store->unlink(records[i]);
    scans = 0;
    CHECK(scene.place("another", std::string(2000, 'y')).outcome == Outcome::arena_full);
    CHECK(scans == 1);
  }
}

TEST_CASE("a key whose buckets are full names what stands in them") {
  StoreScene scene;  // 256 KiB: 128 buckets, and room for all these records
  engine::RecordStore::Placement full;
  std::map<RecordRef, std::string> live;
  std::string refused;
  for (int i = 0; full.outcome != Outcome::bucket_full; ++i) {
    REQUIRE(i < 5000);
    refused = std::to_string(i);
    full = scene.place(refused, "");
    if (full.outcome == Outcome::arena_full) {
      scene.store->unlink(live.begin()->first);
      live.erase(live.begin());
    } else if (full.outcome == Outcome::placed) {
      live.emplace(full.record, refused);
    }
  }
  CHECK(full.candidates.size() >= 8);
  CHECK(full.candidates.size() <= 16);
  for (const RecordRef candidate : full.candidates) CHECK(live.count(candidate) == 1);
  scene.store->unlink(full.candidates.front());
  CHECK(scene.place(refused, "").outcome == Outcome::placed);
}

TEST_CASE("hits are reported for live records only, and counted") {
  StoreScene scene;
  const auto a = scene.place("a", "1");
  const auto b = scene.place("b", "2");
  CHECK(scene.look_up("a") == "1");
  CHECK(scene.look_up("b") == "2");
  scene.store->unlink(a.record);
  scene.page->hit_table[5] = ~std::uint64_t{0};
  scene.page->hit_table[6] = static_cast<std::uint64_t>(b.record);  // no tag: not what stands in the slot
  std::vector<RecordRef> seen;
  scene.store->harvest_hits([&](RecordRef record) { seen.push_back(record); });
  CHECK(seen == std::vector<RecordRef>{b.record});
  const auto totals = scene.store->hit_totals();
  REQUIRE(totals.size() == protocol::counter_functions);
  CHECK(totals.back().hits == 2);
  CHECK(totals.back().saved_us == 10);
}

TEST_CASE("the time word never goes back and is never 0") {
  StoreScene scene;
  const auto reader = protocol::SegmentReader::open(scene.store->segment());
  scene.store->set_time_ms(0);
  CHECK(reader->time_ms() == 1);
  scene.store->set_time_ms(50);
  scene.store->set_time_ms(49);
  CHECK(reader->time_ms() == 50);
}

TEST_CASE("after thousands of random steps every key is what a plain map says, and all memory comes back") {
  StoreScene scene;
  const unsigned seed = 20250101;
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::map<std::string, std::pair<RecordRef, std::string>> model;
  for (int step = 0; step < 20'000; ++step) {
    const std::string key = "key " + std::to_string(random() % 50);
    const auto found = model.find(key);
    if (random() % 3 != 0) {
      const std::string value(random() % 8000, static_cast<char>('a' + random() % 26));
      const auto placed =
          scene.place(key, value, found == model.end() ? std::nullopt : std::optional(found->second.first));
      if (placed.outcome == Outcome::placed) {
        model[key] = {placed.record, value};
      } else {
        REQUIRE(placed.outcome == Outcome::arena_full);
        auto victim = model.begin();
        std::advance(victim, random() % model.size());
        scene.store->unlink(victim->second.first);
        model.erase(victim);
      }
    } else if (found != model.end()) {
      scene.store->unlink(found->second.first);
      model.erase(found);
    }
    const std::string probe = "key " + std::to_string(random() % 50);
    REQUIRE(scene.look_up(probe) == (model.count(probe) != 0 ? model[probe].second : "-"));
  }
  for (const auto& [key, record] : model) scene.store->unlink(record.first);
  while (scene.store->reclaim() > 0) {
  }
  CHECK(scene.store->usage().used_bytes == 0);
  CHECK(scene.place("last", std::string(60'000, 'x')).outcome == Outcome::placed);
}
