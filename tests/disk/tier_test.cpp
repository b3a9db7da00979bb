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

// The store on a disk that can hang and fail, with the tier's threads once it is started; which ends as a daemon does.
struct Stage {
  TempDirectory temp;
  FileGate gate;
  disk::StoreOptions store_options = small_store();
  disk::TierOptions options;
  std::unique_ptr<Tier> tier;

  Stage() {
    options.elapsed_ms = [begin = std::chrono::steady_clock::now()] {
      return static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count());
    };
    options.retry_first = std::chrono::milliseconds(5);
  }
  ~Stage() {
    gate.let_go();
    if (tier) stop();
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
  void restart() {
    stop();
    start();
  }
  // Key 1 has version 1, and with key 2 the writer hangs in the disk: what is asked for from here on waits. What becomes of key 2.
  std::future<Store::Outcome> start_and_hang() {
    start();
    REQUIRE(put(1, 1).get() == Store::Outcome::done);
    gate.shut();
    auto blocked = put(2, 1);
    gate.wait_until_somebody_waits();
    return blocked;
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
  // Whether a load of `key` was told that there is something of `other`.
  std::future<bool> sees(int key, int other) {
    auto promise = std::make_shared<std::promise<bool>>();
    const auto seen = std::make_shared<bool>(false);
    const bool taken = tier->load(key_name(key), {}, [promise, seen](const Result<std::optional<Store::Loaded>>&) { promise->set_value(*seen); },
                                 [seen, other](const disk::ValueFacts&, std::string_view, const Tier::Look& look) -> Result<bool> {
                                   const auto found = look(key_name(other));
                                   if (!found) return found.error();
                                   *seen = found->has_value();
                                   return *seen;
                                 });
    REQUIRE(taken);
    return promise->get_future();
  }
};

}  // namespace

TEST_CASE_FIXTURE(Stage, "what was put is found, what was dropped is not, in the order of the calls, and after a restart") {
  start();
  for (int key = 0; key < 50; ++key) {
    put(key, 1, false);
    CHECK(load(key).get() == 1);
    put(key, 2, false);
    put(key, 3, false);
    auto third = load(key);
    if (key % 2 == 0) drop(key);
    CHECK(third.get() >= (key % 2 == 0 ? 0 : 3));
    CHECK(load(key).get() == (key % 2 == 0 ? 0 : 3));
  }
  restart();
  for (int key = 0; key < 50; ++key) CHECK(load(key).get() == (key % 2 == 0 ? 0 : 3));
}

TEST_CASE_FIXTURE(Stage, "while the disk hangs nobody who asks waits, and a load of another key goes on") {
  auto first = start_and_hang();
  auto second = put(1, 2);
  auto dropped = drop(3);
  auto behind = load(1);   // it has to see version 2
  put(4, 1);
  for (int i = 0; i < 100; ++i) put(5, static_cast<std::uint64_t>(i) + 1);
  CHECK(load(6).get() == 0);
  CHECK(first.wait_for(std::chrono::seconds(0)) != std::future_status::ready);
  CHECK(dropped.wait_for(std::chrono::seconds(0)) != std::future_status::ready);
  CHECK(behind.wait_for(std::chrono::seconds(0)) != std::future_status::ready);
  gate.let_go();
  CHECK(first.get() == Store::Outcome::done);
  CHECK(second.get() == Store::Outcome::done);
  CHECK(dropped.get() == Store::Outcome::done);
  CHECK(behind.get() == 2);
  CHECK(load(5).get() == 100);
}

