// Files of large parts that are handed over in place of their bytes: checked once, and never changed while somebody has them.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "disk/store.hpp"
#include "gated_files.hpp"
#include "support/temp_directory.hpp"
#include "workload.hpp"

using namespace onced;
using namespace onced::testing;
using Store = disk::Store;

namespace {

// What is read of files, in calls.
struct Counting {
  std::atomic<int> reads{0};
  Result<void> reading() {
    ++reads;
    return {};
  }
  Result<void> writing() { return {}; }
  Result<void> syncing() { return {}; }
};

struct FileSink final : disk::PartSink {
  std::map<std::size_t, int> files;
  std::map<std::size_t, std::string> bytes;
  std::size_t present = 0;
  std::string buffer;
  ~FileSink() override {
    for (const auto& [part, file] : files) ::close(file);
  }
  bool begin(std::size_t part, std::uint64_t) override {
    present = part;
    bytes[part].clear();
    return true;
  }
  std::span<std::byte> room(std::size_t wanted) override {
    buffer.resize(wanted);
    return std::as_writable_bytes(std::span(buffer));
  }
  bool filled(std::span<const std::byte> piece) override {
    bytes[present].append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return true;
  }
  bool takes_files() const override { return true; }
  void take_file(std::size_t part, std::uint64_t, int descriptor) override {
    const auto before = files.find(part);
    if (before != files.end()) ::close(before->second);
    files[part] = descriptor;
  }
};

void put(Store& store, disk::ValueInput value) {
  const Store::Operation operation[] = {Store::Put{std::move(value)}};
  REQUIRE(store.write(operation, true, 20'000)[0] == Store::Outcome::done);
}

std::string content_of(int descriptor) {
  struct stat status {};
  REQUIRE(::fstat(descriptor, &status) == 0);
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  REQUIRE(::pread(descriptor, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  return bytes;
}

struct Fixture {
  TempDirectory temp;
  Counting counting;
  std::unique_ptr<Store> store;
  Fixture() {
    open();
    put(*store, derived_value(1, 1));
  }
  std::filesystem::path path() const { return temp / "store"; }
  void open() {
    store.reset();
    auto files = open_gated_files(path().string(), counting);
    REQUIRE(files.ok());
    auto opened = Store::open(std::move(*files), small_store(), 10'000);
    REQUIRE_MESSAGE(opened.ok(), opened.error().text);
    store = std::move(*opened);
  }
  // The value's record moves to another segment.
  void compact() {
    for (int key = 3; key < 400; key += 4) put(*store, derived_value(key, 1));
    REQUIRE(store->compact(20'000).ok());
    CHECK_FALSE(std::filesystem::exists(path() / "log" / "00000001.log"));
  }
  // Reads of a load that takes files.
  int reads_of_load(FileSink& sink) {
    const int before = counting.reads;
    const auto loaded = store->load(key_name(1), 20'000, &sink);
    REQUIRE(loaded.ok());
    REQUIRE(loaded->has_value());
    CHECK((**loaded).parts[1].in_sink);
    return counting.reads - before;
  }
};

}  // namespace

TEST_CASE("a sink that takes files gets them, only to be read, and what it does not get a file for as bytes") {
  Fixture fixture;
  FileSink sink;
  fixture.reads_of_load(sink);
  REQUIRE(sink.files.size() == 2);
  CHECK(content_of(sink.files[1]) == derived_bytes(1, 1, 1, 700));
  CHECK(content_of(sink.files[2]) == derived_bytes(1, 1, 2, 350));
  for (const auto& [part, file] : sink.files) {
    CHECK((::fcntl(file, F_GETFL) & O_ACCMODE) == O_RDONLY);
    CHECK((::fcntl(file, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(::pwrite(file, "x", 1, 0) < 0);
    CHECK(::ftruncate(file, 0) < 0);
  }
  const auto in_memory = std::make_shared<MemoryDisk>();  // its files have no descriptors
  auto store = open_store(in_memory);
  REQUIRE(store.ok());
  put(**store, derived_value(1, 1));
  FileSink other;
  REQUIRE((*store)->load(key_name(1), 20'000, &other).ok());
  CHECK(other.files.empty());
  CHECK(other.bytes[1] == derived_bytes(1, 1, 1, 700));
}

TEST_CASE("files are read once before they are handed over, by the process that has not written them itself") {
  Fixture fixture;
  FileSink sink;
  CHECK(fixture.reads_of_load(sink) == 1);  // the record
  fixture.open();
  CHECK(fixture.reads_of_load(sink) == 1 + 2);
  CHECK(fixture.reads_of_load(sink) == 1);
  fixture.compact();  // the record moves, the files do not
  CHECK(fixture.reads_of_load(sink) == 1);
  put(*fixture.store, derived_value(1, 2));
  CHECK(fixture.reads_of_load(sink) == 1);
  CHECK(content_of(sink.files[1]) == derived_bytes(1, 2, 1, 700));
}

TEST_CASE("a file that was damaged before this process has seen it is not handed over") {
  for (const bool cut : {false, true}) {
    CAPTURE(cut);
    Fixture fixture;
    fixture.store.reset();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(fixture.path() / "parts")) {
      if (!entry.is_regular_file() || !entry.path().string().ends_with("-1")) continue;
      if (cut) {
        std::filesystem::resize_file(entry.path(), 349);
      } else {
        std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(5);
        file.put('!');
      }
    }
    fixture.open();
    FileSink sink;
    const auto loaded = fixture.store->load(key_name(1), 20'000, &sink);
    REQUIRE(loaded.ok());
    CHECK_FALSE(loaded->has_value());
    CHECK(fixture.store->status().damaged == 1);
  }
}

TEST_CASE("what was handed over stays as it was, whatever becomes of its value") {
  Fixture fixture;
  FileSink sink;
  fixture.reads_of_load(sink);
  const std::string before = content_of(sink.files[1]);
  SUBCASE("replaced") { put(*fixture.store, derived_value(1, 2)); }
  SUBCASE("cleared") {
    const std::vector<Store::Operation> clear{Store::Clear{}};
    CHECK(fixture.store->write(clear, true, 20'000).at(0) == Store::Outcome::done);
    CHECK(std::none_of(std::filesystem::recursive_directory_iterator(fixture.path() / "parts"), std::filesystem::recursive_directory_iterator(),
                       [](const auto& entry) { return entry.is_regular_file(); }));
  }
  SUBCASE("evicted") {
    for (int key = 2; key < 2'000; ++key) put(*fixture.store, derived_value(key, 1));
    CHECK(fixture.store->status().evicted > 0);
    CHECK_FALSE(fixture.store->may_have(key_name(1)));
  }
  SUBCASE("compacted") { fixture.compact(); }
  SUBCASE("opened again") { fixture.open(); }
  CHECK(content_of(sink.files[1]) == before);
}
