// Power loss after every operation on the disk: nothing wrong is ever found, and what was acknowledged is there.
#include <doctest/doctest.h>

#include "disk/format.hpp"
#include "workload.hpp"
#include "support/stride.hpp"

namespace onced::testing {
namespace {

void check_image(const Image& image, Workload& workload, std::size_t now, bool lossless) {
  const auto disk = std::make_shared<MemoryDisk>(image);
  std::vector<std::string> said;
  {
    auto store = open_store(disk, small_store(&said));
    REQUIRE_MESSAGE(store.ok(), store.error().text);
    CHECK(workload.problem(**store, now, lossless) == "");
    if (lossless) CHECK_MESSAGE((*store)->status().damaged == 0, (said.empty() ? "" : said[0]));
    // It goes on from there.
    const disk::Store::Operation more[] = {disk::Store::Put{derived_value(1000, 1)}, disk::Store::Drop{key_name(3)}};
    const auto outcomes = (*store)->write(more, true, 20'000);
    CHECK(outcomes[0] == disk::Store::Outcome::done);
  }
  auto again = open_store(disk);
  REQUIRE(again.ok());
  const auto loaded = (*again)->load(key_name(1000), 20'000);
  REQUIRE(loaded.ok());
  REQUIRE(loaded->has_value());
  CHECK(version_of(1000, **loaded) == 1);
  const auto dropped = (*again)->load(key_name(3), 20'000);
  REQUIRE(dropped.ok());
  CHECK_FALSE(dropped->has_value());
}

}  // namespace

TEST_CASE("after a power loss at any operation nothing wrong is found and what was durable is there") {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    const auto disk = std::make_shared<MemoryDisk>();
    Workload workload;
    workload.random.seed(seed);
    const auto time = [&] { return disk->log.size(); };
    {
      auto store = open_store(disk);
      REQUIRE(store.ok());
      for (int i = 0; i < 60; ++i) workload.step(**store, time);
    }
    {  // and over a start
      auto store = open_store(disk);
      REQUIRE(store.ok());
      for (int i = 0; i < 20; ++i) workload.step(**store, time);
      REQUIRE((*store)->status().segments > 2);
    }
    std::mt19937_64 random(seed);
    for (std::size_t n = 0; n <= disk->log.size(); n += stride) {
      CAPTURE(n);
      check_image(disk->after(n, MemoryDisk::Loss::nothing, random), workload, n, true);
      check_image(disk->after(n, MemoryDisk::Loss::all_unsynced, random), workload, n, true);
      for (int i = 0; i < 4; ++i) check_image(disk->after(n, MemoryDisk::Loss::random, random), workload, n, true);
    }
  }
}

TEST_CASE("the same while values are evicted and segments are cleaned: nothing wrong, nothing comes back") {
  const auto disk = std::make_shared<MemoryDisk>();
  Workload workload;
  workload.keys = 400;
  workload.random.seed(5);
  disk::StoreOptions options = small_store();
  options.budget_bytes = 1 << 20;
  options.segment_bytes = 64 << 10;
  const auto time = [&] { return disk->log.size(); };
  const auto big = [](int key) {  // fills the budget
    disk::ValueInput value = derived_value(key, 1);
    auto bytes = std::make_shared<std::string>(derived_bytes(2, 1, 0, 40'000));
    value.parts = {{"big", "type", disk::bytes_of(std::string_view(*bytes)), bytes}};
    return value;
  };
  std::size_t begin = 0;
  {
    auto store = open_store(disk, options);
    REQUIRE(store.ok());
    for (int i = 0; i < 150; ++i) {
      if (i == 60) begin = time();
      workload.step(**store, time);
      const disk::Store::Operation fill[] = {disk::Store::Put{big(5000 + i)}};
      CHECK((*store)->write(fill, false, 20'000)[0] == disk::Store::Outcome::done);
      CHECK((*store)->status().used_bytes <= options.budget_bytes);
    }
    CHECK((*store)->status().evicted > 20);
  }
  std::mt19937_64 random(5);
  for (std::size_t n = begin; n <= disk->log.size(); n += 3 * stride) {
    CAPTURE(n);
    const auto after = std::make_shared<MemoryDisk>(disk->after(n, MemoryDisk::Loss::random, random));
    auto store = open_store(after, options);
    REQUIRE_MESSAGE(store.ok(), store.error().text);
    CHECK(workload.problem(**store, n, false) == "");
    CHECK((*store)->status().damaged == 0);
  }
}

TEST_CASE("after a power loss at any operation of setting an older format aside the directory is still a store, of the old format or the new") {
  Image old;
  {
    const auto disk = std::make_shared<MemoryDisk>();
    auto store = open_store(disk);
    REQUIRE(store.ok());
    const disk::Store::Operation operations[] = {disk::Store::Put{derived_value(1, 1)}, disk::Store::KeepAudience{"uid 1000"}};
    for (const auto outcome : (*store)->write(operations, true, 20'000)) REQUIRE(outcome == disk::Store::Outcome::done);
    old = disk->image();
  }
  disk::Identity identity;
  identity.version = disk::format_version - 1;
  identity.seed = 5;
  disk::seal(identity);
  const std::string copy(reinterpret_cast<const char*>(&identity), sizeof(identity));
  old.at("onced-disk").content = copy + copy;
  const auto disk = std::make_shared<MemoryDisk>(old);
  { REQUIRE(open_store(disk).ok()); }
  CHECK(disk->directories.contains("aside/format-1-1/log"));
  std::mt19937_64 random(3);
  for (std::size_t n = 0; n <= disk->log.size(); n += stride) {
    CAPTURE(n);
    for (int i = 0; i < 40; ++i) {
      const auto loss = i == 0 ? MemoryDisk::Loss::nothing : i == 1 ? MemoryDisk::Loss::all_unsynced : MemoryDisk::Loss::random;
      const auto after = std::make_shared<MemoryDisk>(disk->after(n, loss, random));
      auto store = open_store(after);
      REQUIRE_MESSAGE(store.ok(), store.error().text);
      CHECK((*store)->status().values == 0);
      CHECK_FALSE((*store)->audience_before());
    }
  }
}

}  // namespace onced::testing
