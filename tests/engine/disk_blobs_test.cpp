// Large parts of values that the disk has brought: whose their blobs are, and how there is a place for them.
#include <algorithm>
#include <memory>
#include <utility>

#include "blob_scene.hpp"
#include "fake_disk.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

// Large parts without names, as a tier brings them: places for them are wanted when the engine says so.
struct Brought final : BroughtParts {
  Brought(FakeBlobStore& its_store, std::size_t its_count) : store(its_store), count(its_count) {}
  std::size_t blobs() const override { return count; }
  Result<void> place(std::vector<protocol::Part>& parts) override {
    CHECK_FALSE(std::exchange(is_placed, true));
    if (store.blobs.size() + count > store.count_max) return Error{ErrorCode::limit_reached, "all places are taken"};
    const std::uint64_t count_max = std::exchange(store.count_max, 1'000);
    for (std::size_t i = 0; i < count; ++i) {
      const BlobId blob = *store.create(1000);
      static_cast<void>(store.examine(blob));
      parts.at(i).blob = static_cast<std::uint64_t>(blob);
    }
    store.count_max = count_max;
    return {};
  }
  FakeBlobStore& store;
  std::size_t count;
  bool is_placed = false;
};

struct AllPlacesTaken : OnDisk {
  explicit AllPlacesTaken(FakeDisk& its_disk, std::size_t parts = 1) : OnDisk(its_disk, disk_key) {
    blobs.count_max = 4;
    for (int i = 0; i < 4; ++i) taken.push_back(put_blob("other " + std::to_string(i)));
    ask(a, acquire(disk_key));
    std::vector<protocol::Part> of_value;
    for (std::size_t i = 0; i < parts; ++i) of_value.push_back({"part " + std::to_string(i), "text/plain", {}, 0, 0, 1000});
    disk.loaded.front().value->parts = of_value;
    disk.loaded.front().value->brought = brought = std::make_shared<Brought>(blobs, parts);
  }
  BlobId put_blob(const std::string& of) {
    const BlobId blob = reserve();
    CHECK(take<protocol::Published>(b, ask(b, protocol::Put{key_of(of, 1), {protocol::Part{"", "text/plain", {}, static_cast<std::uint64_t>(blob), 0, 1000}}, 0})).stored);
    return blob;
  }
  BlobId reserve() {
    const auto blob = take<protocol::Blob>(b, ask(b, protocol::Reserve{1000, receipt, false, {}}));
    receipt = blob.receipt;
    return BlobId{blob.blob};
  }
  std::size_t left() const {
    return static_cast<std::size_t>(std::count_if(taken.begin(), taken.end(), [&](BlobId one) { return blobs.blobs.contains(one); }));
  }
  std::vector<BlobId> taken;
  std::uint64_t receipt = 0;
  std::shared_ptr<Brought> brought;
};

}  // namespace

TEST_CASE("blobs of a value that was read belong to its record, or go when it cannot be stored") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  for (const bool fits : {true, false}) {
    CAPTURE(fits);
    const BlobId blob = *scene.blobs.create(1000);
    static_cast<void>(scene.blobs.examine(blob));
    disk.values.find(disk_key)->second.value.parts = {protocol::Part{"", "text/plain", {}, static_cast<std::uint64_t>(blob), 0, 1000}};
    if (!fits) scene.store.too_large = true;
    const RequestId asked = scene.ask(scene.a, scene.acquire(disk_key));
    scene.deliver();
    const auto value = scene.take<protocol::Value>(scene.a, asked);
    CHECK(value.parts.at(0).length == 1000);
    scene.ask(scene.a, protocol::Release{{static_cast<std::uint64_t>(blob)}});
    CHECK(scene.blobs.blobs.contains(blob) == fits);
    if (!fits) break;
    CHECK(scene.store.find(disk_key));
    scene.step(Disconnected{scene.a});
    scene.a = scene.connect();
    const auto kept = disk.values.find(disk_key)->second;
    scene.ask(scene.admin, protocol::Invalidate{key_scope(disk_key), false});
    scene.deliver();
    disk.values[disk_key] = kept;
    CHECK_FALSE(scene.blobs.blobs.contains(blob));
  }
}

TEST_CASE("what nobody waits for any more gives its blobs back") {
  FakeDisk disk;
  OnDisk scene(disk, disk_key);
  scene.ask(scene.a, scene.acquire(disk_key));
  const BlobId blob = *scene.blobs.create(1000);
  static_cast<void>(scene.blobs.examine(blob));
  disk.loaded.front().value->parts = {protocol::Part{"", "text/plain", {}, static_cast<std::uint64_t>(blob), 0, 1000}};
  scene.put(scene.b, disk_key, "newer");
  scene.deliver();
  CHECK(scene.blobs.blobs.empty());
}

TEST_CASE("with all places for blobs taken values go for what the disk has brought, as many as it needs, though what goes is still being closed") {
  for (const std::size_t parts : {1U, 2U, 3U}) {
    for (const bool slow_close : {false, true}) {
      CAPTURE(parts);
      CAPTURE(slow_close);
      FakeDisk disk;
      AllPlacesTaken scene(disk, parts);
      scene.blobs.slow_close = slow_close;
      const RequestId asked = scene.last_request;
      scene.deliver_loads();
      const auto value = scene.take<protocol::Value>(scene.a, asked);
      CHECK(scene.store.find(disk_key));
      CHECK(scene.brought->is_placed);
      CHECK(scene.left() == 4 - parts);
      CHECK(scene.blobs.blobs.size() == 4);
    }
  }
}

TEST_CASE("nothing goes for what nobody wants any more, and nothing in vain") {
  FakeDisk disk;
  SUBCASE("it was put meanwhile") {
    AllPlacesTaken scene(disk);
    scene.put(scene.b, disk_key, "newer");
    scene.deliver_loads();
    CHECK(scene.left() == 4);
    CHECK(scene.blobs.blobs.size() == 4);
  }
  SUBCASE("it was invalidated meanwhile") {
    AllPlacesTaken scene(disk);
    const RequestId asked = scene.last_request;
    scene.ask(scene.admin, protocol::Invalidate{key_scope(disk_key), false});
    scene.deliver_loads();
    CHECK(scene.left() == 4);
    static_cast<void>(scene.take<protocol::Lease>(scene.a, asked));
  }
  SUBCASE("it needs more places than there are") {
    AllPlacesTaken scene(disk, 5);
    const RequestId asked = scene.last_request;
    scene.deliver_loads();
    CHECK(scene.left() == 4);
    static_cast<void>(scene.take<protocol::Lease>(scene.a, asked));
  }
}
