// Sessions on disk: they come back as they were or not at all, numbers never, and of one that has ended nothing can be read.
#include <doctest/doctest.h>

#include "disk/session_key.hpp"
#include "session_workload.hpp"
#include "support/stride.hpp"

namespace onced::testing {
namespace {

using Store = disk::Store;

std::vector<Store::Outcome> write(Store& store, std::vector<Store::Operation> operations, bool stable = true, std::uint64_t now_ms = 20'000) {
  return store.write(operations, stable, now_ms);
}
std::optional<disk::SessionFacts> facts_of(const Store& store, std::uint64_t number) {
  for (const disk::SessionFacts& one : store.sessions())
    if (one.number == number) return one;
  return std::nullopt;
}
Store::Put put_of(std::uint64_t session, int key, std::uint64_t version) { return {SessionWorkload::value_of(session, key, version)}; }
bool has(Store& store, std::uint64_t session, int key, std::uint64_t version, std::uint64_t now_ms = 20'000) {
  const auto loaded = store.load(session_key(session, key), now_ms);
  return loaded.ok() && loaded->has_value() && version_of(SessionWorkload::id_of(session, key), **loaded) == version;
}
bool absent(Store& store, std::uint64_t session, int key) {
  const auto loaded = store.load(session_key(session, key), 20'000);
  return loaded.ok() && !loaded->has_value();
}
// Everything that was ever written, also what was overwritten or removed since.
bool was_ever_written(const MemoryDisk& disk, std::string_view bytes) {
  return std::any_of(disk.log.begin(), disk.log.end(), [&](const Operation& one) {
    return one.bytes.find(bytes) != std::string::npos || one.path.find(bytes) != std::string::npos;
  });
}

}  // namespace

TEST_CASE("what is sealed opens with its key, its number and what was beside it, and with nothing else") {
  disk::SessionKey key;
  for (std::size_t i = 0; i < key.bytes.size(); ++i) key.bytes[i] = static_cast<std::byte>(i);
  const std::string plain = "what only this user may see, in several pieces";
  const auto sealed_with = [&](std::size_t piece, disk::SealTag& tag) {
    std::string sealed(plain.size(), '\0');
    disk::Cipher cipher(disk::Cipher::Way::seal, key, 3, disk::bytes_of("beside"));
    for (std::size_t at = 0; at < plain.size(); at += piece) {
      const std::size_t n = std::min(piece, plain.size() - at);
      cipher.update(disk::bytes_of(plain).subspan(at, n), std::as_writable_bytes(std::span(sealed)).subspan(at, n));
    }
    tag = cipher.tag();
    return sealed;
  };
  disk::SealTag tag{};
  disk::SealTag same{};
  const std::string sealed = sealed_with(7, tag);
  CHECK(sealed != plain);
  CHECK(sealed_with(1'000, same) == sealed);
  CHECK(same == tag);
  const auto opens = [&](const disk::SessionKey& with, std::uint64_t number, std::string_view beside, std::string bytes, disk::SealTag its_tag) {
    disk::Cipher cipher(disk::Cipher::Way::open, with, number, disk::bytes_of(beside));
    const auto into = std::as_writable_bytes(std::span(bytes));
    cipher.update(into, into);
    return cipher.is_right(its_tag) && bytes == plain;
  };
  CHECK(opens(key, 3, "beside", sealed, tag));
  CHECK_FALSE(opens(key, 4, "beside", sealed, tag));
  CHECK_FALSE(opens(key, 3, "besides", sealed, tag));
  disk::SessionKey other = key;
  other.bytes[31] ^= std::byte{1};
  CHECK_FALSE(opens(other, 3, "beside", sealed, tag));
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string flipped = sealed;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    CHECK_FALSE(opens(key, 3, "beside", flipped, tag));
  }
  for (std::byte& byte : same) {
    byte ^= std::byte{0x80};
    CHECK_FALSE(opens(key, 3, "beside", sealed, same));
    byte ^= std::byte{0x80};
  }
}

TEST_CASE("sessions and their values come back over a restart, and those that ended do not") {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    auto store = open_store(disk, session_store());
    REQUIRE(store.ok());
    CHECK(write(**store, {put_of(11, 0, 1)})[0] == Store::Outcome::refused);  // there is no such session
    write(**store, {Store::KeepSession{session_facts(11, 1)}, Store::KeepSession{session_facts(12, 2)}, put_of(11, 0, 1), put_of(11, 1, 1), put_of(12, 1, 5)});
    write(**store, {Store::KeepSession{session_facts(12, 3)}});
    for (int key = 0; key < 3; ++key) write(**store, {Store::Put{derived_value(key, 1)}});
    CHECK((*store)->status().sessions == 2);
    CHECK((*store)->status().values == 6);
  }
  {
    auto store = open_store(disk, session_store());
    REQUIRE(store.ok());
    CHECK(facts_of(**store, 11)->digest == id_digest(11, 1));
    CHECK(facts_of(**store, 12)->digest == id_digest(12, 3));
    CHECK(facts_of(**store, 12)->generation == 3);
    CHECK(has(**store, 11, 0, 1));
    CHECK(has(**store, 11, 1, 1));
    CHECK(has(**store, 12, 1, 5));
    CHECK(absent(**store, 12, 0));
    CHECK(write(**store, {Store::EndSession{11}, put_of(11, 0, 2)})[1] == Store::Outcome::refused);
    CHECK(absent(**store, 11, 0));
    CHECK((*store)->status().values == 4);
  }
  auto store = open_store(disk, session_store());
  REQUIRE(store.ok());
  CHECK_FALSE(facts_of(**store, 11));
  CHECK(absent(**store, 11, 0));
  CHECK(has(**store, 12, 1, 5));
  CHECK((*store)->session_numbers_below() > 12);
  CHECK((*store)->status().damaged == 0);
  write(**store, {Store::EndSession{0}});
  CHECK((*store)->sessions().empty());
  CHECK(absent(**store, 12, 1));
}

TEST_CASE("neither keys nor values of a session are ever written in clear, and at its end its secret is overwritten") {
  const auto disk = std::make_shared<MemoryDisk>();
  const std::string marked = "MARKED-BYTES-OF-A-VALUE-" + std::string(40, 'm');
  const std::string marked_file = "MARKED-BYTES-OF-A-FILE-" + std::string(900, 'f');
  const auto value_in = [&](std::uint64_t session) {
    disk::ValueInput value;
    value.key = "argument of session " + std::to_string(session) + "/MARKED-KEY";
    value.attributes = "MARKED-ATTRIBUTES";
    value.parts = {{"MARKED-NAME", "MARKED-TYPE", disk::bytes_of(std::string_view(marked)), nullptr},
                   {"", "", disk::bytes_of(std::string_view(marked_file)), nullptr}};
    return value;
  };
  std::string secret;
  {
    auto store = open_store(disk, session_store());
    REQUIRE(store.ok());
    write(**store, {Store::KeepSession{session_facts(21, 1)}, Store::KeepSession{session_facts(22, 1)}});
    write(**store, {Store::Put{value_in(21)}, Store::Put{value_in(22)}, Store::Put{value_in(0)}});
    REQUIRE((*store)->load(value_in(21).key, 20'000)->has_value());
    secret = secret_of(disk->image(), 21).value();
    REQUIRE(is_anywhere(disk->image(), secret));
    const auto part_files = [&] {
      const auto image = disk->image();
      return std::count_if(image.begin(), image.end(), [](const auto& one) { return one.first.starts_with("parts/") && !one.second.directory; });
    };
    CHECK(part_files() == 3);
    write(**store, {Store::EndSession{21}});
    CHECK(part_files() == 2);
  }
  CHECK_FALSE(is_anywhere(disk->image(), secret));
  CHECK_FALSE(is_anywhere(disk->image(), text_of(id_digest(21, 1))));
  CHECK(is_anywhere(disk->image(), text_of(id_digest(22, 1))));
  // A value of no session is what the search would have found. ("session 0" names none.)
  for (const char* const mark : {"MARKED-KEY", "MARKED-ATTRIBUTES", "MARKED-NAME", "MARKED-TYPE", "MARKED-BYTES-OF-A-VALUE", "MARKED-BYTES-OF-A-FILE"}) {
    CAPTURE(mark);
    CHECK(was_ever_written(*disk, mark));
  }
  const auto other = std::make_shared<MemoryDisk>();
  {
    auto store = open_store(other, session_store());
    REQUIRE(store.ok());
    write(**store, {Store::KeepSession{session_facts(21, 1)}, Store::Put{value_in(21)}});
    for (int key = 3; key < 400; key += 4) write(**store, {Store::Put{derived_value(key, 1)}});
    REQUIRE((*store)->compact(20'000).ok());  // its record moves
    REQUIRE_FALSE(other->image().contains("log/00000001.log"));
    REQUIRE((*store)->load(value_in(21).key, 20'000)->has_value());
    write(**store, {Store::Put{value_in(21)}, Store::Drop{value_in(21).key}});
  }
  CHECK_FALSE(was_ever_written(*other, "MARKED"));
  CHECK_FALSE(was_ever_written(*other, "argument of session"));
}

TEST_CASE("time goes on while no daemon runs: what is over at the start is wiped, and an idle one has half its time more") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk::SessionFacts idle = session_facts(31, 1);
  idle.idle_ms = 10'000;
  disk::SessionFacts aged = session_facts(32, 1);
  aged.ends_ms = 30'000;
  disk::SessionFacts lasting = session_facts(33, 1);
  lasting.idle_ms = 0;
  {
    auto store = open_store(disk, session_store());
    REQUIRE(store.ok());
    write(**store, {Store::KeepSession{idle}, Store::KeepSession{aged}, Store::KeepSession{lasting}, put_of(31, 1, 1), put_of(32, 1, 1), put_of(33, 1, 1)});
    write(**store, {Store::UseSession{31, 22'000}}, false);
    CHECK((*store)->sync(22'000));
  }
  const std::vector<std::string> secrets{*secret_of(disk->image(), 31), *secret_of(disk->image(), 32), *secret_of(disk->image(), 33)};
  const auto at = [&](std::uint64_t wall_ms) {
    const auto copy = std::make_shared<MemoryDisk>(disk->image());
    auto store = open_store(copy, session_store(), wall_ms);
    REQUIRE(store.ok());
    std::string found;
    for (std::uint64_t number = 31; number <= 33; ++number) {
      const bool there = facts_of(**store, number).has_value();
      CHECK(is_anywhere(copy->image(), secrets[number - 31]) == there);
      CHECK(has(**store, number, 1, 1, wall_ms) == there);
      found += there ? '+' : '-';
    }
    return found;
  };
  CHECK(at(20'000) == "+++");
  CHECK(at(29'999) == "+++");
  CHECK(at(30'000) == "+-+");
  CHECK(at(36'999) == "+-+");
  CHECK(at(37'000) == "--+");
  CHECK(at(1'000'000'000'000) == "--+");
}

TEST_CASE("sessions after a power loss at any operation: as before or as after, and what was ended is nowhere") {
  std::size_t ended = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    CAPTURE(seed);
    const auto disk = std::make_shared<MemoryDisk>();
    SessionWorkload workload;
    workload.random.seed(seed);
    const auto time = [&] { return disk->log.size(); };
    const auto image = [&] { return disk->image(); };
    for (int start = 0; start < 2; ++start) {
      auto store = open_store(disk, session_store(nullptr, seed * 10 + static_cast<std::uint64_t>(start)));
      REQUIRE(store.ok());
      for (int i = 0; i < 40; ++i) workload.step(**store, time, image);
      CHECK(workload.problem(**store, disk->image(), time(), true) == "");
    }
    std::mt19937_64 random(seed);
    for (std::size_t n = 0; n <= disk->log.size(); n += stride) {
      CAPTURE(n);
      for (int round = 0; round < 5; ++round) {
        const auto loss = round == 0 ? MemoryDisk::Loss::nothing : round == 1 ? MemoryDisk::Loss::all_unsynced : MemoryDisk::Loss::random;
        const auto after = std::make_shared<MemoryDisk>(disk->after(n, loss, random));
        std::vector<std::string> said;
        {
          auto store = open_store(after, session_store(&said, 99));
          REQUIRE_MESSAGE(store.ok(), store.error().text);
          CHECK(workload.problem(**store, after->image(), n, true) == "");
          // It goes on from there.
          const std::uint64_t next = (*store)->session_numbers_below();
          CHECK(write(**store, {Store::KeepSession{session_facts(next, 1)}, put_of(next, 1, 1)})[1] == Store::Outcome::done);
        }
        auto again = open_store(after, session_store());
        REQUIRE(again.ok());
        const std::vector<disk::SessionFacts> there = (*again)->sessions();
        CHECK(std::any_of(there.begin(), there.end(), [&](const auto& one) { return has(**again, one.number, 1, 1); }));
      }
    }
    for (const auto& [number, known] : workload.sessions) ended += known.ended && !known.secret.empty() ? 1U : 0U;
  }
  CHECK(ended > 40);
}

TEST_CASE("sessions when each operation fails once, or five in a row: they go on in memory, and are written when the disk works again") {
  std::size_t operations = 0;
  std::size_t degradations = 0;
  const auto run = [&](const std::shared_ptr<MemoryDisk>& disk, SessionWorkload& workload) {
    auto store = open_store(disk, session_store());
    if (!store) return;
    const auto time = [&] { return disk->log.size(); };
    for (int i = 0; i < 30; ++i) {
      workload.step(**store, time, [&] { return disk->image(); });
      CHECK(workload.problem(**store, {}, ~std::size_t{0}, true) == "");
      if (!(*store)->degraded()) continue;
      ++degradations;
      (*store)->recover(20'000);
    }
    operations = disk->counted;
    disk->disarm();
    for (int i = 0; i < 20 && (*store)->degraded(); ++i) (*store)->recover(20'000);
    CHECK_FALSE((*store)->degraded());
    CHECK((*store)->sync(20'000));
    // All of it is on stable storage by now, whatever was said of each.
    const std::size_t end = time();
    for (auto& [number, known] : workload.sessions)
      for (auto& event : known.events)
        if (!event.acknowledged) event.acknowledged = end;
  };
  {
    const auto disk = std::make_shared<MemoryDisk>();
    SessionWorkload workload;
    workload.random.seed(3);
    run(disk, workload);
    REQUIRE(degradations == 0);
    REQUIRE(operations > 150);
  }
  const std::size_t all = operations;
  for (const std::size_t in_a_row : {1U, 5U}) {
    for (const Fault fault : {Fault::error, Fault::half_written}) {
      for (std::size_t at = 0; at < all; at += stride) {
        CAPTURE(in_a_row);
        CAPTURE(static_cast<int>(fault));
        CAPTURE(at);
        const auto disk = std::make_shared<MemoryDisk>();
        disk->arm(at, in_a_row, fault);
        SessionWorkload workload;
        workload.faults = true;
        workload.random.seed(3);
        run(disk, workload);
        if (workload.sessions.empty()) continue;  // it did not even open
        std::mt19937_64 random(at);
        for (const auto loss : {MemoryDisk::Loss::nothing, MemoryDisk::Loss::all_unsynced, MemoryDisk::Loss::random}) {
          const auto after = std::make_shared<MemoryDisk>(disk->after(disk->log.size(), loss, random));
          auto store = open_store(after, session_store());
          REQUIRE_MESSAGE(store.ok(), store.error().text);
          CHECK(workload.problem(**store, after->image(), disk->log.size(), true) == "");
        }
      }
    }
  }
  CHECK(degradations * stride > all);
}

TEST_CASE("one damaged place in the file of sessions, of up to a page, costs nothing; any bytes at all bring nothing wrong") {
  const auto disk = std::make_shared<MemoryDisk>();
  SessionWorkload workload;
  workload.random.seed(8);
  std::size_t count = 0;
  {
    auto store = open_store(disk, session_store());
    REQUIRE(store.ok());
    for (int i = 0; i < 60; ++i) workload.step(**store, [&] { return ++count; }, [&] { return disk->image(); });
    REQUIRE((*store)->sync(20'000));
    for (std::uint64_t number = 901; number <= 905; ++number) {
      write(**store, {Store::KeepSession{session_facts(number, 1)}});
      workload.sessions[number].events.push_back({1, ++count, count});
    }
    REQUIRE((*store)->sessions().size() > 5);
  }
  const Image image = disk->image();
  const std::size_t size = image.at("sessions").content.size();
  REQUIRE(size >= 2 * disk::SessionFile::pair_bytes);
  const auto check = [&](const Image& damaged, bool lossless) {
    const auto copy = std::make_shared<MemoryDisk>(damaged);
    {
      auto store = open_store(copy, session_store());
      REQUIRE_MESSAGE(store.ok(), store.error().text);
      CHECK(workload.problem(**store, copy->image(), count, lossless) == "");
    }
    if (!lossless) return;
    auto again = open_store(copy, session_store());  // and it is whole again
    REQUIRE(again.ok());
    CHECK(copy->image().at("sessions").content.size() == size);
    CHECK(workload.problem(**again, copy->image(), count, true) == "");
  };
  for (std::size_t at = 0; at < size; ++at) {
    CAPTURE(at);
    Image flipped = image;
    char& byte = flipped["sessions"].content[at];
    if (byte == 0 && at % 16 != 0) continue;  // what is free, a sample of it
    byte = static_cast<char>(byte ^ (1 << (at % 8)));
    check(flipped, true);
  }
  for (std::size_t page = 0; page < size; page += disk::SessionFile::page_bytes) {
    CAPTURE(page);
    for (const char with : {'\0', 'x'}) {
      Image lost = image;
      std::fill_n(lost["sessions"].content.begin() + static_cast<std::ptrdiff_t>(page), disk::SessionFile::page_bytes, with);
      check(lost, true);
    }
  }
  std::mt19937_64 random(8);
  for (int round = 0; round < 300; ++round) {
    Image lost = image;
    std::string& content = lost["sessions"].content;
    if (round % 3 == 0) content.resize(random() % content.size());
    else
      for (int i = 0; i < 60; ++i) content[random() % content.size()] = static_cast<char>(random());
    const auto copy = std::make_shared<MemoryDisk>(lost);
    auto store = open_store(copy, session_store(), 1'764'000'000'000);
    REQUIRE_MESSAGE(store.ok(), store.error().text);
    for (const disk::SessionFacts& one : (*store)->sessions()) {
      REQUIRE(workload.sessions.contains(one.number));
      const auto& known = workload.sessions.at(one.number);
      CHECK(known.events.back().generation == one.generation);  // never one of before
    }
    for (const auto& [number, known] : workload.sessions) CHECK((*store)->session_numbers_below() > number);
  }
}

TEST_CASE("values of sessions are evicted and moved like others, sealed as they are") {
  const auto disk = std::make_shared<MemoryDisk>();
  disk::StoreOptions options = session_store();
  options.budget_bytes = 1 << 20;
  options.segment_bytes = 64 << 10;
  {
    auto store = open_store(disk, options);
    REQUIRE(store.ok());
    write(**store, {Store::KeepSession{session_facts(41, 1)}});
    disk::ValueInput dear = SessionWorkload::value_of(41, 1, 9);
    dear.facts.merit = 30;
    write(**store, {Store::Put{dear}});
    for (int i = 0; i < 3'000; ++i) {
      const std::uint64_t version = static_cast<std::uint64_t>(i) + 10;
      CHECK(write(**store, {put_of(41, 2 + i % 3, version), Store::Put{derived_value(i, version)}}, i % 50 == 0)[0] == Store::Outcome::done);
    }
    CHECK((*store)->status().used_bytes <= options.budget_bytes);
    CHECK((*store)->status().evicted > 100);
    CHECK(has(**store, 41, 1, 9));
    REQUIRE((*store)->compact(20'000).ok());
    CHECK(has(**store, 41, 1, 9));
    REQUIRE((*store)->sync(20'000));
    const auto verified = (*store)->verify(20'000, [](std::uint64_t, std::uint64_t) { return true; });
    REQUIRE(verified.ok());
    CHECK(verified->damaged == 0);
  }
  auto store = open_store(disk, options);
  REQUIRE(store.ok());
  CHECK(has(**store, 41, 1, 9));
  CHECK((*store)->status().damaged == 0);
}

TEST_CASE("a store of an older format takes no sessions along to where it is set aside") {
  const auto disk = std::make_shared<MemoryDisk>();
  {
    auto store = open_store(disk, session_store());
    REQUIRE(store.ok());
    write(**store, {Store::KeepSession{session_facts(51, 1)}, put_of(51, 1, 1)});
  }
  const std::string secret = secret_of(disk->image(), 51).value();
  Image image = disk->image();
  disk::Identity identity;
  std::memcpy(&identity, image["onced-disk"].content.data(), sizeof(identity));
  identity.version = disk::format_version - 1;
  disk::seal(identity);
  for (std::size_t copy = 0; copy < 2; ++copy) std::memcpy(image["onced-disk"].content.data() + copy * sizeof(identity), &identity, sizeof(identity));
  const auto older = std::make_shared<MemoryDisk>(image);
  std::vector<std::string> said;
  auto store = open_store(older, session_store(&said));
  REQUIRE_MESSAGE(store.ok(), store.error().text);
  REQUIRE(said.size() == 1);
  CHECK((*store)->sessions().empty());
  CHECK_FALSE(is_anywhere(older->image(), secret));
  CHECK(std::any_of(older->log.begin(), older->log.end(), [](const Operation& one) {  // overwritten, not only removed
    return one.kind == Operation::Kind::write && one.bytes.size() >= disk::SessionFile::pair_bytes && one.bytes.find_first_not_of('\0') == std::string::npos;
  }));
}

}  // namespace onced::testing
