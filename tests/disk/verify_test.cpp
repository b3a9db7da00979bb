// Verify walks the index in pieces, and others change it between these.
#include <doctest/doctest.h>

#include <stdexcept>

#include "disk/key_index.hpp"
#include "workload.hpp"

namespace onced::testing {
namespace {

using disk::Store;
using Walked = disk::KeyIndex::Walked;

struct DigestHash {
  std::size_t operator()(const disk::Digest& digest) const { return static_cast<std::size_t>(digest.low * 31 + digest.high); }
};
disk::Digest digest_number(std::uint64_t number) { return {number * 0x9e3779b97f4a7c15, number}; }

void put_in(disk::KeyIndex& index, std::uint64_t number, std::uint32_t segment = 1) {
  index.put(digest_number(number), {.sequence = number + 1, .segment = segment, .length = 100}, {});
}

void write(Store& store, std::vector<Store::Operation> operations) {
  for (const auto outcome : store.write(operations, true, 20'000)) REQUIRE(outcome == Store::Outcome::done);
}

// The file of a large part, by what it should have.
std::string& part_file(MemoryDisk& disk, std::string_view bytes) {
  for (const auto& [name, inode] : disk.names)
    if (name.starts_with("parts/") && disk.inodes[inode].content == bytes) return disk.inodes[inode].content;
  throw std::logic_error("no such part file");
}

std::string large_bytes(int key, std::uint64_t version) { return derived_bytes(3 * key + 1, version, 0, 100'000); }
Store::Put large(int key, std::uint64_t version) {
  disk::ValueInput value;
  value.key = key_name(key);
  value.facts.version = version;
  auto bytes = std::make_shared<std::string>(large_bytes(key, version));
  value.parts = {{"", "", disk::bytes_of(std::string_view(*bytes)), bytes}};
  return {std::move(value)};
}

}  // namespace

TEST_CASE("a walk in pieces visits once what stays, whatever comes, goes, is moved or makes the table grow between them") {
  constexpr std::uint64_t stays = 3'000;  // numbers below; those above come and go
  constexpr std::size_t piece = 64;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    disk::KeyIndex index;
    for (std::uint64_t number = 0; number < stays; ++number) put_in(index, number);
    std::unordered_map<disk::Digest, int, DigestHash> visits;
    disk::KeyIndex::Walk walk;
    std::uint64_t next = stays;
    int begun_again = 0;
    for (Walked walked = Walked::some; walked != Walked::all;) {
      std::size_t visited = 0;
      walked = index.walk(walk, piece, [&](const disk::Digest& digest, const disk::IndexEntry&) {
        ++visits[digest];
        ++visited;
      });
      CHECK(visited < piece + 20);  // what lies in one place with the last
      if (walked == Walked::again) {
        visits.clear();
        ++begun_again;
      }
      for (int i = 0; i < 40; ++i) {
        const auto kind = random() % 4;
        if (kind == 0 || next < stays + 4'000) put_in(index, next++);
        if (kind == 1) index.erase(digest_number(stays + random() % (next - stays + 1)));
        if (kind == 2) put_in(index, random() % stays, 2);
        if (kind == 3) index.set_merit(digest_number(random() % next), 3);
      }
    }
    CHECK(begun_again > 0);
    for (std::uint64_t number = 0; number < stays; ++number) REQUIRE(visits[digest_number(number)] == 1);
    for (const auto& [digest, times] : visits) REQUIRE(times == 1);
  }
}

TEST_CASE("a walk of a table that was emptied ends, and one of an empty table does") {
  disk::KeyIndex index;
  disk::KeyIndex::Walk walk;
  const auto nothing = [](const disk::Digest&, const disk::IndexEntry&) { FAIL("there is nothing"); };
  while (index.walk(walk, 8, nothing) != Walked::all) {}
  for (std::uint64_t number = 0; number < 1'000; ++number) put_in(index, number);
  walk = {};
  std::size_t visited = 0;
  CHECK(index.walk(walk, 8, [&](const disk::Digest&, const disk::IndexEntry&) { ++visited; }) == Walked::some);
  CHECK(visited < 30);
  index = {};
  CHECK(index.walk(walk, 8, nothing) == Walked::again);
  while (index.walk(walk, 8, nothing) != Walked::all) {}
}

TEST_CASE("while verify looks for what there is, others read and write; what was there all the time is counted once") {
  const auto disk = std::make_shared<MemoryDisk>();
  auto store = open_store(disk);
  REQUIRE(store.ok());
  constexpr int stay = 3'000;
  std::vector<Store::Operation> puts;
  for (int key = 0; key < stay + 500; ++key) puts.emplace_back(Store::Put{derived_value(4 * key + 3, 1)});  // without files
  write(**store, puts);
  int pieces = 0;
  const auto verified = (*store)->verify(20'000, [&](std::uint64_t done, std::uint64_t) {
    if (done != 0 || ++pieces > 10) return true;
    CHECK((*store)->may_have(key_name(3)));
    CHECK((*store)->load(key_name(3), 20'000).value().has_value());
    std::vector<Store::Operation> more;
    for (int i = 0; i < 50; ++i) {
      more.emplace_back(Store::Drop{key_name(4 * (stay + pieces * 50 - i - 1) + 3)});
      more.emplace_back(Store::Put{derived_value(4 * (10'000 + pieces * 50 + i) + 3, 1)});
      more.emplace_back(Store::Put{derived_value(4 * (pieces * 50 + i) + 3, 2)});
    }
    write(**store, std::move(more));
    if (pieces % 4 == 0) REQUIRE((*store)->compact(20'000).ok());
    return true;
  });
  REQUIRE(verified.ok());
  CHECK(pieces > stay / 1'000);
  CHECK_FALSE(verified->stopped);
  CHECK(verified->damaged == 0);
  CHECK(verified->values >= stay);
  CHECK(verified->values <= stay + 500 + 500);
  CHECK((*store)->status().values == static_cast<std::size_t>(stay + 500));
}

TEST_CASE("verify can be stopped while it looks for what there is") {
  const auto disk = std::make_shared<MemoryDisk>();
  auto store = open_store(disk);
  REQUIRE(store.ok());
  write(**store, {Store::Put{derived_value(3, 1)}});
  const auto verified = (*store)->verify(20'000, [&](std::uint64_t done, std::uint64_t) { return done != 0; });
  REQUIRE(verified.ok());
  CHECK(verified->stopped);
  CHECK(verified->values == 0);
}

TEST_CASE("what is moved or replaced before verify comes to it is verified where it is then, and what is dropped is not counted") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk::StoreOptions options = small_store();
  options.budget_bytes = 64 << 20;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  constexpr int keys = 120;  // 12 MB: three times what is done between two calls of `progress`
  for (int key = 0; key < keys; ++key) write(**store, {large(key, 1)});
  bool changed = false;
  const auto verified = (*store)->verify(20'000, [&](std::uint64_t done, std::uint64_t all) {
    CHECK(done <= all);
    if (done == 0 || std::exchange(changed, true)) return true;
    part_file(*disk, large_bytes(100, 1))[5'000] ^= 1;  // and moved
    write(**store, {large(101, 2), Store::Drop{key_name(102)}, Store::Drop{key_name(103)}});
    part_file(*disk, large_bytes(101, 2))[99'999] ^= 1;
    REQUIRE((*store)->compact(20'000).ok());
    return true;
  });
  REQUIRE(verified.ok());
  REQUIRE(changed);
  CHECK(verified->values == keys - 2);
  CHECK(verified->damaged == 2);
  CHECK((*store)->status().damaged == 2);
  CHECK((*store)->status().values == static_cast<std::size_t>(keys - 4));
  CHECK_FALSE((*store)->may_have(key_name(100)));
  CHECK_FALSE((*store)->may_have(key_name(101)));
  CHECK((*store)->may_have(key_name(104)));
}

}  // namespace onced::testing
