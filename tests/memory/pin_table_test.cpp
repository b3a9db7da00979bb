#include "memory/pin_table.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <random>
#include <set>
#include <thread>

#include "memory/segment_store.hpp"
#include "tests/memory/aligned_memory.hpp"

using namespace onced;
using engine::ConnectionId;
using memory::PinTable;

namespace {
std::multiset<std::uint64_t> pinned(const PinTable& table) {
  std::multiset<std::uint64_t> offsets;
  table.for_each_pin([&](std::uint64_t offset) { offsets.insert(offset); });
  return offsets;
}
}  // namespace

TEST_CASE("a scan sees client pins of the lines in use and all granted pins, of all pages") {
  test::HeapPinPage a(1), b(64);
  PinTable table;
  table.add(ConnectionId{1}, *a);
  table.add(ConnectionId{2}, *b);
  a->client_lines[0].pins[7] = 64;
  a->client_lines[1].pins[0] = 128;  // not in use
  b->client_lines[63].pins[3] = 192;
  REQUIRE(table.grant(ConnectionId{2}, 256).has_value());
  CHECK(pinned(table) == std::multiset<std::uint64_t>{64, 192, 256});
  table.remove(ConnectionId{2});
  CHECK(pinned(table) == std::multiset<std::uint64_t>{64});
}

TEST_CASE("every granted pin can be granted once, and again when the client has cleared it") {
  test::HeapPinPage page;
  PinTable table;
  table.add(ConnectionId{1}, *page);
  std::set<std::uint32_t> numbers;
  for (std::size_t i = 0; i < protocol::granted_pins; ++i) {
    const auto pin = table.grant(ConnectionId{1}, 64 * (i + 1));
    REQUIRE(pin.has_value());
    CHECK(*pin >= protocol::client_pins);
    CHECK(protocol::pin_at(*page, *pin).load() == 64 * (i + 1));
    numbers.insert(*pin);
  }
  CHECK(numbers.size() == protocol::granted_pins);
  CHECK(!table.grant(ConnectionId{1}, 64).has_value());
  protocol::release_pin(*page, 700);
  CHECK(table.grant(ConnectionId{1}, 64) == 700);
  CHECK(!table.grant(ConnectionId{2}, 64).has_value());
}

TEST_CASE("the hit table is reported once and emptied, page after page in turn") {
  constexpr std::size_t pages = PinTable::harvest_pages_per_call + 10;
  std::vector<test::HeapPinPage> memory(pages);
  PinTable table;
  for (std::size_t i = 0; i < pages; ++i) {
    table.add(ConnectionId{i + 1}, *memory[i]);
    memory[i]->hit_table[i] = i + 1;
  }
  std::multiset<std::uint64_t> words;
  const auto harvest = [&] { table.harvest([&](std::uint64_t word) { words.insert(word); }); };
  harvest();
  CHECK(words.size() == PinTable::harvest_pages_per_call);
  harvest();
  CHECK(words.size() == pages);
  harvest();
  CHECK(words.size() == pages);
}

TEST_CASE("hits of a page that was removed are reported once, too, as far as there is room for them") {
  std::vector<test::HeapPinPage> memory(5);
  PinTable table;
  memory[0]->hit_table[7] = 42;
  table.add(ConnectionId{1}, *memory[0]);
  table.remove(ConnectionId{1});
  std::vector<std::uint64_t> words;
  const auto harvest = [&] { table.harvest([&](std::uint64_t word) { words.push_back(word); }); };
  harvest();
  CHECK(words == std::vector<std::uint64_t>{42});
  harvest();
  CHECK(words.size() == 1);

  words.clear();
  for (std::size_t i = 0; i < memory.size(); ++i) {
    for (std::size_t at = 0; at < protocol::hit_table_entries; ++at) memory[i]->hit_table[at] = at + 1;
    table.add(ConnectionId{i + 2}, *memory[i]);
    table.remove(ConnectionId{i + 2});
  }
  harvest();
  CHECK(words.size() == PinTable::words_of_the_dead_max);
  words.clear();
  harvest();
  CHECK(words.empty());
}

TEST_CASE("what a page claims counts while it lives and exactly once after it died") {
  test::HeapPinPage page;
  PinTable table;
  page->counters[0][2].hits = 10;
  table.add(ConnectionId{1}, *page);
  CHECK(table.hit_totals().at(2).hits == 10);
  page->counters[0][2].hits = 15;
  CHECK(table.hit_totals().at(2).hits == 15);
  table.remove(ConnectionId{1});
  CHECK(table.hit_totals().at(2).hits == 15);
  table.remove(ConnectionId{1});
  CHECK(table.hit_totals().at(2).hits == 15);
  page->counters[0][2].hits = 1;
  table.add(ConnectionId{2}, *page);
  CHECK(table.hit_totals().at(2).hits == 16);
}

