#include <onced/protocol/segment_reader.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <set>

#include "memory/segment_store.hpp"
#include "tests/memory/aligned_memory.hpp"

using namespace onced;
using engine::ConnectionId;
using protocol::LookupOutcome;
using protocol::SegmentReader;

namespace {
struct Scene {
  Scene() : memory(256 * 1024) {
    store = std::move(*memory::SegmentStore::create(memory.bytes(), 77, 88));
    store->add_page(ConnectionId{1}, *page);
    reader.emplace(*SegmentReader::open(store->segment()));
  }
  engine::RecordRef place(std::string_view key, std::uint64_t fresh_until_ms = protocol::never_expires,
                          std::uint32_t early_ms = 0, std::uint32_t grace_ms = 0) {
    engine::RecordImage image;
    image.key = key;
    image.parts = &parts;
    image.fresh_until_ms = fresh_until_ms;
    image.early_ms = early_ms;
    image.grace_ms = grace_ms;
    const auto placed = store->place(image, std::nullopt);
    REQUIRE(placed.outcome == engine::RecordStore::Outcome::placed);
    return placed.record;
  }
  protocol::LookupResult look_up(std::string_view key, std::uint32_t line = 0,
                                 protocol::LineUse use = protocol::LineUse::exclusive) {
    return reader->lookup(key, reader->hash(key), *page, line, use);
  }
  bool any_pin_set() {
    for (auto& line : page->client_lines) {
      for (auto& pin : line.pins) {
        if (pin.load() != 0) return true;
      }
    }
    return false;
  }
  test::AlignedMemory memory;
  std::vector<protocol::Part> parts{{"", "application/json", "[1,2,3]"}};
  std::unique_ptr<memory::SegmentStore> store;
  test::HeapPinPage page{2};
  std::optional<SegmentReader> reader;
};
}  // namespace

TEST_CASE("a hit is pinned and gives the key, the part and its content type") {
  Scene scene;
  const auto record = scene.place("key");
  const auto found = scene.look_up("key", 1);
  REQUIRE(found.outcome == LookupOutcome::hit);
  CHECK(!found.copy_only);
  CHECK(found.pin / protocol::pins_per_line == 1);
  CHECK(protocol::pin_at(*scene.page, found.pin).load() == static_cast<std::uint64_t>(record));
  CHECK(scene.reader->offset_of(found.record) == static_cast<std::uint64_t>(record));
  CHECK(scene.reader->key_of(found.record) == "key");
  const auto part = scene.reader->part(found.record, 0);
  REQUIRE(part.has_value());
  CHECK(part->content_type == "application/json");
  CHECK(part->bytes.size() == 7);
  CHECK(reinterpret_cast<std::uintptr_t>(part->bytes.data()) % protocol::value_alignment == 0);
  CHECK(!scene.reader->part(found.record, 1).has_value());
  protocol::release_pin(*scene.page, found.pin);
  CHECK(!scene.any_pin_set());
}

TEST_CASE("a miss leaves no pin behind, also when another key has the same tag and buckets") {
  Scene scene;
  scene.place("key");
  CHECK(scene.look_up("other").outcome == LookupOutcome::miss);
  // The hash of "key" with the name of another key of the same length, and of another length: only the bytes decide.
  for (const char* name : {"kez", "longer key", ""}) {
    const auto found = scene.reader->lookup(name, scene.reader->hash("key"), *scene.page, 0);
    CHECK(found.outcome == LookupOutcome::miss);
  }
  CHECK(!scene.any_pin_set());
}

