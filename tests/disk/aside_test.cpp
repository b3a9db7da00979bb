// What was set aside counts in the budget: a store of an older format goes when its room is needed, and not before.
#include <doctest/doctest.h>

#include "disk/format.hpp"
#include "workload.hpp"

namespace onced::testing {
namespace {

using disk::Store;

disk::StoreOptions two_megabytes(std::vector<std::string>* said = nullptr) {
  disk::StoreOptions options = small_store(said);
  options.budget_bytes = 2 << 20;
  options.segment_bytes = 64 << 10;
  return options;
}

disk::ValueInput sized_value(int key, std::size_t bytes) {
  disk::ValueInput value;
  value.key = key_name(key);
  auto content = std::make_shared<std::string>(derived_bytes(key * 3 + 1, 1, 0, bytes));
  value.parts = {{"", "", disk::bytes_of(std::string_view(*content)), content}};
  return value;
}

// A store that was full, with and without part files, as a daemon of before left it.
Image older_store(std::uint32_t version = disk::format_version - 1) {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    auto store = open_store(disk, two_megabytes());
    REQUIRE(store.ok());
    for (int key = 0; key < 2'000; ++key) {
      const Store::Operation put[] = {Store::Put{key % 10 == 0 ? sized_value(key, 9'000) : derived_value(key, 1)}};
      REQUIRE((*store)->write(put, false, 20'000)[0] == Store::Outcome::done);
    }
    REQUIRE((*store)->sync(20'000));
    REQUIRE((*store)->status().used_bytes > (2 << 20) * 9 / 10);
  }
  Image image = disk->image();
  disk::Identity identity;
  identity.version = version;
  identity.seed = 5;
  disk::seal(identity);
  const std::string copy(reinterpret_cast<const char*>(&identity), sizeof(identity));
  image.at("onced-disk").content = copy + copy;
  return image;
}

std::uint64_t bytes_of_files(const MemoryDisk& disk, const std::string& below = "") {
  std::uint64_t bytes = 0;
  for (const auto& [name, inode] : disk.names) bytes += name.starts_with(below) ? disk.inodes[inode].content.size() : 0;
  return bytes;
}
bool has_older(const MemoryDisk& disk) {
  const auto is_older = [](const auto& one) { return one.first.starts_with("aside/format-"); };
  return std::any_of(disk.names.begin(), disk.names.end(), is_older) || std::any_of(disk.directories.begin(), disk.directories.end(), is_older);
}

// Whether the first thing that happens with the next small value is that something is removed.
bool needs_room(const Store& store, const disk::StoreOptions& options) {
  return store.status().used_bytes + 640 > options.budget_bytes - options.segment_bytes / 6 - 4096;
}

// A store beside one of an older format, with little more room than that takes.
struct Upgraded {
  Upgraded() {
    options.budget_bytes = 5 << 19;
    open();
  }
  void open() {
    store.reset();
    auto opened = open_store(disk, options);
    REQUIRE(opened.ok());
    store = std::move(*opened);
  }
  Store::Outcome put(disk::ValueInput value) {
    const Store::Operation one[] = {Store::Put{std::move(value)}};
    return store->write(one, false, 20'000)[0];
  }
  // Up to where each value needs room that the older store has. Returns the next key.
  int fill() {
    int key = 0;
    const std::uint64_t at_first = store->status().older_bytes;
    while (store->status().older_bytes == at_first) REQUIRE(put(derived_value(key++, 1)) == Store::Outcome::done);
    return key;
  }
  std::shared_ptr<MemoryDisk> disk = std::make_shared<MemoryDisk>(older_store());
  std::vector<std::string> said;
  disk::StoreOptions options = two_megabytes(&said);
  std::unique_ptr<Store> store;
};

}  // namespace

TEST_CASE("a store of an older format counts in the budget, and goes bit by bit before any value does; both are said") {
  Upgraded now;
  const auto& said = now.said;
  const std::uint64_t budget = now.options.budget_bytes;
  REQUIRE(said.size() == 1);
  CHECK(said[0].find("it was moved to aside/format-1-1") != std::string::npos);
  CHECK(said[0].find("goes when its room is needed") != std::string::npos);
  const std::uint64_t at_first = now.store->status().older_bytes;
  CHECK(at_first >= bytes_of_files(*now.disk, "aside/"));
  CHECK(now.store->status().used_bytes >= at_first);
  CHECK(now.store->status().used_bytes <= budget);
  CHECK(now.store->status().aside_bytes == 0);  // nothing was damaged
  int values_before_it_was_gone = 0;
  for (int key = 0; key < 3'000; ++key) {
    const auto before = now.store->status();
    REQUIRE(now.put(key % 10 == 0 ? sized_value(key, 9'000) : derived_value(key, 1)) == Store::Outcome::done);
    const auto after = now.store->status();
    REQUIRE(after.used_bytes <= budget);
    REQUIRE(bytes_of_files(*now.disk) <= budget);
    REQUIRE(after.older_bytes <= before.older_bytes);
    if (after.older_bytes > 0) CHECK(after.evicted == 0);
    if (after.older_bytes > 0) ++values_before_it_was_gone;
    if (before.older_bytes > 0 && after.older_bytes == 0) CHECK_FALSE(has_older(*now.disk));
    if (key == 300) {  // a restart finds the rest of it
      now.open();
      CHECK(now.store->status().older_bytes == after.older_bytes);
    }
  }
  CHECK(values_before_it_was_gone > 300);
  CHECK(now.store->status().older_bytes == 0);
  CHECK(now.store->status().evicted > 0);  // so that the room was needed
  CHECK_FALSE(has_older(*now.disk));
  REQUIRE(said.size() == 3);  // once in each process
  for (const std::size_t i : {1U, 2U}) CHECK(said[i].find("aside/format-1-1, the store of an older format, is being removed") == 0);
}

TEST_CASE("nothing of an older store goes while there is room; with a smaller budget the start makes it") {
  const auto disk = std::make_shared<MemoryDisk>(older_store());
  disk::StoreOptions options = two_megabytes();
  options.budget_bytes = 8 << 20;
  {
    auto store = open_store(disk, options);
    REQUIRE(store.ok());
    const std::uint64_t at_first = (*store)->status().older_bytes;
    for (int key = 0; key < 500; ++key) {
      const Store::Operation put[] = {Store::Put{derived_value(4 * key + 3, 1)}};  // without files
      REQUIRE((*store)->write(put, false, 20'000)[0] == Store::Outcome::done);
    }
    CHECK((*store)->status().older_bytes == at_first);
    REQUIRE((*store)->sync(20'000));
  }
  std::vector<std::string> said;
  options.budget_bytes = 1 << 20;
  options.say = [&](const std::string& text) { said.push_back(text); };
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  CHECK((*store)->status().used_bytes <= (1 << 20));
  CHECK((*store)->status().older_bytes > 0);
  CHECK((*store)->status().values == 500);
  CHECK(said.size() == 1);
}

TEST_CASE("several older stores and damaged files are told apart; what people remove meanwhile is no mistake, and what cannot be removed stops nothing") {
  Image image = older_store();
  for (const auto& [path, node] : older_store()) {
    if (path.starts_with("log") || path.starts_with("parts")) image["aside/format-0-1" + std::string("/") + path] = node;
  }
  image["aside/format-0-1"] = Node{true, 0700, {}};
  image["aside/0000000000000007-0"] = Node{false, 0600, std::string(1'000, 'd')};
  const auto disk = std::make_shared<MemoryDisk>(image);
  std::vector<std::string> said;
  disk::StoreOptions options = two_megabytes(&said);
  options.budget_bytes = 8 << 20;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  CHECK((*store)->status().aside_bytes == 1'000);
  CHECK((*store)->status().older_bytes >= bytes_of_files(*disk, "aside/format-"));
  CHECK((*store)->status().used_bytes <= (8 << 20));
  const std::size_t by_people = std::erase_if(disk->names, [](const auto& one) { return one.first.starts_with("aside/format-0-1/log/"); });
  CHECK(by_people > 10);
  bool failed = false;
  for (int key = 0; key < 12'000; ++key) {
    const auto before = (*store)->status();
    const bool fails = !failed && before.older_bytes > 0 && needs_room(**store, options);
    if (fails) disk->arm(0, 1, Fault::error);
    const Store::Operation put[] = {Store::Put{derived_value(key, 1)}};
    REQUIRE((*store)->write(put, false, 20'000)[0] == Store::Outcome::done);
    if (fails) failed = disk->failed > 0 && said.back().find("could not be removed") != std::string::npos;
    disk->disarm();
    REQUIRE((*store)->status().used_bytes <= (8 << 20));
  }
  CHECK(failed);
  CHECK_FALSE((*store)->degraded());
  CHECK_FALSE(has_older(*disk));  // what could not be removed was tried again behind the others
  CHECK((*store)->status().older_bytes == 0);
  CHECK(disk->names.contains("aside/0000000000000007-0"));
}

TEST_CASE("an outage leaves an older store to be removed afterwards, and is said once") {
  Upgraded now;
  int key = now.fill();
  while (!needs_room(*now.store, now.options)) REQUIRE(now.put(derived_value(key++, 1)) == Store::Outcome::done);
  now.disk->arm(0, 1'000'000, Fault::error);
  const std::uint64_t before = now.store->status().older_bytes;
  REQUIRE(before > 0);
  for (int i = 0; i < 50; ++i) static_cast<void>(now.put(derived_value(key++, 1)));
  CHECK(now.disk->failed > 0);
  CHECK(now.store->status().older_bytes == before);
  now.disk->disarm();
  for (int i = 0; i < 20 && now.store->degraded(); ++i) now.store->recover(20'000);
  REQUIRE_FALSE(now.store->degraded());
  for (int i = 0; i < 3'000; ++i) {
    const auto then = now.store->status();
    REQUIRE(now.put(derived_value(key++, 1)) == Store::Outcome::done);
    const auto after = now.store->status();
    if (after.older_bytes > 0) REQUIRE(after.evicted == then.evicted);  // with the last of it a value may go as well
  }
  CHECK(now.store->status().older_bytes == 0);
  CHECK_FALSE(has_older(*now.disk));
  CHECK(std::count_if(now.said.begin(), now.said.end(), [](const std::string& text) { return text.find("could not be removed") != std::string::npos; }) == 1);
}

TEST_CASE("compacting takes the room for its copies from an older store, not from values") {
  Upgraded now;
  now.fill();
  const auto before = now.store->status();
  REQUIRE(now.store->compact(20'000));
  CHECK(now.store->status().values == before.values);
  CHECK(now.store->status().evicted == 0);
}

}  // namespace onced::testing
