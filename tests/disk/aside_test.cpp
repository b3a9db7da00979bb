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

}  // namespace

TEST_CASE("a store of an older format counts in the budget, and goes bit by bit before any value does; both are said") {
  const auto disk = std::make_shared<MemoryDisk>(older_store());
  std::vector<std::string> said;
  disk::StoreOptions options = two_megabytes(&said);
  options.budget_bytes = 5 << 19;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  REQUIRE(said.size() == 1);
  CHECK(said[0].find("it was moved to aside/format-1-1") != std::string::npos);
  CHECK(said[0].find("goes when its room is needed") != std::string::npos);
  const std::uint64_t at_first = (*store)->status().older_bytes;
  CHECK(at_first >= bytes_of_files(*disk, "aside/"));
  CHECK((*store)->status().used_bytes >= at_first);
  CHECK((*store)->status().used_bytes <= options.budget_bytes);
  CHECK((*store)->status().aside_bytes == 0);  // nothing was damaged
  int values_before_it_was_gone = 0;
  for (int key = 0; key < 3'000; ++key) {
    const auto before = (*store)->status();
    const Store::Operation put[] = {Store::Put{key % 10 == 0 ? sized_value(key, 9'000) : derived_value(key, 1)}};
    REQUIRE((*store)->write(put, false, 20'000)[0] == Store::Outcome::done);
    const auto after = (*store)->status();
    REQUIRE(after.used_bytes <= options.budget_bytes);
    REQUIRE(bytes_of_files(*disk) <= options.budget_bytes);
    REQUIRE(after.older_bytes <= before.older_bytes);
    if (after.older_bytes > 0) CHECK(after.evicted == 0);
    if (after.older_bytes > 0) ++values_before_it_was_gone;
    if (before.older_bytes > 0 && after.older_bytes == 0) CHECK_FALSE(has_older(*disk));
    if (key == 300) {  // a restart finds the rest of it
      store->reset();
      store = open_store(disk, options);
      REQUIRE(store.ok());
      CHECK((*store)->status().older_bytes == after.older_bytes);
    }
  }
  CHECK(values_before_it_was_gone > 300);
  CHECK((*store)->status().older_bytes == 0);
  CHECK((*store)->status().evicted > 0);  // so that the room was needed
  CHECK_FALSE(has_older(*disk));
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
    const std::uint64_t limit = (8 << 20) - options.segment_bytes / 6 - 4096;
    const bool fails = !failed && before.older_bytes > 0 && before.used_bytes + 640 > limit;  // then the first thing that happens is that something is removed
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
  const auto disk = std::make_shared<MemoryDisk>(older_store());
  std::vector<std::string> said;
  disk::StoreOptions options = two_megabytes(&said);
  options.budget_bytes = 5 << 19;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  const auto put = [&](int key) {
    const Store::Operation one[] = {Store::Put{derived_value(key, 1)}};
    return (*store)->write(one, false, 20'000)[0];
  };
  int key = 0;
  const std::uint64_t at_first = (*store)->status().older_bytes;
  while ((*store)->status().older_bytes == at_first) REQUIRE(put(key++) == Store::Outcome::done);  // up to where each one needs room
  disk->arm(0, 1'000'000, Fault::error);
  const std::uint64_t before = (*store)->status().older_bytes;
  REQUIRE(before > 0);
  for (int i = 0; i < 50; ++i) static_cast<void>(put(key++));
  CHECK(disk->failed > 0);
  CHECK((*store)->status().older_bytes == before);
  disk->disarm();
  for (int i = 0; i < 20 && (*store)->degraded(); ++i) (*store)->recover(20'000);
  REQUIRE_FALSE((*store)->degraded());
  for (int i = 0; i < 3'000; ++i) {
    const auto then = (*store)->status();
    REQUIRE(put(key++) == Store::Outcome::done);
    if (then.older_bytes > 0) CHECK((*store)->status().evicted == then.evicted);
  }
  CHECK((*store)->status().older_bytes == 0);
  CHECK_FALSE(has_older(*disk));
  CHECK(std::count_if(said.begin(), said.end(), [](const std::string& text) { return text.find("could not be removed") != std::string::npos; }) <= 1);
}

TEST_CASE("compacting takes the room for its copies from an older store, not from values") {
  const auto disk = std::make_shared<MemoryDisk>(older_store());
  disk::StoreOptions options = two_megabytes();
  options.budget_bytes = 5 << 19;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  int key = 0;
  const std::uint64_t at_first = (*store)->status().older_bytes;
  while ((*store)->status().older_bytes == at_first) {  // now there is no room
    const Store::Operation one[] = {Store::Put{derived_value(key++, 1)}};
    REQUIRE((*store)->write(one, false, 20'000)[0] == Store::Outcome::done);
  }
  const auto before = (*store)->status();
  REQUIRE((*store)->compact(20'000));
  CHECK((*store)->status().values == before.values);
  CHECK((*store)->status().evicted == 0);
}

}  // namespace onced::testing
