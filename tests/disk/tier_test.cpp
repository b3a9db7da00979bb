// The tier's threads: nobody who asks waits for the disk, order holds, queues are bounded, and failures heal by themselves.
#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <thread>

#include "disk/tier.hpp"
#include "support/temp_directory.hpp"
#include "support/watchdog.hpp"
#include "gated_files.hpp"
#include "session_workload.hpp"
#include "workload.hpp"

namespace onced::testing {
namespace {

using disk::Store;
using disk::Tier;

struct Fixture {
  TempDirectory temp;
  FileGate gate;
  disk::StoreOptions store_options = small_store();
  disk::TierOptions options;
  std::unique_ptr<Tier> tier;

  Fixture() {
    options.elapsed_ms = [begin = std::chrono::steady_clock::now()] {
      return static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count());
    };
    options.retry_first = std::chrono::milliseconds(5);
  }
  void start() {
    auto files = open_gated_files((temp / "store").string(), gate);
    REQUIRE(files.ok());
    auto store = Store::open(std::move(*files), store_options, 10'000);
    REQUIRE_MESSAGE(store.ok(), store.error().text);
    tier = std::make_unique<Tier>(std::move(*store), options);
  }
  void stop() {
    tier->stop(std::chrono::minutes(1));
    tier.reset();
  }
  std::future<Store::Outcome> put(int key, std::uint64_t version, bool durable = true) {
    auto promise = std::make_shared<std::promise<Store::Outcome>>();
    tier->put(derived_value(key, version), durable, [promise](Store::Outcome outcome) { promise->set_value(outcome); });
    return promise->get_future();
  }
  std::future<Store::Outcome> drop(int key) {
    auto promise = std::make_shared<std::promise<Store::Outcome>>();
    tier->drop(key_name(key), [promise](Store::Outcome outcome) { promise->set_value(outcome); });
    return promise->get_future();
  }
  // The version that is found, 0 for none.
  std::future<std::uint64_t> load(int key) {
    auto promise = std::make_shared<std::promise<std::uint64_t>>();
    const bool taken = tier->load(key_name(key), {}, [promise, key](Result<std::optional<Store::Loaded>> loaded) {
      promise->set_value(!loaded.ok() ? 999'999 : !loaded->has_value() ? 0 : version_of(key, **loaded).value_or(888'888));
    });
    REQUIRE(taken);
    return promise->get_future();
  }
};

}  // namespace

TEST_CASE("what was put is found, what was dropped is not, in the order of the calls, and after a restart") {
  Fixture fixture;
  fixture.start();
  for (int key = 0; key < 50; ++key) {
    fixture.put(key, 1, false);
    CHECK(fixture.load(key).get() == 1);
    fixture.put(key, 2, false);
    fixture.put(key, 3, false);
    auto third = fixture.load(key);
    if (key % 2 == 0) fixture.drop(key);
    CHECK(third.get() >= (key % 2 == 0 ? 0 : 3));
    CHECK(fixture.load(key).get() == (key % 2 == 0 ? 0 : 3));
  }
  fixture.stop();
  fixture.start();
  for (int key = 0; key < 50; ++key) CHECK(fixture.load(key).get() == (key % 2 == 0 ? 0 : 3));
  fixture.stop();
}

TEST_CASE("while the disk hangs nobody who asks waits, and a load of another key goes on") {
  Fixture fixture;
  fixture.start();
  REQUIRE(fixture.put(1, 1).get() == Store::Outcome::done);
  fixture.gate.shut();
  auto first = fixture.put(2, 1);
  fixture.gate.wait_until_somebody_waits();
  auto second = fixture.put(1, 2);
  auto dropped = fixture.drop(3);
  auto behind = fixture.load(1);   // it has to see version 2
  fixture.put(4, 1);
  for (int i = 0; i < 100; ++i) fixture.put(5, static_cast<std::uint64_t>(i) + 1);
  CHECK(fixture.load(6).get() == 0);
  CHECK(first.wait_for(std::chrono::seconds(0)) != std::future_status::ready);
  CHECK(dropped.wait_for(std::chrono::seconds(0)) != std::future_status::ready);
  CHECK(behind.wait_for(std::chrono::seconds(0)) != std::future_status::ready);
  fixture.gate.let_go();
  CHECK(first.get() == Store::Outcome::done);
  CHECK(second.get() == Store::Outcome::done);
  CHECK(dropped.get() == Store::Outcome::done);
  CHECK(behind.get() == 2);
  CHECK(fixture.load(5).get() == 100);
  fixture.stop();
}

