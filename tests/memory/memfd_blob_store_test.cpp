#include "memory/memfd_blob_store.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "memory/memfd.hpp"
#include "memory/segment_store.hpp"
#include "tests/memory/aligned_memory.hpp"
#include "tests/support/temp_directory.hpp"

using namespace onced;
using engine::BlobId;
using memory::FileDescriptor;
using memory::SegmentStore;

namespace {

constexpr std::uint64_t blob_bytes = 64 * 1024;

struct BlobScene {
  explicit BlobScene(std::size_t count_max = 8, std::size_t segment_bytes = 1024 * 1024) : memory(segment_bytes) {
    store = std::move(*SegmentStore::create(memory.bytes(), 77, 88, memory::BlobOptions{.count_max = count_max}));
    store->add_page(engine::ConnectionId{1}, *page);
    reader.emplace(*protocol::SegmentReader::open(store->segment()));
  }
  memory::MemfdBlobStore& blobs() { return store->blobs(); }
  // As a client gets it: a descriptor of its own.
  FileDescriptor client_end(BlobId blob) { return FileDescriptor(::dup(blobs().descriptor(blob)->get())); }
  // Filled and sealed by a client, as Publish wants it.
  BlobId published(char content) {
    const BlobId blob = *blobs().create(blob_bytes);
    const std::string bytes(blob_bytes, content);
    const FileDescriptor end = client_end(blob);
    REQUIRE(::pwrite(end.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    REQUIRE(::fcntl(end.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0);
    REQUIRE(blobs().examine(blob).ok());
    return blob;
  }
  engine::RecordRef place(std::string_view key, const std::vector<protocol::Part>& parts,
                          std::optional<engine::RecordRef> replaces = {}) {
    engine::RecordImage image;
    image.key = key;
    image.parts = &parts;
    const auto placed = store->place(image, replaces);
    REQUIRE(placed.outcome == engine::RecordStore::Outcome::placed);
    return placed.record;
  }
  static protocol::Part part(std::string name, BlobId blob, std::uint64_t length = blob_bytes) {
    return {std::move(name), "application/octet-stream", {}, static_cast<std::uint64_t>(blob), 0, length};
  }

  test::AlignedMemory memory;
  std::unique_ptr<SegmentStore> store;
  test::HeapPinPage page{2};
  std::optional<protocol::SegmentReader> reader;
};

}  // namespace

TEST_CASE("a blob is charged with whole pages of its size from its making to its end, though a sealed one fills its holes") {
  BlobScene scene;
  const BlobId blob = *scene.blobs().create(64 * 4096 - 1);
  CHECK(scene.blobs().usage().charged_bytes == 64 * 4096);
  CHECK(scene.blobs().charged(blob) == 64 * 4096);
  CHECK(scene.blobs().size(blob) == 64 * 4096 - 1);
  const FileDescriptor end = scene.client_end(blob);
  REQUIRE(::pwrite(end.get(), "hello", 5, 0) == 5);
  REQUIRE(::fcntl(end.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0);
  REQUIRE(scene.blobs().examine(blob).ok());
  CHECK(scene.blobs().usage().charged_bytes == 64 * 4096);
  // No seal forbids these: the first may work, the second does.
  ::fallocate(end.get(), 0, 0, 32 * 4096);
  void* const mapped = ::mmap(nullptr, 64 * 4096, PROT_READ, MAP_SHARED, end.get(), 0);
  REQUIRE(mapped != MAP_FAILED);
  for (int page = 0; page < 64; ++page) CHECK(static_cast<const volatile char*>(mapped)[page * 4096] == (page == 0 ? 'h' : 0));
  ::munmap(mapped, 64 * 4096);
  struct stat status{};
  REQUIRE(::fstat(end.get(), &status) == 0);
  CHECK(static_cast<std::uint64_t>(status.st_blocks) * 512 <= scene.blobs().usage().charged_bytes);
  CHECK(scene.blobs().usage().charged_bytes == 64 * 4096);
  scene.blobs().release(blob);
  CHECK(scene.blobs().usage().charged_bytes == 0);
  CHECK(scene.blobs().usage().count == 0);
  CHECK(scene.blobs().size(blob) == 0);
  CHECK(scene.blobs().descriptor(blob) == nullptr);
}

TEST_CASE("a blob that is not sealed is refused by the names of the seals that are missing") {
  BlobScene scene;
  const BlobId blob = *scene.blobs().create(4096);
  const auto bare = scene.blobs().examine(blob);
  REQUIRE(!bare.ok());
  CHECK(bare.error().code == ErrorCode::malformed);
  CHECK(bare.error().text.find("F_SEAL_WRITE, F_SEAL_SEAL missing") != std::string::npos);
  const FileDescriptor end = scene.client_end(blob);
  REQUIRE(::fcntl(end.get(), F_ADD_SEALS, F_SEAL_WRITE) == 0);
  const auto half = scene.blobs().examine(blob);
  REQUIRE(!half.ok());
  CHECK(half.error().text.find("F_SEAL_WRITE") == std::string::npos);
  CHECK(half.error().text.find("F_SEAL_SEAL missing") != std::string::npos);
}

TEST_CASE("a client cannot change the size of a blob, sealed or not") {
  BlobScene scene;
  const BlobId blob = *scene.blobs().create(2 * 4096);
  const FileDescriptor end = scene.client_end(blob);
  CHECK(::ftruncate(end.get(), 4096) == -1);
  CHECK(errno == EPERM);
  CHECK(::ftruncate(end.get(), 3 * 4096) == -1);
  CHECK(::pwrite(end.get(), "x", 1, 2 * 4096) == -1);
}

TEST_CASE("a mapping that can still write keeps a blob from being sealed, and so from being published") {
  BlobScene scene;
  const BlobId blob = *scene.blobs().create(4096);
  const FileDescriptor end = scene.client_end(blob);
  void* const writable = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, end.get(), 0);
  REQUIRE(writable != MAP_FAILED);
  CHECK(::fcntl(end.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == -1);
  CHECK(errno == EBUSY);
  CHECK(!scene.blobs().examine(blob).ok());
  ::munmap(writable, 4096);
  CHECK(::fcntl(end.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0);
  CHECK(scene.blobs().examine(blob).ok());
}

TEST_CASE("nothing changes a byte of a published blob: write, mapping, mprotect, a hole, a new descriptor from /proc") {
  BlobScene scene;
  const BlobId blob = scene.published('v');
  const FileDescriptor end = scene.client_end(blob);
  const FileDescriptor reopened(::open(("/proc/self/fd/" + std::to_string(end.get())).c_str(), O_RDWR));
  for (const int descriptor : {end.get(), reopened.get()}) {
    if (descriptor < 0) continue;  // not even opened, where the kernel minds the file's mode
    CHECK(::pwrite(descriptor, "x", 1, 0) == -1);
    CHECK(errno == EPERM);
    CHECK(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) == MAP_FAILED);
    CHECK(::fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == -1);
    CHECK(::ftruncate(descriptor, 0) == -1);
    void* const mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, descriptor, 0);
    REQUIRE(mapped != MAP_FAILED);
    // A private page becomes writable: for its owner alone.
    REQUIRE(::mprotect(mapped, 4096, PROT_READ | PROT_WRITE) == 0);
    *static_cast<char*>(mapped) = 'x';
    ::munmap(mapped, 4096);
  }
  char first = 0;
  REQUIRE(::pread(end.get(), &first, 1, 0) == 1);
  CHECK(first == 'v');
}

TEST_CASE("more blobs than there are descriptors for are refused, and one that went makes room") {
  BlobScene scene(2);
  const BlobId first = *scene.blobs().create(1);
  REQUIRE(scene.blobs().create(1).ok());
  const auto third = scene.blobs().create(1);
  REQUIRE(!third.ok());
  CHECK(third.error().code == ErrorCode::limit_reached);
  CHECK(third.error().text.find("2 blobs >= 2") != std::string::npos);
  scene.blobs().release(first);
  const auto again = scene.blobs().create(1);
  REQUIRE(again.ok());
  CHECK(*again != first);  // an id is never given twice
}

TEST_CASE("a record keeps its blobs while it is found or pinned, and readers are told when it is found no more") {
  BlobScene scene;
  const BlobId blob = scene.published('v');
  const auto id = static_cast<std::uint64_t>(blob);
  CHECK(!scene.reader->blob_live(id));
  const auto record = scene.place("key", {BlobScene::part("data", blob), {"note", "text/plain", "small"}});
  scene.blobs().release(blob);  // the reservation's hold
  CHECK(scene.reader->blob_live(id));

  const auto found = scene.reader->lookup("key", scene.reader->hash("key"), *scene.page, 0);
  REQUIRE(found.outcome == protocol::LookupOutcome::hit);
  CHECK(scene.store->pins(std::array{record}) == std::vector<std::uint32_t>{1});
  const auto data = scene.reader->part(found.record, *scene.reader->find_part(found.record, "data"));
  REQUIRE(data.has_value());
  CHECK(data->blob == id);
  CHECK(data->length == blob_bytes);
  CHECK(data->bytes.empty());
  const auto note = scene.reader->part(found.record, *scene.reader->find_part(found.record, "note"));
  REQUIRE(note.has_value());
  CHECK(note->length == 5);
  CHECK(!scene.reader->find_part(found.record, "other").has_value());

  const std::uint64_t dropped_before = scene.reader->blobs_dropped();
  scene.store->unlink(record);
  CHECK(!scene.reader->blob_live(id));
  CHECK(scene.reader->blobs_dropped() > dropped_before);
  scene.store->reclaim();
  CHECK(scene.blobs().size(blob) == blob_bytes);  // pinned: can still be asked for
  protocol::release_pin(*scene.page, found.pin);
  scene.store->reclaim();
  CHECK(scene.blobs().size(blob) == 0);
  CHECK(scene.blobs().usage().charged_bytes == 0);
}

TEST_CASE("a value that replaces another takes its own blobs and gives the old ones back") {
  BlobScene scene;
  const BlobId before = scene.published('a');
  const auto record = scene.place("key", {BlobScene::part("", before)});
  scene.blobs().release(before);
  const BlobId after = scene.published('b');
  scene.place("key", {BlobScene::part("x", after, 10), BlobScene::part("y", after, 20)}, record);
  scene.blobs().release(after);
  scene.store->reclaim();
  CHECK(scene.blobs().size(before) == 0);
  CHECK(scene.blobs().size(after) == blob_bytes);
  CHECK(scene.blobs().usage().count == 1);
}

TEST_CASE("a value's parts are read back as they were given") {
  BlobScene scene;
  const BlobId blob = scene.published('v');
  const std::vector<protocol::Part> parts{{"small", "text/plain", "hello"}, BlobScene::part("large", blob), {"", "", "unnamed"}};
  const auto record = scene.place("key", parts);
  CHECK(scene.store->read(record) == parts);
}

TEST_CASE("a record's blobs go as soon as nobody pins it, whatever waits to be wiped before it") {
  constexpr std::size_t record_bytes = 60 * 1024;
  BlobScene scene(8, 128 * 1024 * 1024);
  std::vector<engine::RecordRef> inline_records;
  const std::vector<protocol::Part> small{{"", "", std::string(record_bytes, 'x')}};
  for (int i = 0; i < 1100; ++i) inline_records.push_back(scene.place("small" + std::to_string(i), small));
  std::vector<engine::RecordRef> records;
  for (int i = 0; i < 2; ++i) {
    const BlobId blob = scene.published('v');
    records.push_back(scene.place("large" + std::to_string(i), {BlobScene::part("", blob)}));
    scene.blobs().release(blob);
  }
  const auto pinned = scene.reader->lookup("large1", scene.reader->hash("large1"), *scene.page, 0);
  REQUIRE(pinned.outcome == protocol::LookupOutcome::hit);
  for (const auto record : inline_records) scene.store->unlink(record);
  REQUIRE(scene.store->usage().retired_bytes > 60 * 1024 * 1024);
  scene.store->reclaim();  // the backlog is found unpinned, a part of it is wiped
  for (const auto record : records) scene.store->unlink(record);
  REQUIRE(scene.store->usage().retired_with_blobs == 2);
  scene.store->reclaim();
  CHECK(scene.store->usage().retired_bytes > 40 * 1024 * 1024);
  CHECK(scene.store->usage().retired_with_blobs == 1);
  CHECK(scene.blobs().usage().count == 1);
  protocol::release_pin(*scene.page, pinned.pin);
  scene.store->reclaim();
  CHECK(scene.store->usage().retired_with_blobs == 0);
  CHECK(scene.blobs().usage().count == 0);
  while (scene.store->reclaim() > 0) {
  }
  CHECK(scene.store->usage().retired_records == 0);
  CHECK(scene.store->usage().retired_with_blobs == 0);
}

namespace {

// What is to be closed waits for the test.
struct ClosedLater {
  explicit ClosedLater(std::size_t count_max)
      : store(std::move(*SegmentStore::create(
            memory.bytes(), 77, 88,
            memory::BlobOptions{.count_max = count_max, .close_later = [this](FileDescriptor last, std::function<void()> closed) {
                                  closing.emplace_back(std::move(last), std::move(closed));
                                }}))) {}
  std::vector<std::pair<FileDescriptor, std::function<void()>>> closing;
  test::AlignedMemory memory{1024 * 1024};
  std::unique_ptr<SegmentStore> store;
};

}  // namespace

TEST_CASE("a blob that is released counts, bytes and descriptor, until it is closed") {
  ClosedLater scene(2);
  auto& closing = scene.closing;
  memory::MemfdBlobStore& blobs = scene.store->blobs();
  const BlobId first = *blobs.create(4096);
  const BlobId second = *blobs.create(2 * 4096);
  std::shared_ptr<const FileDescriptor> to_be_sent = blobs.descriptor(first);
  blobs.release(first);
  CHECK(closing.empty());  // an answer still has it
  CHECK(blobs.usage().closing_bytes == 4096);
  to_be_sent.reset();
  REQUIRE(closing.size() == 1);
  blobs.release(second);
  CHECK(blobs.usage().charged_bytes == 3 * 4096);
  CHECK(blobs.usage().closing_bytes == 3 * 4096);
  CHECK(blobs.usage().count == 2);
  CHECK(blobs.usage().closing_count == 2);
  CHECK(!blobs.create(1).ok());
  closing.back().first = FileDescriptor();
  closing.back().second();
  CHECK(blobs.usage().charged_bytes == 4096);
  CHECK(blobs.usage().count == 1);
  CHECK(blobs.create(1).ok());
  closing.front().second();
  CHECK(blobs.usage().charged_bytes == 4096);
  CHECK(blobs.usage().closing_bytes == 0);
  CHECK(blobs.usage().closing_count == 0);
}

TEST_CASE("what cannot be adopted, or is not wanted any more, is closed by who closes and counts until then") {
  ClosedLater scene(1);
  auto& closing = scene.closing;
  memory::MemfdBlobStore& blobs = scene.store->blobs();
  REQUIRE(blobs.create(4096).ok());
  const auto filled = [] {
    FileDescriptor memory_file = memory::create_memfd("filled");
    REQUIRE(ftruncate(memory_file.get(), 2 * 4096) == 0);
    return memory_file;
  };
  CHECK(blobs.adopt(filled(), 2 * 4096).error().code == ErrorCode::limit_reached);
  REQUIRE(closing.size() == 1);
  blobs.discard(filled(), 2 * 4096, false);
  blobs.discard(FileDescriptor(), 2 * 4096, false);  // there is none
  REQUIRE(closing.size() == 2);
  CHECK(blobs.usage().closing_bytes == 4 * 4096);
  CHECK(blobs.usage().closing_count == 2);
  for (auto& [last, closed] : closing) {
    CHECK(last);
    last = FileDescriptor();
    closed();
  }
  CHECK(blobs.usage().closing_bytes == 0);
  CHECK(blobs.usage().count == 1);
}

TEST_CASE("a file takes a place and no memory, and is refused when it could be written or has another size") {
  onced::testing::TempDirectory directory;
  const std::string path = (directory / "part").string();
  const std::string content(100'000, 'x');
  FileDescriptor writable(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE(::write(writable.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  const auto opened = [&] { return FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC)); };
  BlobScene scene;
  const auto memory = scene.published('m');
  const BlobId file = *scene.blobs().adopt_file(opened(), content.size());
  CHECK(scene.blobs().is_file(file));
  CHECK_FALSE(scene.blobs().is_file(memory));
  CHECK(scene.blobs().size(file) == content.size());
  CHECK(scene.blobs().charged(file) == 0);
  CHECK(scene.blobs().examine(file).ok());
  engine::BlobStore::Usage usage = scene.blobs().usage();
  CHECK(usage.charged_bytes == blob_bytes);
  CHECK(usage.count == 2);
  CHECK(usage.file_count == 1);
  CHECK(usage.file_bytes == content.size());
  CHECK(scene.blobs().adopt_file(std::move(writable), content.size()).error().text.find("only to be read") != std::string::npos);
  CHECK(scene.blobs().adopt_file(opened(), content.size() + 1).error().text.find("100000 bytes") != std::string::npos);
  CHECK(scene.blobs().adopt_file(FileDescriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)), 0).error().code == ErrorCode::malformed);
  CHECK_FALSE(scene.blobs().adopt(opened(), content.size()).ok());  // as memory it would have to be sealed
  scene.blobs().release(file);
  scene.blobs().release(memory);
  usage = scene.blobs().usage();
  CHECK(usage.count == 0);
  CHECK(usage.charged_bytes == 0);
  CHECK(usage.file_count == 0);
  CHECK(usage.file_bytes == 0);
}