TEST_CASE("the eighth live view of a line must be copied, the ninth finds no pin") {
  protocol::LineUse use{};
  SUBCASE("claimed by compare-and-swap") { use = protocol::LineUse::exclusive; }
  SUBCASE("claimed by plain stores") { use = protocol::LineUse::exclusive_fenced; }
  SUBCASE("in a shared line") { use = protocol::LineUse::shared; }
  Scene scene;
  scene.place("key");
  std::set<std::uint32_t> pins;
  for (int i = 0; i < 7; ++i) {
    const auto found = scene.look_up("key", 0, use);
    REQUIRE(found.outcome == LookupOutcome::hit);
    CHECK(!found.copy_only);
    pins.insert(found.pin);
  }
  const auto copying = scene.look_up("key", 0, use);
  REQUIRE(copying.outcome == LookupOutcome::hit);
  CHECK(copying.copy_only);
  pins.insert(copying.pin);
  CHECK(pins.size() == 8);
  CHECK(scene.look_up("key", 0, use).outcome == LookupOutcome::no_pin);
  CHECK(scene.look_up("absent", 0, use).outcome == LookupOutcome::miss);
  protocol::release_pin(*scene.page, 3);
  CHECK(scene.look_up("key", 0, use).pin == 3);
}

TEST_CASE("a value is a hit until the time word reaches its end") {
  Scene scene;
  scene.place("key", 100);
  scene.store->set_time_ms(99);
  const auto found = scene.look_up("key");
  CHECK(found.outcome == LookupOutcome::hit);
  protocol::release_pin(*scene.page, found.pin);
  scene.store->set_time_ms(100);
  CHECK(scene.look_up("key").outcome == LookupOutcome::miss);
  CHECK(!scene.any_pin_set());
}

TEST_CASE("nothing is a hit when the life word says that the owner died") {
  Scene scene;
  scene.place("key");
  scene.store->life_word() = 4711;
  CHECK(scene.reader->alive());
  scene.store->life_word() = protocol::life_owner_died;
  CHECK(!scene.reader->alive());
  CHECK(scene.look_up("key").outcome == LookupOutcome::dead);
}

TEST_CASE("a hit is counted in its line and noted in the hit table") {
  Scene scene;
  const auto record = static_cast<std::uint64_t>(scene.place("key"));
  for (const auto use : {protocol::LineUse::exclusive, protocol::LineUse::shared, protocol::LineUse::exclusive_fenced}) {
    const auto found = scene.reader->lookup("key", scene.reader->hash("key"), *scene.page, 1, use);
    protocol::release_pin(*scene.page, found.pin);
  }
  CHECK(scene.page->counters[1][0].hits.load() == 3);
  CHECK(scene.page->counters[0][0].hits.load() == 0);
  const std::uint64_t word = protocol::make_slot(protocol::tag_of(scene.reader->hash("key")), record);
  CHECK(scene.page->hit_table[(word >> 6) % protocol::hit_table_entries].load() == word);
}

TEST_CASE("a granted record is found by its offset and key, and nowhere else") {
  Scene scene;
  const auto offset = static_cast<std::uint64_t>(scene.place("key"));
  CHECK(scene.reader->record_at(offset, "key") != nullptr);
  CHECK(scene.reader->record_at(offset, "kez") == nullptr);
  CHECK(scene.reader->record_at(offset + 64, "key") == nullptr);
  for (const std::uint64_t wild : {std::uint64_t{0}, std::uint64_t{64}, std::uint64_t{256 * 1024}, ~std::uint64_t{0}}) {
    CHECK(scene.reader->record_at(wild, "key") == nullptr);
    CHECK(scene.reader->record_at(wild, "") == nullptr);
  }
}

