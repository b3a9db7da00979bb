#include "memory/reclaimer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include <onced/protocol/segment_reader.hpp>

#include "tests/memory/aligned_memory.hpp"

using namespace onced;
using engine::ConnectionId;

namespace {
struct ReclaimerScene {
  explicit ReclaimerScene(std::size_t arena_bytes, memory::ReaderBarrier barrier = {})
      : memory(arena_bytes),
        arena(*memory::Arena::create(memory.bytes())),
        reclaimer(memory.bytes().data(), arena, pins, std::move(barrier)) {
    pins.add(ConnectionId{1}, *page);
  }
  std::uint64_t retired(std::size_t bytes) {
    std::byte* const piece = arena.allocate(bytes);
    REQUIRE(piece != nullptr);
    std::fill_n(piece, bytes, std::byte{0xa5});
    const auto offset = static_cast<std::uint64_t>(piece - memory.bytes().data());
    reclaimer.retire(offset, bytes);
    return offset;
  }
  test::AlignedMemory memory;
  memory::Arena arena;
  test::HeapPinPage page;
  memory::PinTable pins;
  memory::Reclaimer reclaimer;
};
}  // namespace

TEST_CASE("what nobody pins is wiped and freed, what somebody pins stays until the pin is cleared") {
  ReclaimerScene scene(64 * 1024);
  const std::uint64_t pinned = scene.retired(1024);
  const std::uint64_t granted = scene.retired(1024);
  const std::uint64_t free = scene.retired(2048);
  scene.page->client_lines[0].pins[3] = pinned;
  const auto pin = scene.pins.grant(ConnectionId{1}, granted);
  CHECK(scene.reclaimer.retired_bytes() == 4096);

  CHECK(scene.reclaimer.reclaim() == 2048);
  CHECK(scene.reclaimer.retired_bytes() == 2048);
  CHECK(scene.reclaimer.retired_records() == 2);
  CHECK(scene.memory.bytes()[free + 100] == std::byte{0});
  CHECK(scene.memory.bytes()[pinned + 100] == std::byte{0xa5});
  CHECK(scene.reclaimer.reclaim() == 0);

  scene.page->client_lines[0].pins[3] = 0;
  CHECK(scene.reclaimer.reclaim() == 1024);
  protocol::release_pin(*scene.page, *pin);
  CHECK(scene.reclaimer.reclaim() == 1024);
  CHECK(scene.reclaimer.retired_records() == 0);
  CHECK(scene.reclaimer.retired_bytes() == 0);
}

TEST_CASE("what pins keep from reuse is known of each connection, blobs with it, and a record counts once for a page") {
  ReclaimerScene scene(64 * 1024);
  test::HeapPinPage second;
  scene.pins.add(ConnectionId{2}, *second);
  const std::uint64_t a = scene.retired(1024);
  const std::uint64_t b = scene.retired(2048);
  std::byte* const piece = scene.arena.allocate(512);
  const auto with_blobs = static_cast<std::uint64_t>(piece - scene.memory.bytes().data());
  scene.reclaimer.retire(with_blobs, 512, memory::Reclaimer::Holds::blobs, 1'000'000);
  CHECK(scene.reclaimer.kept_by(ConnectionId{1}) == 0);
  for (const int pin : {0, 1, 5}) scene.page->client_lines[0].pins[pin] = a;
  const auto granted = scene.pins.grant(ConnectionId{1}, a);
  second->client_lines[0].pins[0] = a;
  second->client_lines[0].pins[1] = with_blobs;
  second->client_lines[0].pins[2] = 12'345;  // nonsense
  CHECK(scene.reclaimer.reclaim() == 2048);
  CHECK(scene.memory.bytes()[b + 100] == std::byte{0});
  CHECK(scene.reclaimer.kept_by(ConnectionId{1}) == 1024);
  CHECK(scene.reclaimer.kept_by(ConnectionId{2}) == 1024 + 512 + 1'000'000);
  CHECK(scene.reclaimer.kept_most().by == ConnectionId{2});
  CHECK(scene.reclaimer.kept_most().bytes == 1024 + 512 + 1'000'000);
  CHECK(scene.reclaimer.kept_bytes() == 1024 + 512 + 1'000'000);
  second->client_lines[0].pins[1] = 0;
  scene.reclaimer.reclaim();
  CHECK(scene.reclaimer.kept_by(ConnectionId{2}) == 1024);
  for (const int pin : {0, 1, 5}) scene.page->client_lines[0].pins[pin] = 0;
  second->client_lines[0].pins[0] = 0;
  protocol::release_pin(*scene.page, *granted);
  scene.reclaimer.reclaim();
  CHECK(scene.reclaimer.kept_bytes() == 0);
  CHECK(scene.reclaimer.kept_most().bytes == 0);
  CHECK(scene.reclaimer.retired_records() == 0);
}

TEST_CASE("a pin beside a record, not at its start, holds nothing") {
  ReclaimerScene scene(64 * 1024);
  const std::uint64_t record = scene.retired(1024);
  scene.page->client_lines[0].pins[0] = record + 64;
  scene.page->client_lines[0].pins[1] = record - 1;
  CHECK(scene.reclaimer.reclaim() == 1024);
}

TEST_CASE("one call wipes a bounded number of bytes and the next ones the rest") {
  ReclaimerScene scene(std::size_t{32} << 20);
  std::size_t retired = 0;
  for (int i = 0; i < 200; ++i) {
    (void)scene.retired(100 * 1024);
    retired += 100 * 1024;
  }
  std::size_t freed = 0;
  int calls = 0;
  while (const std::size_t bytes = scene.reclaimer.reclaim()) {
    CHECK(bytes <= memory::Reclaimer::wipe_bytes_per_call + 100 * 1024);
    freed += bytes;
    ++calls;
  }
  CHECK(freed == retired);
  CHECK(calls == 3);
}

TEST_CASE("a pin that becomes visible no earlier than at the barrier holds its record") {
  std::function<void()> store_buffer = [] {};
  ReclaimerScene scene(64 * 1024, [&] { store_buffer(); });
  const std::uint64_t record = scene.retired(1024);
  store_buffer = [&] { scene.page->client_lines[0].pins[0] = record; };
  CHECK(scene.reclaimer.reclaim() == 0);
  CHECK(scene.memory.bytes()[record + 100] == std::byte{0xa5});
  store_buffer = [&] { scene.page->client_lines[0].pins[0] = 0; };
  CHECK(scene.reclaimer.reclaim() == 1024);
}

TEST_CASE("there is one barrier for a scan of whatever is retired, and none when there is nothing to scan for") {
  int barriers = 0;
  ReclaimerScene scene(std::size_t{32} << 20, [&] { ++barriers; });
  CHECK(scene.reclaimer.reclaim() == 0);
  CHECK(barriers == 0);
  for (int i = 0; i < 200; ++i) (void)scene.retired(100 * 1024);
  // Three calls wipe what the first one has found.
  while (scene.reclaimer.reclaim() > 0) {
  }
  CHECK(barriers == 1);
  CHECK(scene.reclaimer.retired_records() == 0);
}
