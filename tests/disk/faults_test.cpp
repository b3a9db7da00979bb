// Every operation on the disk fails once, and several in a row: the store says so, goes on by itself, and brings nothing wrong.
#include <doctest/doctest.h>

#include "workload.hpp"

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
      for (std::size_t at = 0; at < operations; ++at) {
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
  CHECK(degradations > operations);
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
    const disk::Store::Operation more[] = {disk::Store::Put{derived_value(20, 1)}};
    CHECK((*store)->write(more, true, 20'000)[0] == disk::Store::Outcome::done);
  }
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  for (int key = 0; key < 12; ++key) CHECK_FALSE((*store)->load(key_name(key), 20'000)->has_value());
  CHECK((*store)->load(key_name(20), 20'000)->has_value());
}

}  // namespace onced::testing
