// Who may read a store, kept for its next start: after any crash, fault or damage no audience is found that is narrower than that of what is there.
#include <doctest/doctest.h>

#include "disk/audience_file.hpp"
#include "disk/format.hpp"
#include "workload.hpp"

namespace onced::testing {
namespace {

using disk::Store;

const std::string many = "whoever may open the socket";
const std::string few = "uid 1000";

Store::Outcome keep(Store& store, const std::string& audience) {
  const Store::Operation operation[] = {Store::KeepAudience{audience}};
  return store.write(operation, false, 20'000)[0];
}
bool has(Store& store, int key) {
  const auto loaded = store.load(key_name(key), 20'000);
  REQUIRE(loaded.ok());
  return loaded->has_value();
}

// A value of many, then a store that is narrowed: cleared, and a value of few.
void narrow(Store& store) {
  const Store::Operation before[] = {Store::KeepAudience{many}, Store::Put{derived_value(1, 1)}, Store::Put{derived_value(2, 1)}};
  store.write(before, true, 20'000);
  const Store::Operation narrowed[] = {Store::Clear{}, Store::KeepAudience{few}, Store::Put{derived_value(3, 1)}};
  store.write(narrowed, true, 20'000);
}
// And widened: what the many put is not there before it is known that it may be theirs.
void widen(Store& store) {
  const Store::Operation operations[] = {Store::KeepAudience{many}, Store::Put{derived_value(4, 1)}};
  store.write(operations, true, 20'000);
}

void check_found(Store& store) {
  if (store.audience_before() == few) {
    CHECK_FALSE(has(store, 1));
    CHECK_FALSE(has(store, 2));
    CHECK_FALSE(has(store, 4));
  } else if (store.audience_before() != many) {  // nobody knows: whoever opens it takes it for everybody's
    CHECK_FALSE(store.audience_before());
  }
}

}  // namespace

TEST_CASE("an audience is found by the next opener, and a new store has none") {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    auto store = open_store(disk);
    REQUIRE(store.ok());
    CHECK((*store)->was_new());
    CHECK_FALSE((*store)->audience_before());
    CHECK(keep(**store, many) == Store::Outcome::done);
    CHECK(keep(**store, few) == Store::Outcome::done);
    CHECK_FALSE((*store)->audience_before());
  }
  for (const std::string& audience : {few, std::string(), std::string(100'000, 'x'), many}) {
    auto store = open_store(disk);
    REQUIRE(store.ok());
    CHECK_FALSE((*store)->was_new());
    CHECK((*store)->audience_before());
    CHECK(keep(**store, audience) == Store::Outcome::done);
    store->reset();
    auto again = open_store(disk);
    REQUIRE(again.ok());
    CHECK((*again)->audience_before() == audience);
    CHECK((*again)->status().used_bytes >= audience.size());
  }
}

TEST_CASE("after a power loss at any operation the audience that is found is none that is narrower than that of what is there") {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    auto store = open_store(disk);
    REQUIRE(store.ok());
    narrow(**store);
    widen(**store);
  }
  std::mt19937_64 random(9);
  std::size_t narrower = 0;
  for (std::size_t n = 0; n <= disk->log.size(); ++n) {
    for (int i = 0; i < 12; ++i) {
      CAPTURE(n);
      const auto loss = i == 0 ? MemoryDisk::Loss::nothing : i == 1 ? MemoryDisk::Loss::all_unsynced : MemoryDisk::Loss::random;
      const auto after = std::make_shared<MemoryDisk>(disk->after(n, loss, random));
      auto store = open_store(after);
      REQUIRE_MESSAGE(store.ok(), store.error().text);
      check_found(**store);
      if ((*store)->audience_before() == few) ++narrower;
    }
  }
  CHECK(narrower > 12);
}

TEST_CASE("each operation fails once: it is owed, and written before anything else is") {
  for (std::size_t at = 0;; ++at) {
    CAPTURE(at);
    const auto disk = std::make_shared<MemoryDisk>();
    {
      auto store = open_store(disk);
      REQUIRE(store.ok());
      disk->arm(at, 1, Fault::error);
      narrow(**store);
      check_found(**open_store(std::make_shared<MemoryDisk>(disk->image())));  // killed here
      widen(**store);
      check_found(**open_store(std::make_shared<MemoryDisk>(disk->image())));
      if (disk->failed == 0) break;
      disk->disarm();
      for (int i = 0; i < 20 && (*store)->degraded(); ++i) (*store)->recover(20'000);
      REQUIRE_FALSE((*store)->degraded());
    }
    auto store = open_store(disk);
    REQUIRE(store.ok());
    CHECK((*store)->audience_before() == many);
    CHECK_FALSE(has(**store, 1));
  }
}

TEST_CASE("a damaged copy is repaired from the other; without both, nobody knows") {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    auto store = open_store(disk);
    REQUIRE(store.ok());
    REQUIRE(keep(**store, few) == Store::Outcome::done);
  }
  const Image whole = disk->image();
  const std::string content = whole.at("audience").content;
  for (std::size_t byte = 0; byte < content.size(); ++byte) {
    CAPTURE(byte);
    Image damaged = whole;
    damaged["audience"].content[byte] ^= 4;
    const auto other = std::make_shared<MemoryDisk>(damaged);
    std::vector<std::string> said;
    {
      auto store = open_store(other, small_store(&said));
      REQUIRE(store.ok());
      CHECK((*store)->audience_before() == few);
    }
    const bool filling = byte % (content.size() / 2) >= 32 + few.size();  // up to a multiple of 8: not checked
    CHECK(said.size() == (filling ? 0 : 1));
    if (!filling) CHECK(other->image().at("audience").content == content);
  }
  for (const std::string& bytes : {std::string(), content.substr(0, content.size() / 2 - 1), std::string(content.size(), 'x')}) {
    Image damaged = whole;
    damaged["audience"].content = bytes;
    std::vector<std::string> said;
    auto store = open_store(std::make_shared<MemoryDisk>(damaged), small_store(&said));
    REQUIRE(store.ok());
    CHECK_FALSE((*store)->audience_before());
    CHECK_FALSE((*store)->was_new());
    CHECK(said.size() == 1);
  }
}

TEST_CASE("a repair that fails and a file that cannot be read are said, and keep no store from being opened") {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    auto store = open_store(disk);
    REQUIRE(store.ok());
    REQUIRE(keep(**store, few) == Store::Outcome::done);
  }
  Image damaged = disk->image();
  damaged["audience"].content[40] ^= 4;
  std::size_t failures = 0;
  for (const Fault fault : {Fault::error, Fault::half_written}) {
    for (std::size_t at = 0;; ++at) {
      CAPTURE(at);
      const auto other = std::make_shared<MemoryDisk>(damaged);
      std::vector<std::string> said;
      MemoryFiles files(other);
      disk::Identity identity;
      std::memcpy(&identity, damaged.at("onced-disk").content.data(), sizeof(identity));
      disk::AudienceFile own(files, identity.seed, [&](const std::string& text) { said.push_back(text); });
      other->arm(at, 1, fault);
      REQUIRE(own.open().ok());
      CHECK(own.kept() == few);
      REQUIRE(said.size() == 1);
      CHECK((said[0].find("could not be written anew") != std::string::npos) == (other->failed != 0));
      other->disarm();
      REQUIRE(own.open().ok());
      CHECK(own.kept() == few);
      if (other->failed == 0) break;
      ++failures;
    }
  }
  CHECK(failures >= 8);
  const auto other = std::make_shared<MemoryDisk>(damaged);
  other->unreadable = {other->names.at("audience")};
  std::vector<std::string> said;
  auto store = open_store(other, small_store(&said));
  REQUIRE(store.ok());
  CHECK_FALSE((*store)->audience_before());
  CHECK_FALSE((*store)->was_new());
  CHECK(said.size() == 1);
  CHECK(keep(**store, many) == Store::Outcome::done);  // a new file
}

}  // namespace onced::testing
