// `disk.map_files`: clients map the files of large parts. A view of one is not hurt by anything that becomes of its value.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"
#include "support/temp_directory.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

constexpr std::size_t large = 300'000;

std::string value_of(int key, int version = 1) {
  std::string text = std::to_string(key) + "/" + std::to_string(version) + ":";
  for (std::size_t i = text.size(); i < large; ++i) text += static_cast<char>('a' + (i * 7 + static_cast<std::size_t>(key) * 31 + i / 97) % 26);
  return text;
}

struct Mapped {
  explicit Mapped(const std::string& map_files, std::vector<std::string> more = {}) {
    DaemonOptions options = DaemonProcess::options({"--disk", path(), "--set", "disk.map_files=" + map_files});
    options.flags.insert(options.flags.end(), more.begin(), more.end());
    daemon.emplace(std::move(options));
    Client client = this->client();
    for (int key = 0; key < 10; ++key) {
      PutOptions durable;
      durable.durable = true;
      REQUIRE(client.put(key_named("f", key).bytes(), value_of(key), durable).ok());
    }
    restart(SIGTERM);
  }
  void restart(int signal) {
    daemon->kill(signal);
    daemon->wait();
    daemon->start();
  }
  std::string path() const { return (directory / "onced").string(); }
  std::string parts() const { return path() + "/default/parts/"; }
  Client client() const {
    ClientOptions options = options_for(daemon->socket());
    options.strict = true;
    return Client(options);
  }
  std::size_t files() const {
    const std::filesystem::recursive_directory_iterator all(parts());
    return static_cast<std::size_t>(std::count_if(begin(all), end(all), [](const auto& entry) { return entry.is_regular_file(); }));
  }

  TempDirectory directory;
  std::optional<DaemonProcess> daemon;
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

std::uint64_t number_in(Client& client, std::string_view name) {
  const auto statistics = client.statistics();
  REQUIRE(statistics.ok());
  for (const auto& [field, value] : statistics->fields)
    if (field == name) return std::get<std::uint64_t>(value);
  FAIL("no such statistic: " << name);
  return 0;
}

}  // namespace

TEST_CASE("off: a value from disk is sealed memory, and no client has a file of the daemon's") {
  Mapped mapped("off");
  Client client = mapped.client();
  const Value value = must_get(client, 3);
  CHECK(value.text() == value_of(3));
  CHECK(mappings_of(mapped.parts()).empty());
  CHECK(mappings_of("onced-blob").size() == 1);
  CHECK(number_in(client, "mapped_files") == 0);
  CHECK(number_in(client, "blob_bytes") >= large);
}

TEST_CASE("on: a large value from disk is its file, mapped to be read alone, and costs no memory for blobs") {
  Mapped mapped("on");
  Client client = mapped.client();
  const Value value = must_get(client, 3);
  CHECK(value.text() == value_of(3));
  const auto lines = mappings_of(mapped.parts());
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find(" r--p ") != std::string::npos);
  CHECK(number_in(client, "mapped_files") == 1);
  CHECK(number_in(client, "mapped_file_bytes") == large);
  CHECK(number_in(client, "blob_bytes") == 0);
  // Hits of it go on to be memory reads, in this process and another.
  CHECK(client.peek(key_named("f", 3).bytes())->text() == value_of(3));
  Worker other([&] {
    Client child = mapped.client();
    return must_get(child, 3).text() == value_of(3) ? 0 : 1;
  });
  CHECK(other.wait() == 0);
  // What is published is memory until it has been dropped there and is read again.
  REQUIRE(client.put(key_named("f", 20).bytes(), value_of(20)).ok());
  CHECK(must_get(client, 20).text() == value_of(20));
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
    for (int key = 0; key < 10; ++key) CHECK(views[static_cast<std::size_t>(key)].text() == value_of(key));
  };
  check("loaded");
  REQUIRE(client.put(key_named("f", 0).bytes(), value_of(0, 2)).ok());
  REQUIRE(client.invalidate(key_named("f", 1).bytes()).ok());
  check("replaced, invalidated");
  REQUIRE(client.disk(protocol::DiskAction::compact).ok());
  wait_until([&] { return std::get<std::string>([&] {
               const auto report = client.disk();
               REQUIRE(report.ok());
               for (const auto& [name, value] : *report)
                 if (name == "task") return value;
               return protocol::Number{std::string("?")};
             }()).empty(); }, "compaction");
  check("compacted");
  REQUIRE(client.clear_disk().ok());
  CHECK(mapped.files() == 0);
  check("cleared");
  CHECK(mappings_of(" (deleted)").size() >= 10);
  mapped.restart(SIGKILL);
  check("the daemon killed");
  CHECK_FALSE(client.get(key_named("f", 5).bytes())->has_value());
  check("another daemon");
  views.clear();
}

TEST_CASE("files beyond the disk's budget are evicted from under their views, which stay") {
  Mapped mapped("on", {"--set", "disk.size=8MiB"});
  Client client = mapped.client();
  const Value view = must_get(client, 2);
  for (int key = 100; key < 200; ++key) REQUIRE(client.put(key_named("g", key).bytes(), value_of(key)).ok());
  PutOptions durable;
  durable.durable = true;
  REQUIRE(client.put(key_named("g", 200).bytes(), value_of(200), durable).ok());
  CHECK(number_in(client, "disk_evictions") > 50);
  CHECK(mapped.files() < 30);
  CHECK(view.text() == value_of(2));
}

TEST_CASE("a file that is damaged before the daemon hands it over is a miss, as ever") {
  Mapped mapped("on");
  mapped.daemon->kill(SIGTERM);
  mapped.daemon->wait();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mapped.parts())) {
    if (!entry.is_regular_file()) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(large / 2);
    file.put('!');
  }
  mapped.daemon->start();
  Client client = mapped.client();
  for (int key = 0; key < 10; ++key) {
    const auto found = client.get(key_named("f", key).bytes());
    REQUIRE(found.ok());
    CHECK_FALSE(found->has_value());
  }
  CHECK(number_in(client, "disk_damaged") == 10);
  CHECK(number_in(client, "mapped_files") == 0);
}
