// A namespace's values on a real disk, with the threads that write and read them; what they say comes back through the mailbox.
#include "tiers/namespace_disk.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <vector>

#include <doctest/doctest.h>

#include <onced/protocol/key.hpp>
#include <onced/protocol/segment.hpp>

#include "memory/memfd.hpp"
#include "tests/disk/gated_files.hpp"
#include "tests/support/temp_directory.hpp"
#include "tests/support/watchdog.hpp"

using namespace onced;
using namespace onced::engine;
using onced::testing::TempDirectory;
using onced::testing::wait_until;
using tiers::NamespaceDisk;

namespace {

std::string key_of(int argument) { return std::string(KeyBuilder("chart").add(argument).build().value().bytes()); }

// A blob table of its own, as a segment has one.
struct Memory {
  std::vector<protocol::BlobEntry> entries{64};
  std::atomic<std::uint64_t> dropped{0};
  memory::MemfdBlobStore blobs{memory::BlobTable(entries, dropped), memory::BlobOptions{.count_max = 32}};
};

struct Stage {
  TempDirectory directory;
  Memory memory;
  std::atomic<int> rings{0};
  std::unique_ptr<NamespaceDisk> disk;
  std::uint64_t last_ticket = 0;
  std::vector<Event> events;
  std::vector<std::string> said;
  bool map_files = false;
  SessionsFound before;  // that it found

  onced::testing::FileGate* gate = nullptr;
  std::atomic<std::uint64_t> later_ms{0};  // than the clock says

