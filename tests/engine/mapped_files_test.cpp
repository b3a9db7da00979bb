// Blobs that are files: announced as such, no memory of the budget, a place in the table all the same.
#include "blob_scene.hpp"
#include "fake_disk.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

// A scene with blobs and a disk on which values with a file lie.
struct FileScene : BlobScene {
  FileScene(FakeDisk& its_disk, Settings with) : BlobScene(std::move(with), &its_disk), disk(its_disk) {}

  // Asks for a value of one part in a file that only the disk has; gives the loan back, if it is one.
  BlobId load(const std::string& of, std::uint64_t bytes = 1000) {
    const BlobId blob = *blobs.create(bytes);
    static_cast<void>(blobs.examine(blob));
    blobs.files.insert(blob);
    FakeDisk::Stored& stored = disk.values[of];
    stored.value.version = 1;
    stored.value.cost_us = 1'000;
    stored.value.parts = in_blob(blob, bytes);
    const RequestId asked = ask(a, acquire(of));
    REQUIRE_FALSE(disk.loaded.empty());
    step(std::move(disk.loaded.front()));
    disk.loaded.pop_front();
    if (take<protocol::Value>(a, asked).record == 0) release(a, blob);
    disk.values.erase(of);
    return blob;
  }

  FakeDisk& disk;
  const ConnectionId a = connect();
};

}  // namespace

TEST_CASE("a descriptor of a file is announced as one, that of memory is not") {
  FakeDisk disk;
  FileScene scene(disk, with_budget(10'000));
  const BlobId memory = scene.put_blob(scene.a, key_of("memory"));
  const BlobId file = scene.load(key_of("file"));
  CHECK(scene.taken(scene.a, scene.ask_to_fetch(scene.a, file)).file);
  CHECK_FALSE(scene.taken(scene.a, scene.ask_to_fetch(scene.a, memory)).file);
  CHECK_FALSE(scene.taken(scene.a, scene.ask_to_reserve(scene.a, 10)).file);
}

TEST_CASE("files count as files, not as memory, and do not go when memory is short") {
  FakeDisk disk;
  FileScene scene(disk, with_budget(3000));
  for (int i = 0; i < 5; ++i) scene.load(key_of("file", i));
  CHECK(scene.counted("blob_bytes") == 0);
  CHECK(scene.counted("mapped_files") == 5);
  for (int i = 0; i < 6; ++i) scene.put_blob(scene.a, key_of("memory", i));
  CHECK(scene.counted("blob_bytes") == 3000);
  CHECK(scene.counted("blob_evictions") == 3);
  for (int i = 0; i < 5; ++i) CHECK(scene.store.visible(key_of("file", i)));
}

TEST_CASE("what the disk has brought needs no further place") {
  FakeDisk disk;
  FileScene scene(disk, with_budget(1'000'000));
  scene.blobs.count_max = 1;
  scene.load(key_of("file", 0));
  CHECK(scene.store.visible(key_of("file", 0)));
  scene.blobs.count_max = 2;
  scene.load(key_of("file", 1));
  CHECK(scene.store.visible(key_of("file", 1)));
  CHECK(scene.store.visible(key_of("file", 0)));
  CHECK(scene.counted("blob_evictions") == 0);
}

TEST_CASE("when places are short a file goes like memory of its size, one for one") {
  FakeDisk disk;
  FileScene scene(disk, with_budget(1'000'000));
  scene.blobs.count_max = 4;
  for (int i = 0; i < 3; ++i) scene.load(key_of("file", i));
  scene.reserve(scene.a);
  CHECK(scene.counted("blob_evictions") == 0);
  scene.reserve(scene.a);
  CHECK(scene.counted("blob_evictions") == 1);
  CHECK(scene.counted("mapped_files") == 2);
}
