// What a store keeps, drops, evicts and forgets, and the bytes of its files.
#include <doctest/doctest.h>

#include "disk/format.hpp"
#include "workload.hpp"

namespace onced::testing {
namespace {

using Store = disk::Store;

Store::Outcome put(Store& store, disk::ValueInput value, bool stable = true, std::uint64_t now_ms = 20'000) {
  const Store::Operation operation[] = {Store::Put{std::move(value)}};
  return store.write(operation, stable, now_ms)[0];
}
Store::Outcome drop(Store& store, int key) {
  const Store::Operation operation[] = {Store::Drop{key_name(key)}};
  return store.write(operation, true, 20'000)[0];
}
bool has(Store& store, int key, std::uint64_t version, std::uint64_t now_ms = 20'000) {
  const auto loaded = store.load(key_name(key), now_ms);
  return loaded.ok() && loaded->has_value() && version_of(key, **loaded) == version;
}
bool absent(Store& store, int key, std::uint64_t now_ms = 20'000) {
  const auto loaded = store.load(key_name(key), now_ms);
  return loaded.ok() && !loaded->has_value();
}
disk::ValueInput sized_value(int key, std::size_t bytes, float merit, std::size_t seed = 0) {
  disk::ValueInput value;
  value.key = key_name(key);
  value.facts.merit = merit;
  auto content = std::make_shared<std::string>(derived_bytes(key * 3 + 1, seed, 0, bytes));
  value.parts = {{"", "", disk::bytes_of(std::string_view(*content)), content}};
  return value;
}

}  // namespace

TEST_CASE("values of every shape come back, over a restart too, until they are replaced or dropped") {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    auto store = open_store(disk);
    REQUIRE(store.ok());
    for (int key = 0; key < 50; ++key) CHECK(put(**store, derived_value(key, 1), key % 2 == 0) == Store::Outcome::done);
    for (int key = 0; key < 50; ++key) CHECK(has(**store, key, 1));
    for (int key = 0; key < 50; key += 3) CHECK(put(**store, derived_value(key, 2)) == Store::Outcome::done);
    for (int key = 0; key < 50; key += 5) CHECK(drop(**store, key) == Store::Outcome::done);
    CHECK(absent(**store, 77));
  }
  for (int restart = 0; restart < 3; ++restart) {
    auto store = open_store(disk);
    REQUIRE(store.ok());
    for (int key = 0; key < 50; ++key) {
      CAPTURE(key);
      if (key % 5 == 0) CHECK(absent(**store, key));
      else CHECK(has(**store, key, key % 3 == 0 ? 2 : 1));
    }
    CHECK((*store)->status().damaged == 0);
  }
}

TEST_CASE("a batch counts in its order, and a drop is not undone by what was written before it") {
  const auto disk = std::make_shared<MemoryDisk>();
  for (int round = 0; round < 2; ++round) {
    auto store = open_store(disk);
    REQUIRE(store.ok());
    if (round == 0) {
      const Store::Operation batch[] = {Store::Put{derived_value(1, 1)}, Store::Put{derived_value(2, 1)}, Store::Put{derived_value(1, 2)},
                                        Store::Drop{key_name(2)},       Store::Drop{key_name(3)},       Store::Put{derived_value(3, 1)}};
      for (const auto outcome : (*store)->write(batch, false, 20'000)) CHECK(outcome == Store::Outcome::done);
    }
    CHECK(has(**store, 1, 2));
    CHECK(absent(**store, 2));
    CHECK(has(**store, 3, 1));
  }
}

TEST_CASE("a dropped label takes what carried it then, and nothing that came later") {
  const auto disk = std::make_shared<MemoryDisk>();
  for (int round = 0; round < 2; ++round) {
    auto store = open_store(disk);
    REQUIRE(store.ok());
    if (round == 0) {
      for (int key = 0; key < 10; ++key) put(**store, derived_value(key, 1));
      const Store::Operation operation[] = {Store::DropLabel{label_of(2)}};
      CHECK((*store)->write(operation, false, 20'000)[0] == Store::Outcome::done);
      put(**store, derived_value(7, 2));
    }
    CHECK(absent(**store, 2));
    CHECK(has(**store, 7, 2));
    CHECK(has(**store, 3, 1));
  }
}

TEST_CASE("clear leaves nothing of any value on the disk") {
  const auto disk = std::make_shared<MemoryDisk>();
  auto store = open_store(disk);
  REQUIRE(store.ok());
  for (int key = 0; key < 40; ++key) put(**store, derived_value(key, 1));
  const std::string secret = derived_bytes(1, 1, 1, 700).substr(0, 64);
  const auto is_on_disk = [&] {
    const Image image = disk->image();
    return std::any_of(image.begin(), image.end(), [&](const auto& each) { return each.second.content.find(secret) != std::string::npos; });
  };
  REQUIRE(is_on_disk());
  const Store::Operation clear[] = {Store::Clear{}};
  CHECK((*store)->write(clear, true, 20'000)[0] == Store::Outcome::done);
  CHECK_FALSE(is_on_disk());
  CHECK((*store)->status().values == 0);
  CHECK((*store)->status().used_bytes < 1024);
  put(**store, derived_value(5, 2));
  store->reset();
  auto again = open_store(disk);
  REQUIRE(again.ok());
  CHECK(absent(**again, 1));
  CHECK(has(**again, 5, 2));
}

TEST_CASE("an expired value is absent, and gone after a restart; the store's time never goes back") {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    auto store = open_store(disk, small_store(), 10'000);
    REQUIRE(store.ok());
    CHECK((*store)->opened_ms() == 10'000);
    disk::ValueInput value = derived_value(1, 1);
    value.facts.fresh_until_ms = 30'000;
    value.facts.grace_ms = 5'000;
    put(**store, value);
    put(**store, derived_value(2, 1));
    CHECK(has(**store, 1, 1, 34'999));
    CHECK(absent(**store, 1, 35'000));
    // One that has expired while it waited to be written: nothing was lost, and the older one does not come back.
    put(**store, derived_value(3, 1));
    value.key = key_name(3);
    CHECK(put(**store, value, true, 35'000) == Store::Outcome::done);
    CHECK(absent(**store, 3, 35'000));
    CHECK((*store)->sync(36'000));
    put(**store, derived_value(4, 1), true, 36'000);
  }
  auto store = open_store(disk, small_store(), 500);  // the wall clock was reset
  REQUIRE(store.ok());
  CHECK((*store)->opened_ms() == 36'000);
  CHECK((*store)->status().values == 2);
  CHECK(absent(**store, 1, 36'000));
  CHECK(absent(**store, 3, 36'000));
  CHECK(has(**store, 2, 1, 36'000));
}

TEST_CASE("however many puts of a batch have expired or are refused: it is synced once, and what their keys had is gone durably") {
  const auto disk = std::make_shared<MemoryDisk>();
  auto store = open_store(disk);
  REQUIRE(store.ok());
  for (int key = 0; key < 40; ++key) put(**store, derived_value(key, 1));
  std::vector<Store::Operation> batch;
  for (int key = 0; key < 40; ++key) {
    disk::ValueInput value = key % 8 == 0 ? sized_value(key, 2 << 20, 1) : derived_value(key, 2);
    if (key % 8 != 0) value.facts.fresh_until_ms = 15'000;
    batch.push_back(Store::Put{std::move(value)});
  }
  const std::size_t before = disk->log.size();
  const auto outcomes = (*store)->write(batch, false, 20'000);
  for (std::size_t key = 0; key < 40; ++key) CHECK(outcomes[key] == (key % 8 == 0 ? Store::Outcome::refused : Store::Outcome::done));
  const auto is_sync = [](const Operation& operation) { return operation.kind == Operation::Kind::sync; };
  CHECK(std::count_if(disk->log.begin() + static_cast<std::ptrdiff_t>(before), disk->log.end(), is_sync) <= 3);  // and where a segment ends
  std::mt19937_64 random(1);
  auto after = open_store(std::make_shared<MemoryDisk>(disk->after(disk->log.size(), MemoryDisk::Loss::all_unsynced, random)));
  REQUIRE(after.ok());
  for (int key = 0; key < 40; ++key) CHECK(absent(**after, key));
}

TEST_CASE("the directory stays within its budget, the dearest values stay longest, and little is written twice") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk::StoreOptions options = small_store();
  options.budget_bytes = 2 << 20;
  options.segment_bytes = 0;
  options.body.file_bytes_min = 64 * 1024 + 1;
  options.body.compress = false;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  constexpr int values = 2'000;
  std::uint64_t published = 0;
  for (int key = 0; key < values; ++key) {
    const std::size_t bytes = 4'000;
    REQUIRE(put(**store, sized_value(key, bytes, key % 40 == 0 ? 10.F : 1.F), key % 50 == 0) == Store::Outcome::done);
    published += bytes;
    const Image image = disk->image();
    std::uint64_t on_disk = 0;
    for (const auto& [path, node] : image) on_disk += node.content.size();
    REQUIRE(on_disk <= options.budget_bytes);
    REQUIRE((*store)->status().used_bytes <= options.budget_bytes);
  }
  int dear = 0;
  int cheap = 0;
  for (int key = 0; key < values; ++key) {
    if (!(*store)->may_have(key_name(key))) continue;
    ++(key % 40 == 0 ? dear : cheap);
    CHECK_FALSE(absent(**store, key));
  }
  CHECK(dear == values / 40);  // all of them
  CHECK(cheap > 150);
  std::uint64_t written = 0;
  for (const auto& operation : disk->log) written += operation.bytes.size();
  CHECK(static_cast<double>(written) / static_cast<double>(published) < 1.3);
}

TEST_CASE("one batch of many large values stays within the budget, too") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk::StoreOptions options = small_store();
  options.budget_bytes = 2 << 20;
  options.segment_bytes = 64 << 10;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  std::vector<Store::Operation> batch;
  for (int key = 0; key < 60; ++key) batch.push_back(Store::Put{sized_value(key, 100'000, 1)});
  for (const auto outcome : (*store)->write(batch, false, 20'000)) CHECK(outcome == Store::Outcome::done);
  // Nor was there more at any time.
  std::map<std::string, std::size_t> names;
  std::map<std::size_t, std::uint64_t> sizes;
  std::uint64_t most = 0;
  for (const auto& operation : disk->log) {
    using Kind = Operation::Kind;
    if (operation.kind == Kind::create) names[operation.path] = operation.inode;
    if (operation.kind == Kind::write) sizes[operation.inode] = std::max(sizes[operation.inode], operation.offset + operation.bytes.size());
    if (operation.kind == Kind::remove) names.erase(operation.path);
    if (operation.kind == Kind::rename) {
      names[operation.to] = names.at(operation.path);
      names.erase(operation.path);
    }
    std::uint64_t present = 0;
    for (const auto& [path, inode] : names) present += sizes[inode];
    most = std::max(most, present);
  }
  CHECK(most > options.budget_bytes / 2);
  CHECK(most <= options.budget_bytes + 100'000);
  CHECK((*store)->status().used_bytes <= options.budget_bytes);
}

TEST_CASE("values with files are evicted singly, the least worth first; a value that is far too large is refused with what it replaces") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk::StoreOptions options = small_store();
  options.budget_bytes = 2 << 20;
  options.segment_bytes = 64 << 10;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  for (int key = 0; key < 60; ++key) {
    REQUIRE(put(**store, sized_value(key, 100'000, static_cast<float>(key % 4))) == Store::Outcome::done);
    CHECK((*store)->status().used_bytes <= options.budget_bytes);
  }
  int kept[4] = {};
  for (int key = 0; key < 60; ++key) kept[key % 4] += (*store)->may_have(key_name(key)) ? 1 : 0;
  CHECK(kept[3] == 15);
  CHECK(kept[0] == 0);
  CHECK(put(**store, sized_value(3, 600'000, 9)) == Store::Outcome::refused);
  CHECK(absent(**store, 3));
  store->reset();
  std::size_t files = 0;
  for (const auto& [path, node] : disk->image()) files += path.starts_with("parts/") && !node.directory ? 1U : 0U;
  auto again = open_store(disk, options);
  REQUIRE(again.ok());
  CHECK((*again)->status().values == files);
}

TEST_CASE("at most entries_max values are kept") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk::StoreOptions options = small_store();
  options.entries_max = 100;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  for (int key = 0; key < 400; ++key) {
    put(**store, derived_value(key, 1), false);
    CHECK((*store)->status().values <= 100);
  }
  CHECK((*store)->status().values > 10);
}

TEST_CASE("compact gives back what is dead and keeps what lives") {
  const auto disk = std::make_shared<MemoryDisk>();
  auto store = open_store(disk);
  REQUIRE(store.ok());
  for (std::uint64_t version = 1; version <= 20; ++version) {
    for (int key = 0; key < 30; ++key) put(**store, derived_value(key, version), false);
  }
  REQUIRE((*store)->sync(20'000));
  const auto before = (*store)->status();
  REQUIRE((*store)->compact(20'000).ok());
  const auto after = (*store)->status();
  CHECK(after.values == before.values);
  CHECK(after.used_bytes < before.used_bytes / 3);  // most of what is left is whole blocks of part files
  for (int key = 0; key < 30; ++key) CHECK(has(**store, key, 20));
  store->reset();
  auto again = open_store(disk);
  REQUIRE(again.ok());
  for (int key = 0; key < 30; ++key) CHECK(has(**again, key, 20));
}

TEST_CASE("tombstones and labels alone never take more than the budget") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk::StoreOptions options = small_store();
  options.budget_bytes = 1 << 20;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  put(**store, derived_value(1, 1), true);
  std::uint64_t most = 0;
  for (int batch = 0; batch < 400; ++batch) {
    std::vector<disk::Store::Operation> operations;
    for (int i = 0; i < 50; ++i) {
      operations.emplace_back(disk::Store::Drop{"no such key " + std::to_string(batch * 50 + i)});
      operations.emplace_back(disk::Store::DropLabel{1'000U + static_cast<disk::Label>(i)});
    }
    for (const auto outcome : (*store)->write(operations, true, 20'000)) REQUIRE(outcome == disk::Store::Outcome::done);
    most = std::max(most, (*store)->status().used_bytes);
  }
  CHECK(most <= options.budget_bytes);
  CHECK(most > options.budget_bytes / 2);  // or it was not tried
}

TEST_CASE("of labels that nobody carries no more are remembered than entries_max allows, and what a label dropped stays dropped") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk::StoreOptions options = small_store();
  options.entries_max = 800;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  put(**store, derived_value(2, 1), true);
  for (disk::Label batch = 0; batch < 40; ++batch) {
    put(**store, derived_value(3, batch + 1), true);
    std::vector<Store::Operation> operations;
    if (batch == 20) operations.emplace_back(Store::DropLabel{label_of(2)});
    for (disk::Label i = 0; i < 50; ++i) operations.emplace_back(Store::DropLabel{100'000 + batch * 50 + i});
    for (const auto outcome : (*store)->write(operations, true, 20'000)) REQUIRE(outcome == Store::Outcome::done);
    // Their records go with the segments: hardly more are in the log than may be remembered.
    CHECK((*store)->status().used_bytes < 100 * 112 + 8 * 4'096 + 2 * options.segment_bytes);
    CHECK(has(**store, 3, batch + 1));
    if (batch >= 20) CHECK(absent(**store, 2));
  }
  store->reset();
  auto again = open_store(disk, options);
  REQUIRE(again.ok());
  CHECK(absent(**again, 2));
  CHECK(has(**again, 3, 40));
}

TEST_CASE("what a label has dropped is given back by compact and counted by verify no more, in the segment that is written, too") {
  const auto disk = std::make_shared<MemoryDisk>();
  auto store = open_store(disk);
  REQUIRE(store.ok());
  for (int key = 0; key < 20; ++key) {
    disk::ValueInput value = derived_value(key, 1);
    value.labels = {disk::Label{key < 15 ? 7U : 8U}};
    put(**store, value, false);
  }
  const disk::Store::Operation drop[] = {disk::Store::DropLabel{7}};
  REQUIRE((*store)->write(drop, true, 20'000).front() == disk::Store::Outcome::done);
  const auto before = (*store)->status();
  CHECK(before.values == 20);  // nobody has looked at them yet
  SUBCASE("compact") {
    REQUIRE((*store)->compact(20'000).ok());
    CHECK((*store)->status().used_bytes < before.used_bytes / 2);
  }
  SUBCASE("verify") {
    const auto verified = (*store)->verify(20'000, [](std::uint64_t, std::uint64_t) { return true; });
    REQUIRE(verified.ok());
    CHECK(verified->values == 5);
    CHECK(verified->damaged == 0);
  }
  CHECK((*store)->status().values == 5);
  for (int key = 0; key < 20; ++key) {
    const auto loaded = (*store)->load(key_name(key), 20'000);
    CHECK((loaded.ok() && loaded->has_value()) == (key >= 15));
  }
}

namespace {

// Memory of its own for each part; tells which pieces came.
struct CollectingSink final : disk::PartSink {
  std::map<std::size_t, std::string> memory;
  std::size_t present = 0;
  bool has_memory = true;
  bool keeps = true;
  bool begin(std::size_t part, std::uint64_t) override {
    present = part;
    memory[part].clear();
    return has_memory;
  }
  std::span<std::byte> room(std::size_t bytes) override {
    buffer.resize(bytes);
    return std::as_writable_bytes(std::span(buffer));
  }
  bool filled(std::span<const std::byte> piece) override {
    memory[present].append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return keeps;
  }
  std::string buffer;
};

}  // namespace

TEST_CASE("parts from files go where the sink says; without memory the load fails and the value stays") {
  const auto disk = std::make_shared<MemoryDisk>();
  auto store = open_store(disk);
  REQUIRE(store.ok());
  put(**store, derived_value(1, 1));
  CollectingSink sink;
  const auto loaded = (*store)->load(key_name(1), 20'000, &sink);
  REQUIRE(loaded.ok());
  REQUIRE(loaded->has_value());
  CHECK_FALSE((**loaded).parts[0].in_sink);
  CHECK((**loaded).parts[1].in_sink);
  CHECK(sink.memory[1] == derived_bytes(1, 1, 1, 700));
  CHECK(sink.memory[2] == derived_bytes(1, 1, 2, 350));
  for (const bool begins : {false, true}) {
    CAPTURE(begins);
    CollectingSink full;
    full.has_memory = begins;
    full.keeps = false;
    const auto refused = (*store)->load(key_name(1), 20'000, &full);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::out_of_memory);
  }
  CHECK(has(**store, 1, 1));
}

TEST_CASE("what a client stores cannot pass for a record of the log") {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    auto store = open_store(disk);
    REQUIRE(store.ok());
    put(**store, derived_value(1, 1));
  }
  // The log's own bytes as a value, then the first record damaged so that the start has to search.
  Image image = disk->image();
  const std::string log = image.at("log/00000001.log").content;
  const auto again = std::make_shared<MemoryDisk>(image);
  {
    auto store = open_store(again);
    REQUIRE(store.ok());
    put(**store, derived_value(1, 2));
    disk::ValueInput value = derived_value(2, 1);
    auto bytes = std::make_shared<std::string>(log.substr(128, 290));
    value.parts = {{"", "", disk::bytes_of(std::string_view(*bytes)), bytes}};
    put(**store, value);
  }
  Image damaged = again->image();
  std::string& content = damaged.at("log/00000001.log").content;
  const std::size_t copy = content.find(log.substr(128, 290), 129);
  REQUIRE(copy != std::string::npos);
  // Everything of the record's head up to the copy.
  const std::size_t head = content.rfind("onrc", copy - 1);
  for (std::size_t i = head; i < copy; ++i) content[i] = static_cast<char>(content[i] ^ 0x55);
  auto store = open_store(std::make_shared<MemoryDisk>(damaged));
  REQUIRE(store.ok());
  CHECK(has(**store, 1, 2));
  CHECK(absent(**store, 2));
}

}  // namespace onced::testing

// ---- what depends on something else ---------------------------------------------------------------------------------

namespace onced::testing {
namespace {

// A value whose attributes are these.
disk::ValueInput value_with(int key, std::uint64_t version, std::string attributes, std::vector<disk::Label> labels = {}) {
  disk::ValueInput value = derived_value(key, version);
  value.attributes = std::move(attributes);
  value.labels = std::move(labels);
  return value;
}

}  // namespace

TEST_CASE("look tells what a load would find: nothing that was dropped, replaced, fenced, or is over") {
  const auto disk = std::make_shared<MemoryDisk>();
  for (int round = 0; round < 2; ++round) {
    auto store = open_store(disk);
    REQUIRE(store.ok());
    const auto version_at = [&](int key, std::uint64_t now_ms = 20'000) -> std::uint64_t {
      const auto found = (*store)->look(key_name(key), now_ms);
      REQUIRE(found.ok());
      return *found ? (*found)->facts.version : 0;
    };
    if (round == 0) {
      for (int key = 1; key <= 5; ++key) put(**store, value_with(key, 1, "one", {static_cast<disk::Label>(100 + key)}));
      put(**store, value_with(2, 2, "two"));
      drop(**store, 3);
      const Store::Operation fence[] = {Store::DropLabel{104}};
      CHECK((*store)->write(fence, true, 20'000)[0] == Store::Outcome::done);
      disk::ValueInput brief = value_with(6, 1, "brief");
      brief.facts.fresh_until_ms = 30'000;
      brief.facts.grace_ms = 5'000;
      put(**store, std::move(brief));
    }
    CHECK(version_at(1) == 1);
    CHECK((*store)->look(key_name(1), 20'000).value()->attributes == "one");
    CHECK(version_at(2) == 2);
    CHECK(version_at(3) == 0);
    CHECK(version_at(4) == 0);
    CHECK(version_at(6, 34'999) == 1);
    CHECK(version_at(6, 35'000) == 0);
    CHECK(version_at(77) == 0);
  }
}

TEST_CASE("a value that is not accepted is not read, and stays") {
  const auto disk = std::make_shared<MemoryDisk>();
  auto store = open_store(disk);
  REQUIRE(store.ok());
  put(**store, value_with(1, 3, "attributes"));
  std::string asked;
  const auto load_if = [&](Result<bool> answer) {
    return (*store)->load(key_name(1), 20'000, nullptr, [&](const disk::ValueFacts& facts, std::string_view attributes) {
      asked = std::to_string(facts.version) + " " + std::string(attributes);
      return answer;
    });
  };
  CHECK(load_if(true).value().has_value());
  CHECK(asked == "3 attributes");
  CHECK_FALSE(load_if(Error{ErrorCode::unavailable, "the disk"}).ok());
  CHECK(load_if(true).value().has_value());
  CHECK_FALSE(load_if(false).value().has_value());
  CHECK((*store)->may_have(key_name(1)));  // or whoever drops it would leave no tombstone
  CHECK((*store)->status().damaged == 0);
  put(**store, value_with(1, 4, "newer"));
  CHECK(load_if(true).value().has_value());
}

TEST_CASE("one that takes the place of what was not accepted is not taken with it") {
  const auto disk = std::make_shared<MemoryDisk>();
  auto store = open_store(disk);
  REQUIRE(store.ok());
  put(**store, value_with(1, 3, "old"));
  const auto loaded = (*store)->load(key_name(1), 20'000, nullptr, [&](const disk::ValueFacts&, std::string_view attributes) {
    if (attributes != "old") return true;
    put(**store, value_with(1, 4, "new"));
    return false;
  });
  CHECK_FALSE(loaded.value().has_value());
  CHECK((*store)->look(key_name(1), 20'000).value()->attributes == "new");
}

}  // namespace onced::testing