  explicit Stage(bool maps = false, onced::testing::FileGate* its_gate = nullptr) : map_files(maps), gate(its_gate) { open(); }
  ~Stage() {
    if (disk) disk->stop(std::chrono::minutes(1));
  }
  void open() {
    tiers::DiskOptions options;
    options.directory = (directory / "store").string();
    options.budget_bytes = 64 << 20;
    options.map_files = map_files;
    options.tier.retry_first = std::chrono::milliseconds(5);
    options.tier.elapsed_ms = [this, begin = std::chrono::steady_clock::now()] {
      return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count()) + later_ms;
    };
    if (gate != nullptr) options.files = [this](const std::string& path) { return onced::testing::open_gated_files(path, *gate); };
    auto opened = NamespaceDisk::open(std::move(options), [this] { ++rings; });
    REQUIRE_MESSAGE(opened.ok(), opened.error().text);
    disk = std::move(*opened);
    before = disk->attach(memory.blobs);
  }
  void restart() {
    disk->stop(std::chrono::minutes(1));
    disk.reset();
    events.clear();
    open();
  }
  DiskTicket ticket() { return DiskTicket{++last_ticket}; }
  // With blobs of what it has brought, as the engine has them made when it has made room.
  static Event placed(Event event) {
    auto* const loaded = std::get_if<DiskLoaded>(&event);
    if (loaded == nullptr || !loaded->value || !loaded->value->brought) return event;
    if (const auto made = loaded->value->brought->place(loaded->value->parts); !made) {
      loaded->problem = made.error().text;
      loaded->value.reset();
    }
    return event;
  }
  // Of the event with this ticket.
  template <typename Kind>
  Kind await(DiskTicket of) {
    Kind found{};
    wait_until(
        [&] {
          for (Event& event : disk->take(100)) events.push_back(placed(std::move(event)));
          for (Event& event : events) {
            auto* const one = std::get_if<Kind>(&event);
            if (one == nullptr || one->ticket != of) continue;
            found = std::move(*one);
            one->ticket = {};
            return true;
          }
          return false;
        },
        "an event of the disk");
    return found;
  }
  DiskOutcome put(int argument, std::vector<protocol::Part> parts, std::vector<std::string> tags = {}, DiskLife life = {}) {
    return put(key_of(argument), std::move(parts), std::move(tags), life);
  }
  DiskOutcome put(const std::string& key, std::vector<protocol::Part> parts, std::vector<std::string> tags = {}, DiskLife life = {}) {
    return put_derived(key, {7, 3}, {}, std::move(parts), std::move(tags), life);
  }
  DiskOutcome put_derived(const std::string& key, DiskIdentity identity, const std::vector<DiskUpstream>& upstreams,
                          std::vector<protocol::Part> parts = {protocol::Part{"", "text/plain", "x"}}, std::vector<std::string> tags = {}, DiskLife life = {}) {
    DiskImage image;
    image.key = key;
    image.epoch = identity.epoch;
    image.version = identity.version;
    if (!upstreams.empty()) image.upstreams = &upstreams;
    image.fresh_until_ms = 61'000;
    image.life = life;
    image.cost_us = 250'000;
    image.was_put = true;
    image.origin = "pid 7 (gunicorn)";
    image.tags = &tags;
    image.family = "a family";
    const DiskTicket of = ticket();
    disk->put(of, image, std::make_shared<const std::vector<protocol::Part>>(std::move(parts)), true);
    return await<DiskWritten>(of).outcome;
  }
  DiskLoaded load(int argument) { return load(key_of(argument)); }
  DiskLoaded load(const std::string& key) {
    const DiskTicket of = ticket();
    REQUIRE(disk->load(of, key));
    return await<DiskLoaded>(of);
  }
  // Sealed, with bytes that tell where they are.
  BlobId blob(std::size_t bytes, unsigned char seed) {
    memory::FileDescriptor file = memory::create_memfd("test-blob");
    std::string content(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) content[i] = static_cast<char>(seed + i * 7 + i / 251);
    REQUIRE(::write(file.get(), content.data(), content.size()) == static_cast<ssize_t>(bytes));
    REQUIRE(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0);
    const auto adopted = memory.blobs.adopt(std::move(file), bytes);
    REQUIRE(adopted.ok());
    return *adopted;
  }
  std::string bytes_of(std::uint64_t blob) {
    const auto file = memory.blobs.descriptor(BlobId{blob});
    REQUIRE(file != nullptr);
    std::string bytes(memory.blobs.size(BlobId{blob}), '\0');
    REQUIRE(::pread(file->get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    return bytes;
  }
};

protocol::Part inline_part(const std::string& name, const std::string& bytes) { return {name, "text/plain", bytes}; }
protocol::Part blob_part(const std::string& name, BlobId blob, std::uint64_t offset, std::uint64_t length) {
  return {name, "application/octet-stream", {}, static_cast<std::uint64_t>(blob), offset, length};
}

}  // namespace

TEST_CASE("a value comes back as it was, its large parts in sealed memory, also after a restart") {
  Stage stage;
  const BlobId large = stage.blob(300'000, 1);
  const std::string whole = stage.bytes_of(static_cast<std::uint64_t>(large));
  CHECK(stage.put(1, {inline_part("note", "small"), blob_part("rows", large, 128, 200'000), blob_part("head", large, 0, 100)}, {"blue"}) == DiskOutcome::done);
  stage.memory.blobs.release(large);
  for (const bool restarted : {false, true}) {
    CAPTURE(restarted);
    if (restarted) stage.restart();
    CHECK(stage.disk->may_have(key_of(1)));
    CHECK_FALSE(stage.disk->may_have(key_of(2)));
    const DiskLoaded loaded = stage.load(1);
    REQUIRE(loaded.value);
    CHECK(loaded.value->epoch == 7);
    CHECK(loaded.value->version == 3);
    CHECK(loaded.value->cost_us == 250'000);
    CHECK(loaded.value->was_put);
    CHECK(loaded.value->origin == "pid 7 (gunicorn)");
    CHECK(loaded.value->tags == std::vector<std::string>{"blue"});
    CHECK(loaded.value->life.fresh_ms == protocol::as_configured);
    REQUIRE(loaded.value->parts.size() == 3);
    CHECK(loaded.value->parts[0].bytes == "small");
    CHECK(loaded.value->parts[0].content_type == "text/plain");
    const protocol::Part& rows = loaded.value->parts[1];
    CHECK(rows.length == 200'000);
    CHECK(stage.bytes_of(rows.blob) == whole.substr(128, 200'000));
    CHECK(loaded.value->parts[2].bytes == whole.substr(0, 100));  // small enough to lie in the record
    // Nobody can change it any more.
    const int seals = ::fcntl(stage.memory.blobs.descriptor(BlobId{rows.blob})->get(), F_GET_SEALS);
    CHECK((seals & (F_SEAL_WRITE | F_SEAL_SEAL)) == (F_SEAL_WRITE | F_SEAL_SEAL));
    stage.memory.blobs.release(BlobId{rows.blob});
  }
  CHECK(stage.memory.blobs.usage().count == 0);
  CHECK(stage.rings > 0);
}

TEST_CASE("the time that a load takes counts: what is left is said when the value has come, and when nothing is left there is none") {
  Stage stage;
  const BlobId large = stage.blob(100'000, 1);
  CHECK(stage.put(1, {blob_part("", large, 0, 100'000)}, {}, {.fresh_ms = 600'000, .grace_ms = 300'000}) == DiskOutcome::done);
  stage.memory.blobs.release(large);
  const auto has_all_back = [&] {  // nobody rings for that any more
    static_cast<void>(stage.disk->take(100));
    return stage.memory.blobs.usage().count == 0;
  };
  wait_until(has_all_back, "the descriptor");
  const auto load_for = [&](std::uint64_t ms) {
    const int rings = stage.rings;
    const DiskTicket ticket = stage.ticket();
    REQUIRE(stage.disk->load(ticket, key_of(1)));
    wait_until([&] { return stage.rings > rings; }, "the letter");
    stage.later_ms += ms;
    return stage.await<DiskLoaded>(ticket);
  };
  DiskLoaded loaded = load_for(400'000);
  REQUIRE(loaded.value);
  CHECK(loaded.value->life.fresh_ms <= 200'000);
  CHECK(loaded.value->life.grace_ms == 300'000);
  CHECK(loaded.value->age_ms >= 400'000);
  stage.memory.blobs.release(BlobId{loaded.value->parts[0].blob});
  loaded = load_for(300'000);
  REQUIRE(loaded.value);
  CHECK(loaded.value->life.fresh_ms == 0);
  CHECK(loaded.value->life.grace_ms <= 200'000);
  stage.memory.blobs.release(BlobId{loaded.value->parts[0].blob});
  loaded = load_for(200'000);
  CHECK_FALSE(loaded.value);
  CHECK(loaded.problem.empty());
  CHECK(has_all_back());
}

TEST_CASE("the descriptor of a blob that is being written is given back to the loop") {
  Stage stage;
  const BlobId large = stage.blob(100'000, 2);
  CHECK(stage.put(1, {blob_part("", large, 0, 100'000)}) == DiskOutcome::done);
  stage.memory.blobs.release(large);
  wait_until(
      [&] {
        static_cast<void>(stage.disk->take(100));
        return stage.memory.blobs.usage().count == 0;
      },
      "the descriptor");
}

TEST_CASE("large parts that were read ask for their places, and get them when there is room, though what made it is still being closed") {
  Stage stage;
  const BlobId large = stage.blob(100'000, 2);
  const BlobId second = stage.blob(90'000, 3);
  CHECK(stage.put(1, {blob_part("rows", large, 0, 100'000), blob_part("head", second, 0, 90'000), inline_part("note", "small")}) == DiskOutcome::done);
  for (const BlobId one : {large, second}) stage.memory.blobs.release(one);
  std::vector<memory::FileDescriptor> closing;  // for as long as the test lasts
  std::vector<protocol::BlobEntry> entries{64};
  std::atomic<std::uint64_t> dropped{0};
  memory::MemfdBlobStore blobs{memory::BlobTable(entries, dropped),
                               memory::BlobOptions{.count_max = 2, .close_later = [&](memory::FileDescriptor last, std::function<void()>) { closing.push_back(std::move(last)); }}};
  stage.disk->detach();
  stage.disk->attach(blobs);
  const std::vector<BlobId> others{*blobs.create(4096), *blobs.create(4096)};
  const auto load = [&] {
    const DiskTicket of = stage.ticket();
    REQUIRE(stage.disk->load(of, key_of(1)));
    std::vector<Event> taken;
    wait_until([&] {
      for (Event& event : stage.disk->take(100)) taken.push_back(std::move(event));
      return !taken.empty();
    }, "the load");
    return std::move(*std::get<DiskLoaded>(taken.at(0)).value);
  };
  DiskValue in_vain = load();
  REQUIRE(in_vain.brought);
  CHECK(in_vain.brought->blobs() == 2);
  const auto refused = in_vain.brought->place(in_vain.parts);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::limit_reached);
  CHECK(in_vain.parts[0].blob == 0);
  in_vain.brought.reset();
  CHECK(closing.size() == 2);  // what nobody gets is closed by who closes
  CHECK(blobs.usage().count - blobs.usage().closing_count == 2);

  DiskValue halfway = load();
  blobs.release(others[0]);
  CHECK_FALSE(halfway.brought->place(halfway.parts).ok());  // one of two
  CHECK(blobs.usage().count - blobs.usage().closing_count == 1);

  DiskValue loaded = load();
  blobs.release(others[1]);
  CHECK(blobs.usage().count >= 2);
  CHECK_FALSE(blobs.create(4096).ok());  // the descriptors of those that are being closed are still there
  REQUIRE(loaded.brought->place(loaded.parts).ok());
  CHECK(blobs.size(BlobId{loaded.parts[0].blob}) == 100'000);
  CHECK(blobs.size(BlobId{loaded.parts[1].blob}) == 90'000);
  CHECK(loaded.parts[2].blob == 0);
  stage.disk->detach();
  stage.disk->attach(stage.memory.blobs);
}

TEST_CASE("so many small blobs that they would not fit into a frame are blobs again") {
  Stage stage;
  std::vector<protocol::Part> parts;
  std::vector<std::string> contents;
  for (int i = 0; i < 4; ++i) {
    const BlobId blob = stage.blob(40'000, static_cast<unsigned char>(i));
    contents.push_back(stage.bytes_of(static_cast<std::uint64_t>(blob)));
    parts.push_back(blob_part("part " + std::to_string(i), blob, 0, 40'000));
  }
  CHECK(stage.put(1, parts) == DiskOutcome::done);
  const DiskLoaded loaded = stage.load(1);
  REQUIRE(loaded.value);
  std::uint64_t inline_bytes = 0;
  for (std::size_t i = 0; i < contents.size(); ++i) {
    const protocol::Part& part = loaded.value->parts[i];
    inline_bytes += part.bytes.size();
    CHECK((part.blob == 0 ? part.bytes : stage.bytes_of(part.blob)) == contents[i]);
  }
  CHECK(inline_bytes <= limits::value_bytes_max);
}

TEST_CASE("what is dropped by key, function, tag, family or altogether is gone when that is told") {
  Stage stage;
  const std::vector<std::pair<DiskTier::Label, std::string>> labels{{DiskTier::Label::function, "chart"}, {DiskTier::Label::tag, "blue"},
                                                                    {DiskTier::Label::family, "a family"}, {DiskTier::Label::everything, ""}};
  for (const auto& [kind, name] : labels) {
    stage.put(1, {inline_part("", "x")}, {"blue"});
    const DiskTicket other = stage.ticket();
    stage.disk->drop_label(other, kind, "another");
    if (kind != DiskTier::Label::everything) {
      CHECK(stage.await<DiskWritten>(other).outcome == DiskOutcome::done);
      CHECK(stage.load(1).value);
      const DiskTicket own = stage.ticket();
      stage.disk->drop_label(own, kind, name);
      CHECK(stage.await<DiskWritten>(own).outcome == DiskOutcome::done);
    } else {
      stage.await<DiskWritten>(other);
    }
    CHECK_FALSE(stage.load(1).value);
  }
  stage.put(1, {inline_part("", "x")});
  const DiskTicket of_key = stage.ticket();
  stage.disk->drop(of_key, key_of(1));
  CHECK(stage.disk->may_have(key_of(1)));  // it is not written yet, or the index says so still; a load comes behind it
  CHECK_FALSE(stage.load(1).value);
  CHECK(stage.await<DiskWritten>(of_key).outcome == DiskOutcome::done);
  CHECK_FALSE(stage.disk->may_have(key_of(1)));
}

TEST_CASE("its time goes on while nobody looks") {
  Stage stage;
  stage.put(1, {inline_part("", "x")}, {}, {.fresh_ms = 3'600'000, .early_ms = 100, .grace_ms = 50});
  const DiskLoaded loaded = stage.load(1);
  REQUIRE(loaded.value);
  CHECK(loaded.value->life.fresh_ms <= 3'600'000);
  CHECK(loaded.value->life.fresh_ms > 0);
  CHECK(loaded.value->life.early_ms == 100);
  CHECK(loaded.value->life.grace_ms == 50);
  stage.put(2, {inline_part("", "x")}, {}, {.fresh_ms = 0, .early_ms = 0, .grace_ms = 3'600'000});
  const DiskLoaded stale = stage.load(2);
  REQUIRE(stale.value);
  CHECK(stale.value->life.fresh_ms == 0);
  CHECK(stale.value->life.grace_ms > 0);
}

TEST_CASE("what was begun for an engine that is gone is told to no other") {
  Stage stage;
  stage.put(1, {inline_part("", "x")});
  const DiskTicket of = stage.ticket();
  REQUIRE(stage.disk->load(of, key_of(1)));
  stage.disk->detach();
  Memory other;
  stage.disk->attach(other.blobs);
  CHECK(stage.load(1).value);
  for (const Event& event : stage.events)
    if (const auto* loaded = std::get_if<DiskLoaded>(&event)) CHECK(loaded->ticket != of);
}

TEST_CASE("clear leaves nothing for whoever comes next") {
  Stage stage;
  stage.put(1, {inline_part("", "x")});
  std::atomic<int> durable{-1};
  stage.disk->clear([&](bool is) { durable = is ? 1 : 0; });
  CHECK(stage.put(2, {inline_part("", "y")}) == DiskOutcome::done);
  CHECK(durable == 1);
  CHECK_FALSE(stage.load(1).value);
  CHECK(stage.load(2).value);
}

TEST_CASE("a disk that could not be cleared is not read until it has been, and brings nothing of before") {
  onced::testing::FileGate gate;
  Stage stage(false, &gate);
  stage.put(1, {inline_part("", "of before")});
  gate.broken = true;
  std::atomic<int> durable{-1};
  stage.disk->clear([&](bool is) { durable = is ? 1 : 0; });
  wait_until([&] { return durable != -1; }, "the outcome of clear");
  CHECK(durable == 0);
  CHECK_FALSE(stage.disk->load(stage.ticket(), key_of(1)));
  gate.broken = false;
  wait_until([&] { return !stage.disk->usage().degraded; }, "the disk to work again");
  CHECK_FALSE(stage.load(1).value);
  CHECK(stage.put(2, {inline_part("", "of afterwards")}) == DiskOutcome::done);
  CHECK(stage.load(2).value);
  stage.restart();
  CHECK_FALSE(stage.load(1).value);
  CHECK(stage.load(2).value);
}

TEST_CASE("what the disk has done is taken over in portions") {
  Stage stage;
  stage.put(1, {inline_part("", "x")});
  constexpr std::size_t loads = 50;
  for (std::size_t i = 0; i < loads; ++i) REQUIRE(stage.disk->load(stage.ticket(), key_of(1)));
  const DiskTicket last = stage.ticket();
  stage.disk->drop(last, key_of(1));
  std::size_t taken = 0;
  wait_until([&] { return stage.disk->has_more(); }, "the first load");
  wait_until(
      [&] {
        const auto portion = stage.disk->take(16);
        CHECK(portion.size() <= 16);
        taken += portion.size();
        return taken == loads + 1;
      },
      "all of it");
  CHECK_FALSE(stage.disk->has_more());
}

TEST_CASE("verify and compact report how far they are and what they found") {
  Stage stage;
  for (int i = 0; i < 50; ++i) stage.put(i, {inline_part("", std::string(1000, 'x'))});
  const auto field = [&](const std::string& name) {
    for (const auto& [key, number] : stage.disk->report(protocol::DiskAction::look).fields)
      if (key == name) return number;
    FAIL("no such field: " << name);
    return protocol::Number{};
  };
  CHECK(std::get<std::uint64_t>(field("values")) == 50);
  CHECK(std::get<std::string>(field("task")).empty());
  static_cast<void>(stage.disk->report(protocol::DiskAction::verify));
  wait_until([&] { return std::get<std::string>(field("task")).empty(); }, "verify");
  CHECK(std::get<std::string>(field("last_task_result")).find("verified 50 values") == 0);
  CHECK(std::get<std::string>(field("last_task_result")).find(": 0 damaged") != std::string::npos);
  static_cast<void>(stage.disk->report(protocol::DiskAction::compact));
  wait_until([&] { return std::get<std::string>(field("task")).empty(); }, "compact");
  CHECK(std::get<std::string>(field("last_task_result")).find("compacted: ") == 0);
  for (int i = 0; i < 50; ++i) CHECK(stage.load(i).value);
}

TEST_CASE("a directory that another daemon uses is refused, by its name") {
  Stage stage;
  tiers::DiskOptions options;
  options.directory = (stage.directory / "store").string();
  const auto second = NamespaceDisk::open(std::move(options), [] {});
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().text.find((stage.directory / "store").string()) != std::string::npos);
}

// ---- sessions -------------------------------------------------------------------------------------------------------

namespace {

std::string key_in(std::uint64_t session, int argument) {
  return std::string(KeyBuilder("basket", "", session).add(argument).build().value().bytes());
}

DiskOutcome keep(Stage& stage, const DiskSession& session) {
  const DiskTicket of = stage.ticket();
  stage.disk->keep_session(of, session);
  return stage.await<DiskWritten>(of).outcome;
}
DiskOutcome end(Stage& stage, std::uint64_t number) {
  const DiskTicket of = stage.ticket();
  stage.disk->end_session(of, number);
  return stage.await<DiskWritten>(of).outcome;
}

}  // namespace

TEST_CASE("sessions and their values are there after a restart, until they end; a key of a session that is not there has nothing") {
  Stage stage;
  CHECK(stage.before.sessions.empty());
  CHECK(stage.put(key_in(5, 1), {inline_part("", "of nobody")}) == DiskOutcome::refused);
  DiskSession five{.number = 5, .generation = 9, .digest = std::string(32, 'd')};
  five.age_ms = 5'000;
  five.idle_ttl_ms = 600'000;
  five.left_ms = 3'000'000;
  CHECK(keep(stage, five) == DiskOutcome::done);
  CHECK(keep(stage, {.number = 6, .generation = 10, .digest = std::string(32, 'e')}) == DiskOutcome::done);
  const BlobId large = stage.blob(300'000, 1);
  const std::string whole = stage.bytes_of(static_cast<std::uint64_t>(large));
  CHECK(stage.put(key_in(5, 1), {inline_part("note", "small"), blob_part("rows", large, 128, 200'000)}, {"blue"}) == DiskOutcome::done);
  CHECK(stage.put(key_in(6, 1), {inline_part("", "of six")}) == DiskOutcome::done);
  stage.memory.blobs.release(large);
  for (const bool restarted : {false, true}) {
    CAPTURE(restarted);
    if (restarted) stage.restart();
    const DiskLoaded loaded = stage.load(key_in(5, 1));
    REQUIRE(loaded.value);
    CHECK(loaded.value->tags == std::vector<std::string>{"blue"});
    CHECK(loaded.value->parts.at(0).bytes == "small");
    CHECK(stage.bytes_of(loaded.value->parts.at(1).blob) == whole.substr(128, 200'000));
    stage.memory.blobs.release(BlobId{loaded.value->parts.at(1).blob});
  }
  REQUIRE(stage.before.sessions.size() == 2);
  const bool first = stage.before.sessions[0].number == 5;
  const DiskSession& found = stage.before.sessions[first ? 0 : 1];
  CHECK(found.generation == 9);
  CHECK(found.digest == std::string(32, 'd'));
  CHECK(found.age_ms >= 5'000);
  CHECK(found.idle_ttl_ms == 600'000);
  CHECK(found.left_ms <= 3'000'000);
  CHECK(stage.before.sessions[first ? 1 : 0].left_ms == protocol::as_configured);
  CHECK(stage.before.numbers_from > 6);
  CHECK(stage.disk->usage().sessions == 2);

  // What drops a session's values drops no other's, and leaves the session.
  const DiskTicket dropping = stage.ticket();
  stage.disk->drop_in_session(dropping, 5);
  CHECK(stage.await<DiskWritten>(dropping).outcome == DiskOutcome::done);
  CHECK_FALSE(stage.load(key_in(5, 1)).value);
  CHECK(stage.load(key_in(6, 1)).value);
  CHECK(stage.put(key_in(5, 1), {inline_part("", "again")}) == DiskOutcome::done);
  CHECK(end(stage, 5) == DiskOutcome::done);
  CHECK_FALSE(stage.disk->may_have(key_in(5, 1)));
  CHECK(stage.put(key_in(5, 1), {inline_part("", "too late")}) == DiskOutcome::refused);
  stage.restart();
  REQUIRE(stage.before.sessions.size() == 1);
  CHECK(stage.before.sessions[0].number == 6);
  CHECK_FALSE(stage.load(key_in(5, 1)).value);
}

TEST_CASE("who comes after a clear finds no session, and numbers above all of before") {
  Stage stage;
  CHECK(keep(stage, {.number = 7'000'000, .generation = 1, .digest = std::string(32, 'd')}) == DiskOutcome::done);
  stage.disk->detach();
  stage.disk->clear([](bool) {});
  const SessionsFound next = stage.disk->attach(stage.memory.blobs);
  CHECK(next.sessions.empty());
  CHECK(next.numbers_from > 7'000'000);
  stage.restart();
  CHECK(stage.before.sessions.empty());
  CHECK(stage.before.numbers_from > 7'000'000);
}

TEST_CASE("large parts are memory, or their files where that is on; those of a session are never files") {
  const std::string of_session(KeyBuilder("chart", "", 7).add(1).build().value().bytes());
  for (const bool maps : {false, true}) {
    CAPTURE(maps);
    Stage stage(maps);
    const BlobId large = stage.blob(300'000, 1);
    const std::string whole = stage.bytes_of(static_cast<std::uint64_t>(large));
    REQUIRE(keep(stage, {.number = 7, .generation = 1, .digest = std::string(32, 'd')}) == DiskOutcome::done);
    for (const std::string& key : {key_of(1), of_session}) {
      REQUIRE(stage.put(key, {inline_part("note", "small"), blob_part("rows", large, 0, 300'000)}) == DiskOutcome::done);
      for (const bool restarted : {false, true}) {
        CAPTURE(restarted);
        if (restarted) stage.restart();
        const DiskLoaded loaded = stage.load(key);
        REQUIRE_MESSAGE(loaded.value, loaded.problem);
        const protocol::Part& part = loaded.value->parts[1];
        CHECK(part.length == 300'000);
        CHECK(loaded.value->parts[0].bytes == "small");
        CHECK(stage.bytes_of(part.blob) == whole);
        CHECK(stage.memory.blobs.is_file(BlobId{part.blob}) == (maps && key == key_of(1)));
        stage.memory.blobs.release(BlobId{part.blob});
      }
    }
    stage.memory.blobs.release(large);
    CHECK(stage.memory.blobs.usage().count == 0);
  }
}

// ---- values that were computed from others ---------------------------------------------------------------------------

TEST_CASE("a derived value comes back with what it was computed from while that is there as it was, also after a restart") {
  Stage stage;
  const std::vector<DiskUpstream> upstreams{{key_of(1), {7, 4}, {"blue", "round"}}, {key_of(2), {9, 1}, {}}};
  CHECK(stage.put_derived(key_of(1), {7, 4}, {}) == DiskOutcome::done);
  CHECK(stage.put_derived(key_of(2), {9, 1}, {}) == DiskOutcome::done);
  CHECK(stage.put_derived(key_of(3), {7, 6}, upstreams) == DiskOutcome::done);
  for (const bool restarted : {false, true}) {
    CAPTURE(restarted);
    if (restarted) stage.restart();
    const DiskLoaded loaded = stage.load(3);
    REQUIRE_MESSAGE(loaded.value, loaded.problem);
    CHECK(loaded.value->upstreams == upstreams);
    CHECK(stage.load(1).value->upstreams.empty());
  }
}

TEST_CASE("it does not when one of these was replaced, dropped, by a label too, was never there, or was another daemon's") {
  for (int how = 0; how < 8; ++how) {
    for (const bool restarted : {false, true}) {
      CAPTURE(how);
      CAPTURE(restarted);
      Stage stage;
      CHECK(stage.put_derived(key_of(1), {7, 4}, {}, {protocol::Part{"", "", "x"}}, {"blue"}) == DiskOutcome::done);
      CHECK(stage.put_derived(key_of(2), {7, 5}, {}) == DiskOutcome::done);
      std::vector<DiskUpstream> upstreams{{key_of(1), {7, 4}, {"blue"}}, {key_of(2), {7, 5}, {}}};
      if (how == 5) upstreams.push_back({key_of(4), {7, 2}, {}});
      if (how == 6) upstreams[1].identity.epoch = 8;
      CHECK(stage.put_derived(key_of(3), {7, 6}, upstreams) == DiskOutcome::done);
      const auto written = [&](auto ask) {
        const DiskTicket of = stage.ticket();
        ask(of);
        CHECK(stage.await<DiskWritten>(of).outcome == DiskOutcome::done);
      };
      switch (how) {
        case 0: CHECK(stage.put_derived(key_of(1), {7, 7}, {}) == DiskOutcome::done); break;
        case 1: written([&](DiskTicket of) { stage.disk->drop(of, key_of(2)); }); break;
        case 2: written([&](DiskTicket of) { stage.disk->drop_label(of, DiskTier::Label::tag, "blue"); }); break;
        case 3:  // what is put anew is no more what it was computed from than what took its place
          written([&](DiskTicket of) { stage.disk->drop_label(of, DiskTier::Label::family, "a family"); });
          CHECK(stage.put_derived(key_of(3), {7, 8}, upstreams) == DiskOutcome::done);
          break;
        case 4: CHECK(stage.put_derived(key_of(1), {8, 4}, {}) == DiskOutcome::done); break;  // the same number, of another daemon
        case 7: CHECK(stage.put_derived(key_of(2), {7, 5}, {}, {protocol::Part{"", "", "x"}}, {}, DiskLife{.fresh_ms = 0, .early_ms = 0, .grace_ms = 0}) != DiskOutcome::failed); break;
        default: break;
      }
      if (restarted) stage.restart();
      const DiskLoaded loaded = stage.load(3);
      CHECK_FALSE(loaded.value);
      CHECK(loaded.problem.empty());
    }
  }
}

TEST_CASE("a load of it sees what was asked for before of what it was computed from, though the disk hangs") {
  onced::testing::FileGate gate;
  Stage stage(false, &gate);
  CHECK(stage.put_derived(key_of(1), {7, 4}, {}) == DiskOutcome::done);
  for (int derived = 2; derived <= 3; ++derived)
    CHECK(stage.put_derived(key_of(derived), {7, 5}, {{key_of(1), {7, 4}, {}}}) == DiskOutcome::done);
  CHECK(stage.load(2).value);
  gate.shut();
  DiskImage image;
  const std::string newer = key_of(1);
  const std::vector<std::string> none;
  image.key = newer;
  image.epoch = 7;
  image.version = 9;
  image.tags = &none;
  image.family = "a family";
  stage.disk->put({}, image, std::make_shared<const std::vector<protocol::Part>>(std::vector<protocol::Part>{inline_part("", "newer")}), false);
  CHECK_FALSE(stage.load(2).value);
  gate.let_go();
  CHECK_FALSE(stage.load(3).value);
}

TEST_CASE("a session's derived value is nowhere to be read when it has ended, nor what it was computed from") {
  const auto key_in = [](std::uint64_t session, const std::string& text) { return std::string(KeyBuilder("basket", {}, session).add(text).build().value().bytes()); };
  const std::string own = key_in(7, "the secret argument");
  const std::string derived = key_in(7, "derived");
  Stage stage;
  REQUIRE(keep(stage, {.number = 7, .generation = 1, .digest = std::string(32, 'd')}) == DiskOutcome::done);
  CHECK(stage.put_derived(key_of(1), {7, 1}, {}) == DiskOutcome::done);
  CHECK(stage.put_derived(own, {7, 2}, {{key_of(1), {7, 1}, {}}}) == DiskOutcome::done);
  CHECK(stage.put_derived(derived, {7, 3}, {{own, {7, 2}, {"the secret tag"}}, {key_of(1), {7, 1}, {}}}) == DiskOutcome::done);
  const auto is_anywhere = [&](std::string_view text) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(stage.directory.path())) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      if (std::string(std::istreambuf_iterator<char>(file), {}).find(text) != std::string::npos) return true;
    }
    return false;
  };
  for (const bool restarted : {false, true}) {
    if (restarted) stage.restart();
    CHECK(stage.load(derived).value);
    CHECK_FALSE(is_anywhere("the secret argument"));
    CHECK_FALSE(is_anywhere("the secret tag"));
    CHECK(is_anywhere(key_of(1)));
  }
  CHECK(end(stage, 7) == DiskOutcome::done);
  CHECK_FALSE(stage.load(derived).value);
}