TEST_CASE("a put for which the queue has no room is not stored, and neither is what it replaces") {
  Fixture fixture;
  fixture.options.queue_bytes_max = 4'000;
  fixture.start();
  REQUIRE(fixture.put(1, 1).get() == Store::Outcome::done);
  fixture.gate.shut();
  auto blocked = fixture.put(2, 1);
  fixture.gate.wait_until_somebody_waits();
  std::vector<std::future<Store::Outcome>> more;
  for (int key = 20; key < 40; ++key) more.push_back(fixture.put(key, 1));
  auto replaced = fixture.put(1, 2);
  CHECK(fixture.tier->queued_bytes() <= 4'000);
  fixture.gate.let_go();
  CHECK(blocked.get() == Store::Outcome::done);
  CHECK(replaced.get() == Store::Outcome::refused);
  CHECK(fixture.load(1).get() == 0);
  int refused = 0;
  for (auto& each : more) refused += each.get() == Store::Outcome::refused ? 1 : 0;
  CHECK(refused > 5);
  CHECK(fixture.tier->left_out() == static_cast<std::uint64_t>(refused) + 1);
  CHECK(fixture.tier->queued_bytes() == 0);
  fixture.stop();
}

TEST_CASE("more operations than the queue may hold become one that drops everything") {
  Fixture fixture;
  fixture.options.queue_operations_max = 10;
  fixture.start();
  REQUIRE(fixture.put(1, 1).get() == Store::Outcome::done);
  fixture.gate.shut();
  auto blocked = fixture.put(2, 1);
  fixture.gate.wait_until_somebody_waits();
  std::vector<std::future<Store::Outcome>> drops;
  for (int key = 100; key < 125; ++key) drops.push_back(fixture.drop(key));
  auto behind = fixture.load(110);
  fixture.gate.let_go();
  for (auto& each : drops) CHECK(each.get() == Store::Outcome::done);
  CHECK(behind.get() == 0);
  CHECK(fixture.load(1).get() == 0);
  CHECK(fixture.put(1, 2).get() == Store::Outcome::done);
  CHECK(fixture.load(1).get() == 2);
  fixture.stop();
}

TEST_CASE("while the disk hangs nothing is kept of the values that wait, however many come, and each caller is told once") {
  Fixture fixture;
  fixture.options.queue_operations_max = 10;
  fixture.start();
  REQUIRE(fixture.put(1, 1).get() == Store::Outcome::done);
  fixture.gate.shut();
  auto blocked = fixture.put(2, 1);
  fixture.gate.wait_until_somebody_waits();
  std::vector<std::weak_ptr<const void>> values;
  std::vector<std::future<Store::Outcome>> outcomes;
  for (int key = 100; key < 395; ++key) {
    disk::ValueInput value = derived_value(key, 1);
    values.emplace_back(value.parts[0].keeps);
    auto promise = std::make_shared<std::promise<Store::Outcome>>();
    outcomes.push_back(promise->get_future());
    Tier::Written written = [promise](Store::Outcome outcome) { promise->set_value(outcome); };
    fixture.tier->put(std::move(value), true, key % 2 == 0 ? written : Tier::Written());
    if (key % 2 != 0) promise->set_value(Store::Outcome::refused);
  }
  const auto kept = std::count_if(values.begin(), values.end(), [](const auto& one) { return !one.expired(); });
  CHECK(kept <= 10);
  auto last = fixture.put(1, 2);
  CHECK(fixture.load(3).get() == 0);  // waits for no disk: everything is being dropped
  CHECK_FALSE(fixture.tier->may_have(key_name(3)));
  CHECK(fixture.tier->may_have(key_name(1)));
  auto behind = fixture.load(1);
  fixture.gate.let_go();
  CHECK(last.get() == Store::Outcome::done);
  CHECK(behind.get() == 2);
  std::size_t done = 0;
  std::size_t refused = 0;
  for (std::size_t i = 0; i < outcomes.size(); i += 2) {
    const auto outcome = outcomes[i].get();
    done += outcome == Store::Outcome::done ? 1U : 0U;
    refused += outcome == Store::Outcome::refused ? 1U : 0U;
  }
  CHECK(done + refused == 148);
  CHECK(done <= 10);
  wait_until([&] { return fixture.tier->queued_bytes() == 0; }, "the queue to be written");
  CHECK(fixture.tier->left_out() >= 285);
  CHECK(fixture.tier->left_out() <= 295);
  fixture.stop();
}

TEST_CASE("what becomes one that drops everything goes before an audience that was asked for later") {
  Fixture fixture;
  fixture.options.queue_operations_max = 10;
  fixture.start();
  REQUIRE(fixture.put(1, 1).get() == Store::Outcome::done);
  fixture.gate.shut();
  auto blocked = fixture.put(2, 1);
  fixture.gate.wait_until_somebody_waits();
  std::string order;  // of what is written, all by one thread
  std::promise<void> kept;
  fixture.tier->clear([&](Store::Outcome outcome) { order += outcome == Store::Outcome::done ? "cleared, " : "not cleared, "; });
  fixture.tier->keep_audience("fewer", [&](Store::Outcome outcome) {
    order += outcome == Store::Outcome::done ? "kept" : "not kept";
    kept.set_value();
  });
  std::vector<std::future<Store::Outcome>> drops;
  for (int key = 100; key < 125; ++key) drops.push_back(fixture.drop(key));
  fixture.gate.let_go();
  for (auto& each : drops) CHECK(each.get() == Store::Outcome::done);
  kept.get_future().get();
  CHECK(order == "cleared, kept");
  fixture.stop();
  fixture.start();
  CHECK(fixture.tier->store().audience_before() == "fewer");
  CHECK(fixture.load(1).get() == 0);
  fixture.stop();
}

TEST_CASE("operations of sessions, which cannot be shed, do not make the queue drop everything") {
  Fixture fixture;
  fixture.store_options = session_store();
  fixture.options.queue_operations_max = 10;
  fixture.start();
  REQUIRE(fixture.put(1, 1).get() == Store::Outcome::done);
  fixture.gate.shut();
  auto blocked = fixture.put(2, 1);
  fixture.gate.wait_until_somebody_waits();
  std::promise<void> all_kept;
  std::atomic<int> kept = 0;
  for (std::uint64_t number = 1; number <= 20; ++number) {
    fixture.tier->keep_session(session_facts(number, 1), [&](Store::Outcome outcome) {
      CHECK(outcome == Store::Outcome::done);
      if (++kept == 20) all_kept.set_value();
    });
  }
  auto after = fixture.put(3, 1);
  fixture.gate.let_go();
  CHECK(after.get() == Store::Outcome::done);
  all_kept.get_future().get();
  CHECK(fixture.load(1).get() == 1);
  CHECK(fixture.load(3).get() == 1);
  fixture.stop();
}

TEST_CASE("a broken disk fails what asks for it, and is used again by itself when it works") {
  Fixture fixture;
  fixture.start();
  REQUIRE(fixture.put(1, 1).get() == Store::Outcome::done);
  REQUIRE(fixture.put(2, 1).get() == Store::Outcome::done);
  fixture.gate.broken = true;
  CHECK(fixture.put(1, 2).get() == Store::Outcome::failed);
  CHECK(fixture.drop(3).get() == Store::Outcome::failed);
  CHECK(fixture.load(1).get() == 0);
  CHECK(fixture.load(2).get() == 1);
  CHECK(fixture.tier->store().status().degraded);
  CHECK(fixture.tier->left_out() == 1);
  fixture.gate.broken = false;
  wait_until([&] { return fixture.put(4, 1).get() == Store::Outcome::done; }, "the tier to leave the degraded state");
  CHECK_FALSE(fixture.tier->store().status().degraded);
  CHECK(fixture.load(4).get() == 1);
  fixture.stop();
  fixture.start();
  CHECK(fixture.load(1).get() == 0);
  CHECK(fixture.load(2).get() == 1);
  CHECK(fixture.load(4).get() == 1);
  fixture.stop();
}

TEST_CASE("a disk that fails while nobody asks for anything is used again by itself, too") {
  Fixture fixture;
  std::atomic<std::uint64_t> elapsed_ms{0};
  fixture.options.elapsed_ms = [&] { return elapsed_ms.load(); };
  fixture.options.sync_period = std::chrono::milliseconds(1);
  fixture.start();
  REQUIRE(fixture.put(1, 1, false).get() == Store::Outcome::done);
  fixture.gate.broken = true;
  const auto is_degraded = [&] {
    elapsed_ms += 2;
    return fixture.tier->store().degraded();
  };
  wait_until(is_degraded, "the sync to fail");
  fixture.gate.broken = false;
  wait_until([&] { return !is_degraded(); }, "the tier to leave the degraded state");
  CHECK(fixture.load(1).get() == 1);  // it was synced; what failed was the mark that says so
  CHECK(fixture.put(1, 2).get() == Store::Outcome::done);
  fixture.stop();
}

TEST_CASE("at its end a degraded store is tried once more: what was dropped meanwhile does not come back") {
  Fixture fixture;
  fixture.options.retry_first = std::chrono::hours(1);
  fixture.options.retry_longest = std::chrono::hours(1);
  fixture.start();
  for (int key = 1; key <= 3; ++key) REQUIRE(fixture.put(key, 1).get() == Store::Outcome::done);
  fixture.gate.broken = true;
  CHECK(fixture.put(1, 2).get() == Store::Outcome::failed);
  CHECK(fixture.drop(2).get() == Store::Outcome::failed);
  fixture.gate.broken = false;
  CHECK(fixture.drop(9).get() == Store::Outcome::failed);
  fixture.stop();
  fixture.start();
  CHECK(fixture.load(1).get() == 0);
  CHECK(fixture.load(2).get() == 0);
  CHECK(fixture.load(3).get() == 1);
  fixture.gate.broken = true;
  CHECK(fixture.drop(3).get() == Store::Outcome::failed);
  fixture.stop();  // and ends though it fails again
}

TEST_CASE("many threads put, drop and load at once: never a wrong byte, and each sees its own") {
  Fixture fixture;
  fixture.store_options.budget_bytes = 1 << 20;  // so that segments are cleaned and values evicted meanwhile
  fixture.store_options.segment_bytes = 32 << 10;
  fixture.start();
  std::atomic<int> wrong{0};
  std::atomic<int> found{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(static_cast<std::uint64_t>(t) + 1);
      for (std::uint64_t version = 1; version <= 400; ++version) {
        const int key = t * 100 + static_cast<int>(random() % 100);  // its own keys
        fixture.put(key, version, random() % 64 == 0);
        const std::uint64_t loaded = fixture.load(key).get();
        if (loaded != version && loaded != 0) ++wrong;  // 0: evicted meanwhile
        if (loaded == version) ++found;
        if (random() % 8 == 0) {
          fixture.drop(key);
          if (fixture.load(key).get() != 0) ++wrong;
        }
        const int other = static_cast<int>(random() % 400);
        if (fixture.load(other).get() >= 888'888) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(found > 1'400);
  CHECK(fixture.tier->store().status().used_bytes <= fixture.store_options.budget_bytes);
  CHECK(fixture.tier->store().status().damaged == 0);
  fixture.stop();
}

}  // namespace onced::testing

namespace onced::testing {
namespace {

// Whether a load of `key` was told that there is something of `other`.
std::future<bool> sees(Tier& tier, int key, int other) {
  auto promise = std::make_shared<std::promise<bool>>();
  const auto seen = std::make_shared<bool>(false);
  const bool taken = tier.load(key_name(key), {}, [promise, seen](const Result<std::optional<Store::Loaded>>&) { promise->set_value(*seen); },
                               [seen, other](const disk::ValueFacts&, std::string_view, const Tier::Look& look) -> Result<bool> {
                                 const auto found = look(key_name(other));
                                 if (!found) return found.error();
                                 *seen = found->has_value();
                                 return *seen;
                               });
  REQUIRE(taken);
  return promise->get_future();
}

}  // namespace

TEST_CASE("a load's look at another key sees every put and drop of it that was asked for before, though the disk hangs") {
  Fixture fixture;
  fixture.start();
  for (int key = 1; key <= 4; ++key) REQUIRE(fixture.put(key, 1).get() == Store::Outcome::done);
  CHECK(sees(*fixture.tier, 1, 2).get());
  CHECK(sees(*fixture.tier, 1, 3).get());
  fixture.gate.shut();
  auto blocked = fixture.put(9, 1);
  fixture.gate.wait_until_somebody_waits();
  auto replaced = fixture.put(2, 2);
  auto dropped = fixture.drop(3);
  CHECK_FALSE(sees(*fixture.tier, 1, 2).get());  // the disk still has version 1
  CHECK(fixture.tier->may_have(key_name(1)));
  CHECK_FALSE(sees(*fixture.tier, 4, 3).get());
  fixture.gate.let_go();
  CHECK(replaced.get() == Store::Outcome::done);
  CHECK(dropped.get() == Store::Outcome::done);
  REQUIRE(fixture.put(1, 2).get() == Store::Outcome::done);
  CHECK(sees(*fixture.tier, 1, 2).get());
  CHECK_FALSE(sees(*fixture.tier, 1, 3).get());
  fixture.stop();
}

TEST_CASE("what was put in one go is seen by a load of the last of it, however soon that is asked for") {
  Fixture fixture;
  fixture.start();
  for (std::uint64_t version = 1; version <= 200; ++version) {
    fixture.put(1, version, false);
    fixture.put(2, version, false);
    CHECK(sees(*fixture.tier, 2, 1).get());
  }
  fixture.stop();
}

}  // namespace onced::testing