TEST_CASE("a header that does not fit its segment is refused") {
  using Header = protocol::SegmentHeader;
  const std::vector<std::function<void(Header&)>> damages{
      [](Header& h) { h.magic ^= 1; },
      [](Header& h) { h.layout_version += 1; },
      [](Header& h) { h.header_bytes = 64; },
      [](Header& h) { h.segment_bytes += 4096; },
      [](Header& h) { h.sessions_offset = 0; },
      [](Header& h) { h.sessions_count = ~std::uint64_t{0}; },
      [](Header& h) { h.index_offset += 8; },
      [](Header& h) { h.index_offset = h.sessions_offset; },
      [](Header& h) { h.bucket_count = 0; },
      [](Header& h) { h.bucket_count = 1; },
      [](Header& h) { h.bucket_count = 3; },
      [](Header& h) { h.bucket_count = std::uint64_t{1} << 63; },
      [](Header& h) { h.blobs_offset = h.index_offset; },
      [](Header& h) { h.blobs_count = 3; },
      [](Header& h) { h.blobs_count = std::uint64_t{1} << 62; },
      [](Header& h) { h.arena_offset = h.index_offset; },
      [](Header& h) { h.arena_offset = ~std::uint64_t{63}; },
      [](Header& h) { h.arena_bytes += 1; },
      [](Header& h) { h.arena_bytes = ~std::uint64_t{0}; },
  };
  for (std::size_t i = 0; i < damages.size(); ++i) {
    CAPTURE(i);
    Scene scene;
    damages[i](*reinterpret_cast<Header*>(scene.memory.bytes().data()));
    const auto opened = SegmentReader::open(scene.memory.bytes());
    REQUIRE(!opened.ok());
    CHECK(opened.error().code == (i == 1 ? ErrorCode::version_mismatch : ErrorCode::malformed));
  }
  test::AlignedMemory memory(4096 + 64);
  CHECK(!SegmentReader::open(memory.bytes().first(100)).ok());
  CHECK(!SegmentReader::open(memory.bytes().subspan(8)).ok());
}

TEST_CASE("a number of buckets that cannot be is taken for one that can") {
  Scene scene;
  scene.place("key");
  auto& used = reinterpret_cast<protocol::SegmentHeader*>(scene.memory.bytes().data())->buckets_used;
  const std::uint64_t right = used;
  for (const std::uint64_t wrong : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
    used = wrong;
    for (int i = 0; i < 1000; ++i) {
      const auto found = scene.look_up(std::to_string(i));
      CHECK(found.outcome == LookupOutcome::miss);
    }
  }
  used = right;
  CHECK(scene.look_up("key").outcome == LookupOutcome::hit);
}

TEST_CASE("a record is fresh, then early, then stale, then a miss that leaves no pin") {
  Scene scene;
  scene.place("key", 1000, 100, 50);
  const auto at = [&](std::uint64_t time_ms) {
    scene.store->set_time_ms(time_ms);
    const auto found = scene.look_up("key");
    if (found.outcome == LookupOutcome::hit) protocol::release_pin(*scene.page, found.pin);
    return found;
  };
  CHECK(at(899).freshness == protocol::Freshness::fresh);
  CHECK(at(900).freshness == protocol::Freshness::early);
  CHECK(scene.reader->fresh_left_ms(at(940).record) == 60);
  CHECK(at(999).freshness == protocol::Freshness::early);
  CHECK(at(1000).freshness == protocol::Freshness::stale);
  CHECK(scene.reader->fresh_left_ms(at(1000).record) == 0);
  CHECK(at(1049).freshness == protocol::Freshness::stale);
  CHECK(at(1050).outcome == LookupOutcome::miss);
  CHECK(!scene.any_pin_set());
}

TEST_CASE("a life that the daemon ends or moves is what the next look-up finds") {
  Scene scene;
  const auto record = scene.place("key");
  scene.store->set_time_ms(5000);
  scene.store->set_life(record, 4000, 2000);
  auto found = scene.look_up("key");
  REQUIRE(found.outcome == LookupOutcome::hit);
  CHECK(found.freshness == protocol::Freshness::stale);
  CHECK_FALSE(found.refreshing);
  scene.store->set_refreshing(record, true);
  CHECK(scene.look_up("key").refreshing);
  scene.store->set_refreshing(record, false);
  CHECK_FALSE(scene.look_up("key").refreshing);
  scene.store->set_life(record, 4000, 1000);
  CHECK(scene.look_up("key").outcome == LookupOutcome::miss);
  scene.store->set_life(record, protocol::never_expires, 0);
  CHECK(scene.look_up("key").freshness == protocol::Freshness::fresh);
}
