// Flipped bits: found out, a miss, never a wrong value.
#include <doctest/doctest.h>

#include "workload.hpp"
#include "support/stride.hpp"

namespace onced::testing {
namespace {

struct Made {
  Image image;
  Workload workload;
  std::vector<bool> present;
};

// A store with several segments, dead records, tombstones and fences, ended in order or by force.
Made make(std::uint64_t seed, int keys, int steps, std::uint64_t segment_bytes) {
  const auto disk = std::make_shared<MemoryDisk>();
  Made made;
  made.workload.keys = keys;
  made.workload.random.seed(seed);
  disk::StoreOptions options = small_store();
  options.segment_bytes = segment_bytes;
  std::size_t count = 0;
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  for (int i = 0; i < steps; ++i) made.workload.step(**store, [&] { return ++count; });
  REQUIRE((*store)->sync(20'000));
  for (int key = 0; key < keys; ++key) made.present.push_back((*(*store)->load(key_name(key), 20'000)).has_value());
  made.image = disk->image();
  return made;
}

// The number of values that are there; every one of them was checked.
int check_flipped(const Image& image, Made& made, std::size_t& found_damaged, bool silent = false) {
  const auto disk = std::make_shared<MemoryDisk>(image);
  std::vector<std::string> said;
  auto store = open_store(disk, small_store(&said));
  REQUIRE_MESSAGE(store.ok(), store.error().text);
  int there = 0;
  bool missing = false;
  for (int key = 0; key < made.workload.keys; ++key) {
    const auto loaded = (*store)->load(key_name(key), 20'000);
    REQUIRE(loaded.ok());
    const std::string wrong = made.workload.history.problem(key, *loaded, ~std::size_t{0}, false);
    CHECK_MESSAGE(wrong == "", key_name(key), ": ", wrong);
    if (loaded->has_value()) CHECK(made.present[static_cast<std::size_t>(key)]);
    there += loaded->has_value() ? 1 : 0;
    missing = missing || (!loaded->has_value() && made.present[static_cast<std::size_t>(key)]);
  }
  found_damaged = (*store)->status().damaged;
  if (missing && !silent) CHECK(found_damaged + said.size() > 0);  // nothing disappears without a word
  return there;
}

}  // namespace

TEST_CASE("every byte of a small store flipped once: a miss, never a wrong value") {
  Made made = make(11, 12, 40, 8 << 10);
  int present = 0;
  for (const bool each : made.present) present += each ? 1 : 0;
  REQUIRE(present >= 6);
  std::size_t flips = 0;
  std::size_t misses = 0;
  std::size_t segments = 0;
  for (const auto& [path, node] : made.image) {
    segments += path.ends_with(".log") ? 1U : 0U;
    for (std::size_t at = 0; at < node.content.size(); at += stride) {
      Image image = made.image;
      image[path].content[at] = static_cast<char>(image[path].content[at] ^ (1 << static_cast<int>(at % 8U)));
      CAPTURE(path);
      CAPTURE(at);
      std::size_t damaged = 0;
      const int there = check_flipped(image, made, damaged);
      // One damaged place costs one value, not more.
      CHECK(there >= present - 1);
      misses += there < present ? 1U : 0U;
      ++flips;
    }
  }
  CHECK(segments >= 2);
  CHECK(flips * stride > 10'000);
  CHECK(misses * stride > 1'000);
  MESSAGE(flips, " flips, ", misses, " of them cost a value");
}

TEST_CASE("a hundred thousand flips in a larger store: never a wrong value") {
  Made made = make(12, 300, 600, 64 << 10);
  std::vector<std::pair<std::string, std::size_t>> files;
  std::size_t total = 0;
  for (const auto& [path, node] : made.image) {
    if (node.content.empty() || path == "onced-disk") continue;  // both copies of that damaged: refused, see directory_test.cpp
    files.emplace_back(path, node.content.size());
    total += node.content.size();
  }
  std::mt19937_64 random(12);
  for (int round = 0; round < 1'000; round += static_cast<int>(stride)) {
    CAPTURE(round);
    Image image = made.image;
    const int flips = round % 2 == 0 ? 190 : 10;
    for (int i = 0; i < flips; ++i) {
      std::size_t at = random() % total;
      std::size_t file = 0;
      while (at >= files[file].second) at -= files[file++].second;
      char& byte = image[files[file].first].content[at];
      byte = static_cast<char>(byte ^ (1 << (random() % 8)));
    }
    std::size_t damaged = 0;
    check_flipped(image, made, damaged);
    if (flips > 10) CHECK(damaged > 0);  // a few may all have hit what is dead
  }
}

TEST_CASE("a segment that is missing, emptied or cut short takes what is older with it, or what was in it") {
  Made made = make(13, 60, 200, 8 << 10);
  std::vector<std::string> names;
  for (const auto& [path, node] : made.image) {
    if (path.ends_with(".log") || path.ends_with(".index") || path.starts_with("parts/")) names.push_back(path);
  }
  REQUIRE(names.size() > 8);
  std::size_t damaged = 0;
  for (const std::string& name : names) {
    CAPTURE(name);
    if (made.image[name].directory) continue;
    Image without = made.image;
    const bool newest = name == *std::find_if(names.rbegin(), names.rend(), [](const std::string& n) { return n.ends_with(".log"); });
    // The oldest goes first when room is made: that it is missing is nothing to report.
    const bool oldest = name == *std::find_if(names.begin(), names.end(), [](const std::string& n) { return n.ends_with(".log"); });
    without.erase(name);
    if (!newest) check_flipped(without, made, damaged, oldest);  // without the newest nobody can know that there was one
    if (name.ends_with(".log")) {
      without.erase(name.substr(0, name.size() - 3) + "index");
      if (!newest) check_flipped(without, made, damaged, oldest);
      for (const bool with_index : {true, false}) {
        Image cut = made.image;
        if (!with_index) cut.erase(name.substr(0, name.size() - 3) + "index");
        cut[name].content.resize(cut[name].content.size() / 2);
        if (!newest) check_flipped(cut, made, damaged);
        std::fill(cut[name].content.begin(), cut[name].content.end(), '\0');
        if (!newest) check_flipped(cut, made, damaged);
      }
    }
  }
}

TEST_CASE("verify finds every damaged value and goes on") {
  Made made = make(14, 40, 120, 8 << 10);
  Image image = made.image;
  int flipped = 0;
  for (auto& [path, node] : image) {
    if (!path.starts_with("parts/") || node.content.empty()) continue;
    node.content[node.content.size() / 2] = static_cast<char>(node.content[node.content.size() / 2] ^ 4);
    if (++flipped == 3) break;
  }
  const auto disk = std::make_shared<MemoryDisk>(image);
  auto store = open_store(disk);
  REQUIRE(store.ok());
  std::uint64_t last = 0;
  const auto verified = (*store)->verify(20'000, [&](std::uint64_t done, std::uint64_t total) {
    CHECK(done <= total);
    CHECK(done >= last);
    last = done;
    return true;
  });
  REQUIRE(verified.ok());
  CHECK(verified->damaged >= 2);  // two parts may be of one value
  CHECK(verified->values > 10);
  const auto again = (*store)->verify(20'000, [](std::uint64_t, std::uint64_t) { return true; });
  REQUIRE(again.ok());
  CHECK(again->damaged == 0);
}

}  // namespace onced::testing
