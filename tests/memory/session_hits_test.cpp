// Hits in a session: the session table, the order in which it is looked at, and the marks that say a session is used.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include <onced/protocol/segment_reader.hpp>

#include "memory/segment_store.hpp"
#include "tests/memory/aligned_memory.hpp"

using namespace onced;
using engine::ConnectionId;
using protocol::LookupOutcome;
using protocol::SessionGrant;

namespace {

constexpr SessionGrant grant{69, 12};

struct SessionScene {
  SessionScene() : memory(256 * 1024) {
    store = std::move(*memory::SegmentStore::create(memory.bytes(), 77, 88));
    store->add_page(ConnectionId{1}, *page);
    reader.emplace(*protocol::SegmentReader::open(store->segment()));
    store->set_session(grant.number, grant.generation);
  }
  engine::RecordRef place(std::string_view key, const std::string& value = "value", std::optional<engine::RecordRef> replaces = {}) {
    parts = {{"", "", value}};
    engine::RecordImage image;
    image.key = key;
    image.parts = &parts;
    image.of_session = true;
    return store->place(image, replaces).record;
  }
  LookupOutcome look(const SessionGrant& by, std::string_view key = "key") {
    const auto found = reader->lookup_in_session(key, reader->hash(key), *page, 0, protocol::LineUse::exclusive, by);
    if (found.outcome == LookupOutcome::hit) protocol::release_pin(*page, found.pin);
    for (const auto& pin : page->client_lines[0].pins) CHECK(pin.load() == 0);
    return found.outcome;
  }
  bool holds(std::string_view bytes) const {
    const auto segment = store->segment();
    return std::string_view(reinterpret_cast<const char*>(segment.data()), segment.size()).find(bytes) != std::string_view::npos;
  }
  test::AlignedMemory memory;
  std::unique_ptr<memory::SegmentStore> store;
  test::HeapPinPage page{2};
  std::optional<protocol::SegmentReader> reader;
  std::vector<protocol::Part> parts;
};

}  // namespace

TEST_CASE("a hit in a session needs the generation that is in the table, and leaves no pin behind otherwise") {
  SessionScene scene;
  CHECK(scene.look(grant) == LookupOutcome::miss);
  scene.place("key");
  CHECK(scene.look(grant) == LookupOutcome::hit);
  CHECK(scene.look({grant.number, grant.generation - 1}) == LookupOutcome::ended);
  CHECK(scene.look({grant.number, 0}) == LookupOutcome::ended);
  CHECK(scene.look({grant.number + 1, grant.generation}) == LookupOutcome::ended);
  CHECK(scene.reader->good(grant));

  scene.store->set_session(grant.number, 13);  // a rotation
  CHECK(scene.look(grant) == LookupOutcome::ended);
  CHECK(scene.look({grant.number, 13}) == LookupOutcome::hit);
  scene.store->set_session(grant.number, 0);  // the end
  CHECK(scene.look({grant.number, 13}) == LookupOutcome::ended);
  scene.store->set_session(grant.number + scene.store->session_places(), 14);  // the place's next session
  CHECK(scene.look({grant.number, 13}) == LookupOutcome::ended);
  CHECK_FALSE(scene.reader->good({grant.number, 13}));
}

TEST_CASE("a hit marks its session as used, once, and a miss does not") {
  SessionScene scene;
  scene.place("key");
  CHECK_FALSE(scene.store->take_session_use(grant.number));
  CHECK(scene.look(grant, "another") == LookupOutcome::miss);
  CHECK(scene.look({grant.number, 1}) == LookupOutcome::ended);
  CHECK_FALSE(scene.store->take_session_use(grant.number));
  for (int i = 0; i < 3; ++i) CHECK(scene.look(grant) == LookupOutcome::hit);
  CHECK_FALSE(scene.store->take_session_use(grant.number + 1));
  CHECK(scene.store->take_session_use(grant.number));
  CHECK_FALSE(scene.store->take_session_use(grant.number));
}

TEST_CASE("the marks of a page that is gone are not lost") {
  SessionScene scene;
  scene.place("key");
  CHECK(scene.look(grant) == LookupOutcome::hit);
  scene.store->remove_page(ConnectionId{1});
  CHECK(scene.store->take_session_use(grant.number));
  CHECK_FALSE(scene.store->take_session_use(grant.number));
}

TEST_CASE("a scribbled page marks sessions as used and does nothing else") {
  SessionScene scene;
  for (auto& word : scene.page->session_uses) word = ~std::uint64_t{0};
  for (std::uint64_t number = 0; number < 2 * scene.store->session_places(); ++number)
    CHECK(scene.store->take_session_use(number) == (number < scene.store->session_places()));
  scene.store->remove_page(ConnectionId{1});  // what is left lies beyond the table
  for (std::uint64_t number = 0; number < scene.store->session_places(); ++number) CHECK_FALSE(scene.store->take_session_use(number));
}

TEST_CASE("records of sessions are wiped by the first reclaim after their pins, before all others") {
  SessionScene scene;
  const auto first = scene.place("key", "the first secret");
  const auto second = scene.place("other", "the second secret");
  const auto held = scene.reader->lookup_in_session("key", scene.reader->hash("key"), *scene.page, 0, protocol::LineUse::exclusive, grant);
  REQUIRE(held.outcome == LookupOutcome::hit);
  scene.store->unlink(first);
  scene.store->unlink(second);
  CHECK(scene.store->usage().retired_of_sessions == 2);
  CHECK(scene.store->reclaim() > 0);
  CHECK(scene.store->usage().retired_of_sessions == 1);
  CHECK(scene.holds("the first secret"));
  CHECK_FALSE(scene.holds("the second secret"));
  protocol::release_pin(*scene.page, held.pin);
  CHECK(scene.store->reclaim() > 0);
  CHECK_FALSE(scene.holds("the first secret"));
  CHECK(scene.store->usage().retired_of_sessions == 0);
}

// What is stored after a rotation is for the new id alone: a reader with the old grant must not find it, also when it looks up
// while both happen. The value's first character is the generation under which it was stored.
TEST_CASE("no look-up with an old grant finds what was stored after a rotation") {
  SessionScene scene;
  test::HeapPinPage readers_page{1};
  scene.store->add_page(ConnectionId{2}, *readers_page);
  std::atomic<std::uint64_t> generation{grant.generation};
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> wrong{0};
  auto record = scene.place("key", std::to_string(grant.generation));
  std::thread reader([&] {
    while (!stop) {
      const SessionGrant old{grant.number, generation.load()};
      for (int i = 0; i < 8; ++i) {
        const auto found = scene.reader->lookup_in_session("key", scene.reader->hash("key"), *readers_page, 0, protocol::LineUse::exclusive, old);
        if (found.outcome != LookupOutcome::hit) continue;
        ++hits;
        const auto part = scene.reader->part(found.record, 0);
        const std::string text(reinterpret_cast<const char*>(part->bytes.data()), part->bytes.size());
        if (std::stoull(text) > old.generation) ++wrong;
        protocol::release_pin(*readers_page, found.pin);
      }
    }
  });
  for (std::uint64_t next = grant.generation + 1; next < grant.generation + 100'000; ++next) {
    scene.store->set_session(grant.number, next);
    generation = next;
    record = scene.place("key", std::to_string(next), record);
    scene.store->reclaim();
  }
  stop = true;
  reader.join();
  CHECK(wrong == 0);
  MESSAGE(hits.load(), " hits");
}