TEST_CASE_FIXTURE(Stage, "a put for which the queue has no room is not stored, and neither is what it replaces") {
  options.queue_bytes_max = 4'000;
  auto blocked = start_and_hang();
  std::vector<std::future<Store::Outcome>> more;
  for (int key = 20; key < 40; ++key) more.push_back(put(key, 1));
  auto replaced = put(1, 2);
  CHECK(tier->queued_bytes() <= 4'000);
  gate.let_go();
  CHECK(blocked.get() == Store::Outcome::done);
  CHECK(replaced.get() == Store::Outcome::refused);
  CHECK(load(1).get() == 0);
  int refused = 0;
  for (auto& each : more) refused += each.get() == Store::Outcome::refused ? 1 : 0;
  CHECK(refused > 5);
  CHECK(tier->left_out() == static_cast<std::uint64_t>(refused) + 1);
  CHECK(tier->queued_bytes() == 0);
}

TEST_CASE_FIXTURE(Stage, "more operations than the queue may hold become one that drops everything") {
  options.queue_operations_max = 10;
  auto blocked = start_and_hang();
  std::vector<std::future<Store::Outcome>> drops;
  for (int key = 100; key < 125; ++key) drops.push_back(drop(key));
  auto behind = load(110);
  gate.let_go();
  for (auto& each : drops) CHECK(each.get() == Store::Outcome::done);
  CHECK(behind.get() == 0);
  CHECK(load(1).get() == 0);
  CHECK(put(1, 2).get() == Store::Outcome::done);
  CHECK(load(1).get() == 2);
}

TEST_CASE_FIXTURE(Stage, "while the disk hangs nothing is kept of the values that wait, however many come, and each caller is told once") {
  options.queue_operations_max = 10;
  auto blocked = start_and_hang();
  std::vector<std::weak_ptr<const void>> values;
  std::vector<std::future<Store::Outcome>> outcomes;
  for (int key = 100; key < 395; ++key) {
    disk::ValueInput value = derived_value(key, 1);
    values.emplace_back(value.parts[0].keeps);
    auto promise = std::make_shared<std::promise<Store::Outcome>>();
    outcomes.push_back(promise->get_future());
    Tier::Written written = [promise](Store::Outcome outcome) { promise->set_value(outcome); };
    tier->put(std::move(value), true, key % 2 == 0 ? written : Tier::Written());
    if (key % 2 != 0) promise->set_value(Store::Outcome::refused);
  }
  const auto kept = std::count_if(values.begin(), values.end(), [](const auto& one) { return !one.expired(); });
  CHECK(kept <= 10);
  auto last = put(1, 2);
  CHECK(load(3).get() == 0);  // waits for no disk: everything is being dropped
  CHECK_FALSE(tier->may_have(key_name(3)));
  CHECK(tier->may_have(key_name(1)));
  auto behind = load(1);
  gate.let_go();
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
  wait_until([&] { return tier->queued_bytes() == 0; }, "the queue to be written");
  CHECK(tier->left_out() >= 285);
  CHECK(tier->left_out() <= 295);
}

TEST_CASE_FIXTURE(Stage, "what becomes one that drops everything goes before an audience that was asked for later") {
  options.queue_operations_max = 10;
  auto blocked = start_and_hang();
  std::string order;  // of what is written, all by one thread
  std::promise<void> kept;
  tier->clear([&](Store::Outcome outcome) { order += outcome == Store::Outcome::done ? "cleared, " : "not cleared, "; });
  tier->keep_audience("fewer", [&](Store::Outcome outcome) {
    order += outcome == Store::Outcome::done ? "kept" : "not kept";
    kept.set_value();
  });
  std::vector<std::future<Store::Outcome>> drops;
  for (int key = 100; key < 125; ++key) drops.push_back(drop(key));
  gate.let_go();
  for (auto& each : drops) CHECK(each.get() == Store::Outcome::done);
  kept.get_future().get();
  CHECK(order == "cleared, kept");
  restart();
  CHECK(tier->store().audience_before() == "fewer");
  CHECK(load(1).get() == 0);
}

TEST_CASE_FIXTURE(Stage, "operations of sessions, which cannot be shed, do not make the queue drop everything") {
  store_options = session_store();
  options.queue_operations_max = 10;
  auto blocked = start_and_hang();
  std::promise<void> all_kept;
  std::atomic<int> kept = 0;
  for (std::uint64_t number = 1; number <= 20; ++number) {
    tier->keep_session(session_facts(number, 1), [&](Store::Outcome outcome) {
      CHECK(outcome == Store::Outcome::done);
      if (++kept == 20) all_kept.set_value();
    });
  }
  auto after = put(3, 1);
  gate.let_go();
  CHECK(after.get() == Store::Outcome::done);
  all_kept.get_future().get();
  CHECK(load(1).get() == 1);
  CHECK(load(3).get() == 1);
}

TEST_CASE_FIXTURE(Stage, "a broken disk fails what asks for it, and is used again by itself when it works") {
  start();
  REQUIRE(put(1, 1).get() == Store::Outcome::done);
  REQUIRE(put(2, 1).get() == Store::Outcome::done);
  gate.broken = true;
  CHECK(put(1, 2).get() == Store::Outcome::failed);
  CHECK(drop(3).get() == Store::Outcome::failed);
  CHECK(load(1).get() == 0);
  CHECK(load(2).get() == 1);
  CHECK(tier->store().status().degraded);
  CHECK(tier->left_out() == 1);
  gate.broken = false;
  wait_until([&] { return put(4, 1).get() == Store::Outcome::done; }, "the tier to leave the degraded state");
  CHECK_FALSE(tier->store().status().degraded);
  CHECK(load(4).get() == 1);
  restart();
  CHECK(load(1).get() == 0);
  CHECK(load(2).get() == 1);
  CHECK(load(4).get() == 1);
}

TEST_CASE_FIXTURE(Stage, "a disk that fails while nobody asks for anything is used again by itself, too") {
  std::atomic<std::uint64_t> elapsed_ms{0};
  options.elapsed_ms = [&] { return elapsed_ms.load(); };
  options.sync_period = std::chrono::milliseconds(1);
  start();
  REQUIRE(put(1, 1, false).get() == Store::Outcome::done);
  gate.broken = true;
  const auto is_degraded = [&] {
    elapsed_ms += 2;
    return tier->store().degraded();
  };
  wait_until(is_degraded, "the sync to fail");
  gate.broken = false;
  wait_until([&] { return !is_degraded(); }, "the tier to leave the degraded state");
  CHECK(load(1).get() == 1);  // it was synced; what failed was the mark that says so
  CHECK(put(1, 2).get() == Store::Outcome::done);
  stop();  // before its clock goes
}

TEST_CASE_FIXTURE(Stage, "at its end a degraded store is tried once more: what was dropped meanwhile does not come back") {
  options.retry_first = std::chrono::hours(1);
  options.retry_longest = std::chrono::hours(1);
  start();
  for (int key = 1; key <= 3; ++key) REQUIRE(put(key, 1).get() == Store::Outcome::done);
  gate.broken = true;
  CHECK(put(1, 2).get() == Store::Outcome::failed);
  CHECK(drop(2).get() == Store::Outcome::failed);
  gate.broken = false;
  CHECK(drop(9).get() == Store::Outcome::failed);
  restart();
  CHECK(load(1).get() == 0);
  CHECK(load(2).get() == 0);
  CHECK(load(3).get() == 1);
  gate.broken = true;
  CHECK(drop(3).get() == Store::Outcome::failed);
  stop();  // and ends though it fails again
}

TEST_CASE_FIXTURE(Stage, "many threads put, drop and load at once: never a wrong byte, and each sees its own") {
  store_options.budget_bytes = 1 << 20;  // so that segments are cleaned and values evicted meanwhile
  store_options.segment_bytes = 32 << 10;
  start();
  std::atomic<int> wrong{0};
  std::atomic<int> found{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(static_cast<std::uint64_t>(t) + 1);
      for (std::uint64_t version = 1; version <= 400; ++version) {
        const int key = t * 100 + static_cast<int>(random() % 100);  // its own keys
        put(key, version, random() % 64 == 0);
        const std::uint64_t loaded = load(key).get();
        if (loaded != version && loaded != 0) ++wrong;  // 0: evicted meanwhile
        if (loaded == version) ++found;
        if (random() % 8 == 0) {
          drop(key);
          if (load(key).get() != 0) ++wrong;
        }
        const int other = static_cast<int>(random() % 400);
        if (load(other).get() >= 888'888) ++wrong;
      }
    });
  }
  // Beside them somebody verifies all the time: what goes or moves meanwhile is not damaged.
  std::atomic<bool> over{false};
  std::atomic<int> problems{0};
  std::atomic<std::uint64_t> verified{0};
  std::thread verifying([&] {
    const auto verify = tier->verification();
    while (!over) {
      const auto one = verify([](std::uint64_t, std::uint64_t) { return true; });
      if (!one || one->damaged != 0) ++problems;
      else verified += one->values;
    }
  });
  for (std::thread& thread : threads) thread.join();
  over = true;
  verifying.join();
  CHECK(wrong == 0);
  CHECK(found > 1'400);
  CHECK(problems == 0);
  CHECK(verified > 100);
  CHECK(tier->store().status().used_bytes <= store_options.budget_bytes);
  CHECK(tier->store().status().damaged == 0);
}

TEST_CASE_FIXTURE(Stage, "a load's look at another key sees every put and drop of it that was asked for before, though the disk hangs") {
  start();
  for (int key = 1; key <= 4; ++key) REQUIRE(put(key, 1).get() == Store::Outcome::done);
  CHECK(sees(1, 2).get());
  CHECK(sees(1, 3).get());
  gate.shut();
  auto blocked = put(9, 1);
  gate.wait_until_somebody_waits();
  auto replaced = put(2, 2);
  auto dropped = drop(3);
  CHECK_FALSE(sees(1, 2).get());  // the disk still has version 1
  CHECK(tier->may_have(key_name(1)));
  CHECK_FALSE(sees(4, 3).get());
  gate.let_go();
  CHECK(replaced.get() == Store::Outcome::done);
  CHECK(dropped.get() == Store::Outcome::done);
  REQUIRE(put(1, 2).get() == Store::Outcome::done);
  CHECK(sees(1, 2).get());
  CHECK_FALSE(sees(1, 3).get());
}

TEST_CASE_FIXTURE(Stage, "what was put in one go is seen by a load of the last of it, however soon that is asked for") {
  start();
  for (std::uint64_t version = 1; version <= 200; ++version) {
    put(1, version, false);
    put(2, version, false);
    CHECK(sees(2, 1).get());
  }
}

}  // namespace onced::testing
