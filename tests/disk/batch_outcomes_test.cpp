// A batch of which a part fails: each of its operations is told what is true of it, and of nothing else.
#include <doctest/doctest.h>

#include <array>

#include "session_workload.hpp"

namespace onced::testing {
namespace {

using disk::Store;
using Outcome = Store::Outcome;

std::optional<disk::SessionFacts> facts_of(const Store& store, std::uint64_t number) {
  for (const disk::SessionFacts& one : store.sessions())
    if (one.number == number) return one;
  return std::nullopt;
}
Store::Put put_of(std::uint64_t session, int key, std::uint64_t version) { return {SessionWorkload::value_of(session, key, version)}; }
std::uint64_t version_in(Store& store, const std::string& key) {
  const auto found = store.look(key, 20'000);
  REQUIRE(found.ok());
  return found->has_value() ? (**found).facts.version : 0;
}

// Operations that do not hang on each other, of all kinds, and what is true of each that is on stable storage.
struct Batch {
  enum Place : std::size_t { ended, rotated, begun, put_in_new, put_in_rotated, put, audience, dropped, ends_later };
  std::vector<Store::Operation> operations{
      Store::EndSession{11},       Store::KeepSession{session_facts(12, 2)}, Store::KeepSession{session_facts(13, 1)}, put_of(13, 0, 1), put_of(12, 0, 2),
      Store::Put{derived_value(1, 2)}, Store::KeepAudience{"fewer"},         Store::Drop{key_name(2)},                  Store::EndSession{14}};
  static constexpr std::size_t count = 9;

  static std::shared_ptr<MemoryDisk> before(std::unique_ptr<Store>& store) {
    const auto disk = std::make_shared<MemoryDisk>();
    auto opened = open_store(disk, session_store());
    REQUIRE(opened.ok());
    store = std::move(*opened);
    const std::vector<Store::Operation> first{Store::KeepSession{session_facts(11, 1)}, Store::KeepSession{session_facts(12, 1)}, Store::KeepSession{session_facts(14, 1)},
                                              put_of(11, 0, 1), put_of(12, 0, 1), Store::Put{derived_value(1, 1)}, Store::Put{derived_value(2, 1)},
                                              Store::KeepAudience{"all"}};
    for (const Outcome outcome : store->write(first, true, 20'000)) REQUIRE(outcome == Outcome::done);
    return disk;
  }
  static bool holds(Place place, Store& store, const Image& image) {
    switch (place) {
      case ended: return !facts_of(store, 11) && !is_anywhere(image, text_of(id_digest(11, 1))) && version_in(store, session_key(11, 0)) == 0;
      case rotated: return facts_of(store, 12)->generation == 2 && !is_anywhere(image, text_of(id_digest(12, 1)));
      case begun: return facts_of(store, 13).has_value();
      case put_in_new: return version_in(store, session_key(13, 0)) == 1;
      case put_in_rotated: return facts_of(store, 12)->generation == 2 && version_in(store, session_key(12, 0)) == 2;
      case put: return version_in(store, key_name(1)) == 2;
      case audience: return store.audience_before() == "fewer";
      case dropped: return version_in(store, key_name(2)) == 0;
      case ends_later: return !facts_of(store, 14) && !is_anywhere(image, text_of(id_digest(14, 1)));
    }
    return false;
  }
};

}  // namespace

TEST_CASE("whatever fails in a batch: what is told as done is so after a power loss, and what is not told so is not on stable storage") {
  std::array<int, Batch::count> done_though_it_failed{};
  for (const bool audience_too : {true, false}) {  // it syncs what is before it
    for (const Fault fault : {Fault::error, Fault::half_written}) {
      for (std::size_t at = 0;; ++at) {
        CAPTURE(audience_too);
        CAPTURE(at);
        std::unique_ptr<Store> store;
        const auto disk = Batch::before(store);
        Batch batch;
        if (!audience_too) batch.operations[Batch::audience] = Store::UseSession{12, 20'000};
        disk->arm(at, 1'000'000, fault);
        const std::vector<Outcome> outcomes = store->write(batch.operations, true, 20'000);
        const bool failed = disk->failed > 0;
        CHECK(store->degraded() == failed);
        disk->disarm();
        std::mt19937_64 random(at);
        for (const auto loss : {MemoryDisk::Loss::nothing, MemoryDisk::Loss::all_unsynced, MemoryDisk::Loss::random}) {
          const Image image = disk->after(disk->log.size(), loss, random);
          auto again = open_store(std::make_shared<MemoryDisk>(image), session_store());
          REQUIRE_MESSAGE(again.ok(), again.error().text);
          for (std::size_t i = 0; i < Batch::count; ++i) {
            CAPTURE(i);
            if (!audience_too && i == Batch::audience) continue;
            const auto place = static_cast<Batch::Place>(i);
            if (outcomes[i] == Outcome::done) CHECK(Batch::holds(place, **again, image));
            const bool is_said_by_sync = i == Batch::ended || i == Batch::audience || i == Batch::ends_later;
            if (outcomes[i] != Outcome::done && is_said_by_sync && loss == MemoryDisk::Loss::all_unsynced) CHECK_FALSE(Batch::holds(place, **again, image));
          }
        }
        for (std::size_t i = 0; i < Batch::count; ++i) done_though_it_failed[i] += failed && outcomes[i] == Outcome::done ? 1 : 0;
        // And when the disk works again everything holds that is held in memory.
        REQUIRE(store->recover(20'000));
        for (const auto place : {Batch::ended, Batch::rotated, Batch::begun, Batch::ends_later}) CHECK(Batch::holds(place, *store, disk->image()));
        if (!failed) break;
      }
    }
  }
  for (const auto place : {Batch::ended, Batch::rotated, Batch::begun, Batch::audience, Batch::ends_later}) {
    CAPTURE(place);
    CHECK(done_though_it_failed[place] > 0);
  }
}

TEST_CASE("a value of a new session is not called durable before the session is, though its segment was full and synced") {
  int done = 0;
  int failed_with_its_record_stable = 0;
  for (std::size_t filling = 5'000; filling < 7'900; filling += 100) {
    for (std::size_t at = 0;; ++at) {
      CAPTURE(filling);
      CAPTURE(at);
      std::unique_ptr<Store> store;
      const auto disk = Batch::before(store);
      disk::ValueInput filler = derived_value(3, 1);
      const std::string bytes = derived_bytes(1, 1, 0, test_file_bytes_min - 1);
      for (std::size_t left = filling; left > bytes.size(); left -= bytes.size()) filler.parts.push_back({"", "", disk::bytes_of(std::string_view(bytes)), nullptr});
      const std::vector<Store::Operation> fill{Store::Put{std::move(filler)}};
      REQUIRE(store->write(fill, true, 20'000)[0] == Outcome::done);
      disk->arm(at, 1'000'000, Fault::error);
      const std::vector<Store::Operation> batch{Store::KeepSession{session_facts(13, 1)}, put_of(13, 0, 1), Store::Put{derived_value(4, 1)}, Store::Put{derived_value(6, 1)},
                                                Store::Put{derived_value(7, 1)}};
      const std::vector<Outcome> outcomes = store->write(batch, true, 20'000);
      const bool failed = disk->failed > 0;
      disk->disarm();
      std::mt19937_64 random(at);
      auto again = open_store(std::make_shared<MemoryDisk>(disk->after(disk->log.size(), MemoryDisk::Loss::all_unsynced, random)), session_store());
      REQUIRE(again.ok());
      if (outcomes[1] == Outcome::done) CHECK(version_in(**again, session_key(13, 0)) == 1);
      done += outcomes[1] == Outcome::done ? 1 : 0;
      failed_with_its_record_stable += outcomes[1] == Outcome::failed && outcomes[2] == Outcome::done ? 1 : 0;
      if (!failed) break;
    }
  }
  CHECK(done > 0);
  CHECK(failed_with_its_record_stable > 0);
}

}  // namespace onced::testing