TEST_CASE("many pages are read for their totals in turn, a bounded number at a call") {
  constexpr std::size_t pages = PinTable::totals_pages_per_call + 3;
  std::vector<test::HeapPinPage> memory(pages);
  PinTable table;
  for (std::size_t i = 0; i < pages; ++i) {
    table.add(ConnectionId{i + 1}, *memory[i]);
    memory[i]->counters[0][0].hits = 1;
  }
  CHECK(table.hit_totals().at(0).hits == PinTable::totals_pages_per_call);
  CHECK(table.hit_totals().at(0).hits == pages);
  CHECK(table.hit_totals().at(0).hits == pages);
  // What has gone is in it at once, whoever's turn it is.
  for (std::size_t i = 0; i < pages; ++i) memory[i]->counters[0][0].hits = 2;
  for (std::size_t i = 0; i < pages; ++i) table.remove(ConnectionId{i + 1});
  CHECK(table.hit_totals().at(0).hits == 2 * pages);
}

TEST_CASE("a page that changes while it is read breaks nothing, and no record that somebody pins is freed") {
  test::AlignedMemory memory(256 * 1024);
  auto created = memory::SegmentStore::create(memory.bytes(), 1, 1);
  REQUIRE(created.ok());
  memory::SegmentStore& store = **created;
  const auto reader = protocol::SegmentReader::open(store.segment());
  test::HeapPinPage honest, hostile;
  store.add_page(ConnectionId{1}, *honest);
  store.add_page(ConnectionId{2}, *hostile);

  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> rounds{0};
  std::thread scribbler([&] {
    std::mt19937_64 random(1);
    const auto scribble = [&](std::atomic<std::uint64_t>& word) {
      static constexpr std::uint64_t favourites[] = {0, 1, 63, 64, ~std::uint64_t{0}, protocol::slot_offset_mask};
      const std::uint64_t dice = random();
      word.store(dice % 2 == 0 ? dice % (256 * 1024) / 64 * 64 : favourites[dice % 6], std::memory_order_relaxed);
    };
    while (!stop.load(std::memory_order_relaxed)) {
      hostile->client_lines_used.store(static_cast<std::uint32_t>(random()), std::memory_order_relaxed);
      for (auto& line : hostile->client_lines)
        for (auto& pin : line.pins) scribble(pin);
      for (auto& line : hostile->granted_lines)
        for (auto& pin : line.pins) scribble(pin);
      for (auto& word : hostile->hit_table) scribble(word);
      for (auto& counter : hostile->counters[random() % 64]) scribble(counter.hits);
      rounds.fetch_add(1, std::memory_order_relaxed);
    }
  });

  std::mt19937_64 random(2);
  std::uint64_t total_before = 0;
  for (int step = 0; step < 300 || rounds.load() < 50; ++step) {
    const std::vector<protocol::Part> parts{{"", "", std::string(500, static_cast<char>('a' + step % 26))}};
    engine::RecordImage image;
    image.key = "key";
    image.parts = &parts;
    const auto placed = store.place(image, std::nullopt);
    REQUIRE(placed.outcome == engine::RecordStore::Outcome::placed);
    const auto found = reader->lookup("key", reader->hash("key"), *honest, 0);
    REQUIRE(found.outcome == protocol::LookupOutcome::hit);
    if (const auto pin = store.grant_pin(ConnectionId{2}, placed.record)) {
      protocol::release_pin(*hostile, *pin);
    }
    store.unlink(placed.record);
    store.reclaim();
    const auto part = reader->part(found.record, 0);
    REQUIRE(part.has_value());
    REQUIRE(std::string(reinterpret_cast<const char*>(part->bytes.data()), part->bytes.size()) == parts[0].bytes);
    protocol::release_pin(*honest, found.pin);
    store.harvest_hits([](engine::RecordRef) { FAIL_CHECK("nothing live was hit but by a lie"); });
    std::uint64_t total = 0;
    for (const auto& of_function : store.hit_totals()) total += of_function.hits;
    REQUIRE(total >= total_before);
    total_before = total;
  }
  stop = true;
  scribbler.join();
  store.remove_page(ConnectionId{2});
  store.reclaim();
  CHECK(store.usage().retired_records == 0);
}
