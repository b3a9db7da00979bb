// `disk.map_files`: clients map the files of large parts. A view of one is not hurt by anything that becomes of its value.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "process/on_disk.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

constexpr std::size_t large = 300'000;

std::string large_value(int key, int version = 1) {
  std::string text = std::to_string(key) + "/" + std::to_string(version) + ":";
  for (std::size_t i = text.size(); i < large; ++i) text += static_cast<char>('a' + (i * 7 + static_cast<std::size_t>(key) * 31 + i / 97) % 26);
  return text;
}

struct Mapped : OnDisk {
  explicit Mapped(const std::string& map_files, std::vector<std::string> more = {}) : OnDisk(with(std::move(more), map_files)) {
    Client client = this->client();
    for (int key = 0; key < 10; ++key) REQUIRE(client.put(key_named("f", key).bytes(), large_value(key), durable_put()).ok());
    restart();
  }
  static std::vector<std::string> with(std::vector<std::string> more, const std::string& map_files) {
    more.insert(more.end(), {"--set", "disk.map_files=" + map_files});
    return more;
  }
  std::string store() const { return path() + "/default"; }
  std::string parts() const { return store() + "/parts/"; }
};

Value must_get(Client& client, int key) {
  auto found = client.get(key_named("f", key).bytes());
  CAPTURE(found ? std::string() : found.error().text);
  REQUIRE(found.ok());
  REQUIRE(found->has_value());
  return std::move(**found);
}

// Lines of this process's mappings that name this.
std::vector<std::string> mappings_of(const std::string& text) {
  std::vector<std::string> lines;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find(text) != std::string::npos) lines.push_back(line);
  return lines;
}

std::string task_of(Client& client) {
  const auto report = client.disk();
  REQUIRE(report.ok());
  for (const auto& [name, value] : *report)
    if (name == "task") return std::get<std::string>(value);
  FAIL("the disk says nothing of its task");
  return {};
}

}  // namespace

TEST_CASE("off: a value from disk is sealed memory, and no client has a file of the daemon's") {
  Mapped mapped("off");
  Client client = mapped.client();
  const Value value = must_get(client, 3);
  CHECK(value.text() == large_value(3));
  CHECK(mappings_of(mapped.parts()).empty());
  CHECK(mappings_of("onced-blob").size() == 1);
  CHECK(number_in(client, "mapped_files") == 0);
  CHECK(number_in(client, "blob_bytes") >= large);
}

TEST_CASE("on: a large value from disk is its file, mapped to be read alone, and costs no memory for blobs") {
  Mapped mapped("on");
  Client client = mapped.client();
  const Value value = must_get(client, 3);
  CHECK(value.text() == large_value(3));
  const auto lines = mappings_of(mapped.parts());
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find(" r--p ") != std::string::npos);
  CHECK(number_in(client, "mapped_files") == 1);
  CHECK(number_in(client, "mapped_file_bytes") == large);
  CHECK(number_in(client, "blob_bytes") == 0);
  // Hits of it go on to be memory reads, in this process and another.
  CHECK(client.peek(key_named("f", 3).bytes())->text() == large_value(3));
  Worker other([&] {
    Client child = mapped.client();
    return must_get(child, 3).text() == large_value(3) ? 0 : 1;
  });
  CHECK(other.wait() == 0);
  // What is published is memory until it has been dropped there and is read again.
  REQUIRE(client.put(key_named("f", 20).bytes(), large_value(20)).ok());
  CHECK(must_get(client, 20).text() == large_value(20));
  CHECK(number_in(client, "mapped_files") == 1);
}

TEST_CASE("a view of a file outlives eviction, clear, compaction and replacement on disk, and the daemon") {
  Mapped mapped("on");
  Client client = mapped.client();
  std::vector<Value> views;
  for (int key = 0; key < 10; ++key) views.push_back(must_get(client, key));
  CHECK(mappings_of(mapped.parts()).size() == 10);
  const auto check = [&](const char* when) {
    CAPTURE(when);
    for (int key = 0; key < 10; ++key) CHECK(views[static_cast<std::size_t>(key)].text() == large_value(key));
  };
  check("loaded");
  REQUIRE(client.put(key_named("f", 0).bytes(), large_value(0, 2)).ok());
  REQUIRE(client.invalidate(key_named("f", 1).bytes()).ok());
  check("replaced, invalidated");
  REQUIRE(client.disk(protocol::DiskAction::compact).ok());
  wait_until([&] { return task_of(client).empty(); }, "compaction");
  check("compacted");
  REQUIRE(client.clear_disk().ok());
  CHECK(part_files_in(mapped.store()) == 0);
  check("cleared");
  CHECK(mappings_of(" (deleted)").size() >= 10);
  mapped.crash();
  check("the daemon killed");
  CHECK_FALSE(client.get(key_named("f", 5).bytes())->has_value());
  check("another daemon");
  views.clear();
}

TEST_CASE("files beyond the disk's budget are evicted from under their views, which stay") {
  Mapped mapped("on", {"--set", "disk.size=8MiB"});
  Client client = mapped.client();
  const Value view = must_get(client, 2);
  for (int key = 100; key < 200; ++key) REQUIRE(client.put(key_named("g", key).bytes(), large_value(key)).ok());
  REQUIRE(client.put(key_named("g", 200).bytes(), large_value(200), durable_put()).ok());
  CHECK(number_in(client, "disk_evictions") > 50);
  CHECK(part_files_in(mapped.store()) < 30);
  CHECK(view.text() == large_value(2));
}

TEST_CASE("a file that is damaged before the daemon hands it over is a miss, as ever") {
  Mapped mapped("on");
  mapped.daemon().kill(SIGTERM);
  mapped.daemon().wait();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mapped.parts())) {
    if (!entry.is_regular_file()) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(large / 2);
    file.put('!');
  }
  mapped.daemon().start();
  Client client = mapped.client();
  for (int key = 0; key < 10; ++key) {
    const auto found = client.get(key_named("f", key).bytes());
    REQUIRE(found.ok());
    CHECK_FALSE(found->has_value());
  }
  CHECK(number_in(client, "disk_damaged") == 10);
  CHECK(number_in(client, "mapped_files") == 0);
}
