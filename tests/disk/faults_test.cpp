// Every operation on the disk fails once, and several in a row: the store says so, goes on by itself, and brings nothing wrong.
#include <doctest/doctest.h>

#include "workload.hpp"
#include "support/stride.hpp"

namespace onced::testing {
namespace {

// How many operations the workload needs without faults.
std::size_t run(const std::shared_ptr<MemoryDisk>& disk, Workload& workload, int steps, std::size_t& degraded) {
  const auto time = [&] { return disk->log.size(); };
  auto store = open_store(disk);
  if (!store) return 0;
  for (int i = 0; i < steps; ++i) {
    workload.step(**store, time);
    // Whatever the disk does, nothing wrong is found, and what was acknowledged is there.
    CHECK(workload.problem(**store, ~std::size_t{0}, true) == "");
    if ((*store)->degraded()) {
      ++degraded;
      CHECK((*store)->status().degraded);
      CHECK_FALSE((*store)->degraded_text().empty());
      (*store)->recover(20'000);
    }
  }
  const std::size_t operations = disk->counted;
  disk->disarm();
  for (int i = 0; i < 20 && (*store)->degraded(); ++i) (*store)->recover(20'000);
  CHECK_FALSE((*store)->degraded());
  const disk::Store::Operation last[] = {disk::Store::Put{derived_value(1000, 1)}};
  CHECK((*store)->write(last, true, 20'000)[0] == disk::Store::Outcome::done);
  CHECK(workload.problem(**store, ~std::size_t{0}, true) == "");
  return operations;
}

}  // namespace

TEST_CASE("each operation fails once: the store degrades, recovers, and nothing wrong or dropped is found, not after a power loss either") {
  std::size_t operations = 0;
  {
    const auto disk = std::make_shared<MemoryDisk>();
    Workload workload;
    workload.random.seed(21);
    std::size_t degraded = 0;
    operations = run(disk, workload, 40, degraded);
    REQUIRE(degraded == 0);
    REQUIRE(operations > 200);
  }
  std::size_t degradations = 0;
  for (const std::size_t in_a_row : {1U, 5U}) {
    for (const Fault fault : {Fault::error, Fault::half_written}) {
      for (std::size_t at = 0; at < operations; at += stride) {
        CAPTURE(in_a_row);
        CAPTURE(static_cast<int>(fault));
        CAPTURE(at);
        const auto disk = std::make_shared<MemoryDisk>();
        disk->arm(at, in_a_row, fault);
        Workload workload;
        workload.faults = true;
        workload.random.seed(21);
        std::size_t degraded = 0;
        run(disk, workload, 40, degraded);
        degradations += degraded != 0 ? 1U : 0U;
        disk->disarm();
        std::mt19937_64 random(at);
        for (const auto loss : {MemoryDisk::Loss::nothing, MemoryDisk::Loss::all_unsynced, MemoryDisk::Loss::random}) {
          const auto after = std::make_shared<MemoryDisk>(disk->after(disk->log.size(), loss, random));
          auto store = open_store(after);
          REQUIRE_MESSAGE(store.ok(), store.error().text);
          // What was acknowledged before or after the fault is there; a put that was not may be missing, with what it replaced.
          CHECK(workload.problem(**store, disk->log.size(), true) == "");
        }
      }
    }
  }
  CHECK(degradations * stride > operations);
}

TEST_CASE("a put that fails at any operation leaves no part files behind when the disk works again") {
  std::size_t failures = 0;
  for (const Fault fault : {Fault::error, Fault::half_written}) {
    for (std::size_t at = 0;; ++at) {
      CAPTURE(at);
      const auto disk = std::make_shared<MemoryDisk>();
      auto store = open_store(disk);
      REQUIRE(store.ok());
      disk->arm(at, 1, fault);
      const disk::Store::Operation put[] = {disk::Store::Put{derived_value(1, 1)}};
      const bool failed = (*store)->write(put, true, 20'000)[0] == disk::Store::Outcome::failed;
      disk->disarm();
      failures += failed ? 1U : 0U;
      REQUIRE((*store)->recover(20'000));
      const disk::Store::Operation everything[] = {disk::Store::Clear{}};
      CHECK((*store)->write(everything, true, 20'000)[0] == disk::Store::Outcome::done);
      CHECK((*store)->sync(20'000));
      for (const auto& [name, inode] : disk->names) CHECK_MESSAGE(!name.starts_with("parts/"), name << " is left");
      if (!failed && disk->failed == 0) break;
    }
  }
  CHECK(failures > 10);
}

namespace {

// A batch of which the first put replaces a value and ends a segment, so that what comes behind it begins the next one.
struct Straddling {
  std::shared_ptr<MemoryDisk> disk = std::make_shared<MemoryDisk>();
  std::unique_ptr<disk::Store> store;
  std::vector<disk::Store::Outcome> outcomes;
  std::size_t segments = 0;
  std::size_t failed = 0;

  // `filling`: how full the segment is before it. The operation `at` of the batch fails.
  Straddling(int key, std::size_t filling, std::size_t at, Fault fault, bool stable) {
    auto opened = open_store(disk);
    REQUIRE(opened.ok());
    store = std::move(*opened);
    const disk::Store::Operation before[] = {disk::Store::Put{derived_value(key, 1)}, disk::Store::Put{filler(500, filling)}};
    for (const auto outcome : store->write(before, true, 20'000)) REQUIRE(outcome == disk::Store::Outcome::done);
    segments = store->status().segments;
    disk->arm(at, 1, fault);
    // The last one has a part that is a file, too: what fails may be the file, its directory, the flush or the sync.
    const disk::Store::Operation batch[] = {disk::Store::Put{derived_value(key, 2)}, disk::Store::Put{filler(501, 290)}, disk::Store::Put{derived_value(5, 1)}};
    outcomes = store->write(batch, stable, 20'000);
    failed = disk->failed;
    disk->disarm();
  }
  static disk::ValueInput filler(int key, std::size_t bytes) {
    disk::ValueInput value = derived_value(key, 1);
    const std::string piece = derived_bytes(2, 1, 0, test_file_bytes_min - 1);
    const auto bytes_of_all = std::make_shared<std::string>(piece);
    value.parts.clear();
    for (std::size_t left = bytes; left != 0;) {
      const std::size_t n = std::min(left, piece.size());
      value.parts.push_back({"", "", disk::bytes_of(std::string_view(*bytes_of_all).substr(0, n)), bytes_of_all});
      left -= n;
    }
    return value;
  }
};

// The version that is there, 0: none.
std::uint64_t version_in(disk::Store& store, int key) {
  const auto loaded = store.load(key_name(key), 20'000);
  REQUIRE(loaded.ok());
  if (!loaded->has_value()) return 0;
  const auto version = version_of(key, **loaded);
  REQUIRE(version.has_value());
  return *version;
}

}  // namespace

TEST_CASE("what a full segment has made durable counts though its batch fails behind it: the value that it replaces never comes back") {
  std::size_t straddled = 0;  // the first put was done, and something behind it failed
  for (const int key : {1, 3}) {  // with part files, and without
    for (const Fault fault : {Fault::error, Fault::half_written}) {
      for (const bool stable : {true, false}) {
        for (std::size_t filling = 5'600; filling < 7'000; filling += 100) {
          for (std::size_t at = 0;; ++at) {
            CAPTURE(key);
            CAPTURE(stable);
            CAPTURE(filling);
            CAPTURE(at);
            Straddling made(key, filling, at, fault, stable);
            if (made.failed == 0) break;
            const bool done = made.outcomes[0] == disk::Store::Outcome::done;
            const bool failed = made.store->degraded();
            const std::uint64_t expected = done ? 2 : 0;
            CHECK(version_in(*made.store, key) == expected);
            std::mt19937_64 random(at);
            if (done && failed) {
              ++straddled;
              for (const auto loss : {MemoryDisk::Loss::nothing, MemoryDisk::Loss::all_unsynced, MemoryDisk::Loss::random}) {
                auto after = open_store(std::make_shared<MemoryDisk>(made.disk->after(made.disk->log.size(), loss, random)));
                REQUIRE(after.ok());
                CHECK(version_in(**after, key) == 2);
              }
            }
            REQUIRE(made.store->recover(20'000));
            CHECK(version_in(*made.store, key) == expected);
            const disk::Store::Operation more[] = {disk::Store::Put{derived_value(9, 1)}};
            CHECK(made.store->write(more, true, 20'000)[0] == disk::Store::Outcome::done);  // files that nobody needs are gone now
            const std::size_t values = made.store->status().values;
            made.store.reset();
            for (const auto loss : {MemoryDisk::Loss::nothing, MemoryDisk::Loss::all_unsynced}) {
              std::vector<std::string> said;
              auto after = open_store(std::make_shared<MemoryDisk>(made.disk->after(made.disk->log.size(), loss, random)), small_store(&said));
              REQUIRE(after.ok());
              CHECK(version_in(**after, key) == expected);
              CHECK((*after)->status().values == values);  // and nothing else that memory did not know of
              CHECK_MESSAGE(said.empty(), said[0]);
            }
          }
        }
      }
    }
  }
  CHECK(straddled > 50);
}

TEST_CASE("values that were being copied when the disk failed are there once, and after a restart as before it") {
  for (const Fault fault : {Fault::error, Fault::half_written}) {
    for (std::size_t at = 0;; ++at) {
      CAPTURE(at);
      const auto disk = std::make_shared<MemoryDisk>();
      auto store = open_store(disk);
      REQUIRE(store.ok());
      for (std::uint64_t version = 1; version <= 3; ++version) {
        for (int key = 0; key < 30; ++key) {
          const disk::Store::Operation put[] = {disk::Store::Put{derived_value(key, version)}};
          REQUIRE((*store)->write(put, false, 20'000)[0] == disk::Store::Outcome::done);
        }
      }
      REQUIRE((*store)->sync(20'000));
      disk->arm(at, 1, fault);
      static_cast<void>((*store)->compact(20'000));
      disk->disarm();
      const bool none_failed = disk->failed == 0;
      const auto check = [&](disk::Store& one) {
        CHECK(one.status().values == 30);
        CHECK(one.status().damaged == 0);
        for (int key = 0; key < 30; ++key) CHECK(version_in(one, key) == 3);
      };
      check(**store);
      REQUIRE((*store)->recover(20'000));
      REQUIRE((*store)->compact(20'000).ok());
      check(**store);
      store->reset();
      auto again = open_store(disk);
      REQUIRE(again.ok());
      check(**again);
      if (none_failed) break;
    }
  }
}

TEST_CASE("a directory whose sync has failed is synced before a record names the next file in it") {
  for (const std::size_t at : {0U, 1U}) {
    CAPTURE(at);
    const auto disk = std::make_shared<MemoryDisk>();
    MemoryFiles files(disk);
    REQUIRE(files.make_directory("parts").ok());
    REQUIRE(files.sync_directory("").ok());
    disk::PartFileStore parts(files);
    REQUIRE(parts.write(0x001, 0, disk::bytes_of("lost")).ok());
    disk->arm(at, 1, Fault::error);
    CHECK_FALSE(parts.sync_directories().ok());
    disk->disarm();
    REQUIRE(parts.write(0x101, 0, disk::bytes_of("kept")).ok());  // beside it
    REQUIRE(parts.sync_directories().ok());
    std::mt19937_64 random(1);
    CHECK(disk->after(disk->log.size(), MemoryDisk::Loss::all_unsynced, random).contains("parts/01/0000000000000101-0"));
  }
}

TEST_CASE("a disk that cannot be read is an error of the load, not a wrong value and not a missing one") {
  const auto disk = std::make_shared<MemoryDisk>();
  auto store = open_store(disk);
  REQUIRE(store.ok());
  const disk::Store::Operation put[] = {disk::Store::Put{derived_value(1, 1)}};
  REQUIRE((*store)->write(put, true, 20'000)[0] == disk::Store::Outcome::done);
  disk->fail_reads = true;
  for (std::size_t at = 0; at < 3; ++at) {  // the record, then each part file
    disk->arm(at, 1, Fault::error);
    CHECK_FALSE((*store)->load(key_name(1), 20'000).ok());
  }
  disk->disarm();
  const auto loaded = (*store)->load(key_name(1), 20'000);
  REQUIRE(loaded.ok());
  REQUIRE(loaded->has_value());
  CHECK(version_of(1, **loaded) == 1);
  CHECK_FALSE((*store)->degraded());
}

TEST_CASE("a segment that cannot be read goes when its turn comes, and what is written goes on") {
  for (const bool index_too : {false, true}) {
    CAPTURE(index_too);
    const auto disk = std::make_shared<MemoryDisk>();
    disk::StoreOptions options = small_store();
    options.budget_bytes = 1 << 20;
    options.segment_bytes = 16 << 10;
    auto store = open_store(disk, options);
    REQUIRE(store.ok());
    const auto put = [&](disk::ValueInput value) {
      const disk::Store::Operation operation[] = {disk::Store::Put{std::move(value)}};
      return (*store)->write(operation, true, 20'000)[0];
    };
    for (int key = 0; key < 80; ++key) REQUIRE(put(derived_value(key, 1)) == disk::Store::Outcome::done);
    REQUIRE(disk->names.contains("log/00000001.index"));
    disk->unreadable = {disk->names.at("log/00000001.log")};
    if (index_too) disk->unreadable.insert(disk->names.at("log/00000001.index"));
    for (int key = 1000; disk->names.contains("log/00000001.log"); ++key) {
      REQUIRE(put(Straddling::filler(key, 9'000)) == disk::Store::Outcome::done);
      REQUIRE(key < 1'200);
    }
    CHECK_FALSE((*store)->degraded());
    CHECK((*store)->status().damaged > 0);
    CHECK(version_in(**store, 6) == 0);
    store->reset();
    auto again = open_store(std::make_shared<MemoryDisk>(disk->image()), options);
    REQUIRE(again.ok());
    CHECK(version_in(**again, 6) == 0);
  }
}

TEST_CASE("a disk that fails again and again does not make more and more segments") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk::StoreOptions options = small_store();
  options.budget_bytes = 1 << 20;
  options.segment_bytes = 64 << 10;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  const auto put = [&](int key) {
    const disk::Store::Operation operation[] = {disk::Store::Put{derived_value(key, 1)}};
    return (*store)->write(operation, true, 20'000)[0];
  };
  REQUIRE(put(3) == disk::Store::Outcome::done);
  SUBCASE("while it recovers") {
    disk->arm(0, 1, Fault::error);
    CHECK(put(4) == disk::Store::Outcome::failed);
    std::size_t failures = 0;
    for (std::size_t at = 0; at < 400; ++at) {
      disk->arm(at % 40 / 4, 1, Fault::error);
      if (!(*store)->recover(20'000)) {
        ++failures;
        continue;
      }
      disk->arm(0, ~std::size_t{0}, Fault::error);
      CHECK(put(4) == disk::Store::Outcome::failed);
    }
    CHECK(failures > 100);
    disk->disarm();
    REQUIRE((*store)->recover(20'000));
  }
  SUBCASE("between two recoveries") {
    for (int i = 0; i < 200; ++i) {
      disk->arm(0, ~std::size_t{0}, Fault::error);
      CHECK(put(4) == disk::Store::Outcome::failed);
      disk->disarm();
      REQUIRE((*store)->recover(20'000));
      REQUIRE(put(3) == disk::Store::Outcome::done);
      REQUIRE((*store)->status().segments <= 16 + 2 + 1);
    }
  }
  REQUIRE(put(4) == disk::Store::Outcome::done);
  CHECK((*store)->status().segments <= 16 + 2 + 1);
  CHECK(version_in(**store, 3) == 1);
  store->reset();
  for (const auto loss : {MemoryDisk::Loss::nothing, MemoryDisk::Loss::all_unsynced}) {
    std::mt19937_64 random(1);
    auto again = open_store(std::make_shared<MemoryDisk>(disk->after(disk->log.size(), loss, random)), options);
    REQUIRE(again.ok());
    CHECK((*again)->status().damaged == 0);
    CHECK(version_in(**again, 3) == 1);
    CHECK(version_in(**again, 4) == 1);
  }
}

TEST_CASE("while the store is degraded what is dropped stays dropped, and after it, and after a restart") {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    auto store = open_store(disk);
    REQUIRE(store.ok());
    std::vector<disk::Store::Operation> puts;
    for (int key = 0; key < 12; ++key) puts.push_back(disk::Store::Put{derived_value(key, 1)});
    for (const auto outcome : (*store)->write(puts, true, 20'000)) REQUIRE(outcome == disk::Store::Outcome::done);
    disk->arm(0, ~std::size_t{0}, Fault::error);
    const disk::Store::Operation drops[] = {disk::Store::Drop{key_name(3)}, disk::Store::DropLabel{label_of(4)}, disk::Store::Put{derived_value(7, 2)}};
    for (const auto outcome : (*store)->write(drops, true, 20'000)) CHECK(outcome == disk::Store::Outcome::failed);
    CHECK((*store)->degraded());
    const auto gone = [&](int key) { return !(*store)->load(key_name(key), 20'000)->has_value(); };
    for (const int key : {3, 4, 9, 7}) CHECK(gone(key));
    for (const int key : {0, 1, 2, 5, 6}) CHECK_FALSE(gone(key));
    CHECK_FALSE((*store)->recover(20'000));
    disk->disarm();
    CHECK((*store)->recover(20'000));
    for (const int key : {3, 4, 9, 7}) CHECK(gone(key));
    for (const int key : {0, 1, 2, 5, 6}) CHECK_FALSE(gone(key));
  }
  auto store = open_store(disk);
  REQUIRE(store.ok());
  for (const int key : {3, 4, 9, 7}) CHECK_FALSE((*store)->load(key_name(key), 20'000)->has_value());
  for (const int key : {0, 1, 2, 5, 6}) CHECK((*store)->load(key_name(key), 20'000)->has_value());
}

TEST_CASE("a clearing that was asked for while the disk failed gives everything back when it works again") {
  for (std::size_t at = 0;; ++at) {  // and that fails, too
    CAPTURE(at);
    const auto disk = std::make_shared<MemoryDisk>();
    auto store = open_store(disk);
    REQUIRE(store.ok());
    for (int key = 0; key < 30; ++key) {
      const disk::Store::Operation put[] = {disk::Store::Put{derived_value(key, 1)}};
      REQUIRE((*store)->write(put, true, 20'000)[0] == disk::Store::Outcome::done);
    }
    disk->arm(0, ~std::size_t{0}, Fault::error);
    const disk::Store::Operation put[] = {disk::Store::Put{derived_value(1, 2)}};
    REQUIRE((*store)->write(put, true, 20'000)[0] == disk::Store::Outcome::failed);
    const disk::Store::Operation clear[] = {disk::Store::Clear{}};
    CHECK((*store)->write(clear, true, 20'000)[0] == disk::Store::Outcome::failed);
    for (int key = 0; key < 30; ++key) CHECK(version_in(**store, key) == 0);
    disk->arm(at, 1, Fault::error);
    const bool recovered = (*store)->recover(20'000);
    disk->disarm();
    REQUIRE((*store)->recover(20'000));
    CHECK((*store)->status().values == 0);
    CHECK((*store)->status().segments <= 2);
    CHECK((*store)->status().used_bytes < 1'024);
    for (const auto& [name, inode] : disk->names) CHECK_MESSAGE(!name.starts_with("parts/"), name << " is left");
    const disk::Store::Operation more[] = {disk::Store::Put{derived_value(2, 3)}};
    CHECK((*store)->write(more, true, 20'000)[0] == disk::Store::Outcome::done);
    store->reset();
    auto again = open_store(disk);
    REQUIRE(again.ok());
    for (int key = 0; key < 30; ++key) CHECK(version_in(**again, key) == (key == 2 ? 3 : 0));
    if (recovered) break;
  }
}

TEST_CASE("more is dropped while the disk fails than can be remembered: everything is") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk::StoreOptions options = small_store();
  options.owed_max = 4;
  {
    auto store = open_store(disk, options);
    REQUIRE(store.ok());
    std::vector<disk::Store::Operation> puts;
    for (int key = 0; key < 12; ++key) puts.push_back(disk::Store::Put{derived_value(key, 1)});
    (*store)->write(puts, true, 20'000);
    disk->arm(0, ~std::size_t{0}, Fault::error);
    for (int key = 0; key < 6; ++key) {
      const disk::Store::Operation drop[] = {disk::Store::Drop{key_name(key)}};
      (*store)->write(drop, true, 20'000);
    }
    disk->disarm();
    REQUIRE((*store)->recover(20'000));
    for (int key = 0; key < 12; ++key) CHECK_FALSE((*store)->load(key_name(key), 20'000)->has_value());
    CHECK((*store)->write(puts, true, 20'000)[0] == disk::Store::Outcome::done);
    disk->arm(0, ~std::size_t{0}, Fault::error);
    for (disk::Label label = 100; label < 108; ++label) {  // and labels
      const disk::Store::Operation drop[] = {disk::Store::DropLabel{label}};
      (*store)->write(drop, true, 20'000);
    }
    for (int key = 0; key < 12; ++key) CHECK_FALSE((*store)->load(key_name(key), 20'000)->has_value());
    disk->disarm();
    REQUIRE((*store)->recover(20'000));
    const disk::Store::Operation more[] = {disk::Store::Put{derived_value(20, 1)}};
    CHECK((*store)->write(more, true, 20'000)[0] == disk::Store::Outcome::done);
  }
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  for (int key = 0; key < 12; ++key) CHECK_FALSE((*store)->load(key_name(key), 20'000)->has_value());
  CHECK((*store)->load(key_name(20), 20'000)->has_value());
}

}  // namespace onced::testing
