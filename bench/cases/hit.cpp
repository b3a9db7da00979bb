// A hit on a small value against what else could hold it: a locked map in the process, LMDB, Redis.
#include <array>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <onced/client.hpp>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <unordered_map>

#include "cases/cases.hpp"
#include "cases/small_values.hpp"
#include "harness/onced_daemon.hpp"
#include "harness/placement.hpp"
#include "harness/timing.hpp"
#include "peers/lmdb.hpp"
#include "peers/redis.hpp"

namespace onced::bench {
namespace {

constexpr std::size_t block = 1000;
constexpr std::size_t redis_block = 100;

// What all contestants of this case share.
struct Fixture {
  explicit Fixture(const Settings& settings)
      : data(make_small_values(settings.quick ? 20'000 : 100'000)), redis_calls(settings.quick ? 500 : 5'000) {}

  SmallValues data;
  std::size_t redis_calls;
  std::uint64_t orders_drawn = 0;

  std::vector<std::uint32_t> next_order() { return random_order(data.keys.size(), ++orders_drawn); }
};
using SharedFixture = std::shared_ptr<Fixture>;

// One round: each key once in a new random order, on the first core. `read` takes an index and gives the value's fold.
template <typename Read>
Contestant reading(const SharedFixture& fixture, const std::string& name, Read read) {
  return {{{name, "ns", "onced: peek"}}, [fixture, read]() mutable -> std::vector<double> {
            place(0, Placement::same_core, Party::client);
            const auto order = fixture->next_order();
            std::uint64_t folded = 0;
            const double ns = median_ns_per_call(order, block, [&](std::uint32_t i) { folded ^= read(i); });
            check_folded(fixture->data, folded);
            return {ns};
          }};
}

// As reading(), for calls that give no value.
template <typename Call>
Contestant calling(const SharedFixture& fixture, const std::string& name, Call call) {
  return {{{name, "ns", ""}}, [fixture, call]() mutable -> std::vector<double> {
            place(0, Placement::same_core, Party::client);
            return {median_ns_per_call(fixture->next_order(), block, [&](std::uint32_t i) { call(i); })};
          }};
}

// What is behind a hit in memory and nothing else: the key's bytes, from there a line of an index, from there the four
// lines of a record. No hash, no comparison, no pin.
class DependentLines {
 public:
  explicit DependentLines(const SmallValues& data)
      : index_(data.keys.size()), records_(data.keys.size()), opaque_zero_(0) {
    line_of_ = random_order(data.keys.size(), 1);
    const auto record_of = random_order(data.keys.size(), 2);
    for (std::size_t i = 0; i < data.keys.size(); ++i) {
      index_[line_of_[i]].record = record_of[i];
      data.values[i].copy(records_[record_of[i]].value.data(), small_value_bytes);
    }
  }

  std::uint64_t read(const std::string& key, std::uint32_t i) const {
    std::uint64_t key_word = 0;
    std::memcpy(&key_word, key.data() + key.size() - sizeof key_word, sizeof key_word);
    const Record& record = records_[index_[line_of_[i] + (key_word & opaque_zero_)].record];
    keep(record.header[0]);
    keep(record.key[0]);
    keep(record.parts[0]);
    return read_small_value(record.value.data());
  }

 private:
  struct alignas(64) IndexLine {
    std::uint64_t record = 0;
  };
  struct alignas(64) Record {
    std::array<char, 64> header{};
    std::array<char, 64> key{};
    std::array<char, 64> parts{};
    std::array<char, 64> value{};
  };
  std::vector<std::uint32_t> line_of_;
  std::vector<IndexLine> index_;
  std::vector<Record> records_;
  volatile std::uint64_t opaque_zero_;  // makes the next address depend on the key's bytes
};

void add_onced(Case& benchmark, const SharedFixture& fixture) {
  const auto daemon = std::make_shared<OncedDaemon>(std::vector<std::string>{"--memory", "64MiB"});
  place(daemon->id(), Placement::cross_core, Party::server);
  const auto client = std::make_shared<Client>(daemon->connect());
  store(*client, fixture->data);
  const auto& keys = fixture->data.keys;

  benchmark.contestants.push_back(reading(
      fixture, "onced: peek", [daemon, client, &keys](std::uint32_t i) { return peek_small_value(*client, keys[i]); }));
  benchmark.contestants.front().figures.front().ours.clear();
  benchmark.contestants.push_back(
      reading(fixture, "onced: get_or_compute that hits", [daemon, client, &keys](std::uint32_t i) {
        const auto value = client->get_or_compute(std::string_view(keys[i]), {}, [](Computation&) -> std::string {
          throw std::runtime_error("onced lost a value");
        });
        return read_small_value(value->bytes().data());
      }));
  const auto builder = std::make_shared<KeyBuilder>("global_store", "v1");
  benchmark.contestants.push_back(
      reading(fixture, "onced: key from typed arguments, then peek", [daemon, client, builder](std::uint32_t i) {
        return peek_small_value(*client, *add_small_key(*builder, i).build_view());
      }));
  benchmark.contestants.push_back(
      calling(fixture, "onced: key from typed arguments (integer, text, float)",
              [builder](std::uint32_t i) { keep(add_small_key(*builder, i).build_view()->data()); }));
}

void add_map(Case& benchmark, const SharedFixture& fixture) {
  struct LockedMap {
    std::mutex mutex;
    std::unordered_map<std::string, std::array<char, small_value_bytes>> values;
    // glibc leaves the locked instructions out of a mutex while a process has one thread; nobody needs it then.
    std::jthread other_thread{[](const std::stop_token& stop) {
      std::mutex asleep;
      std::unique_lock lock(asleep);
      std::condition_variable_any().wait(lock, stop, [] { return false; });
    }};
  };
  const auto map = std::make_shared<LockedMap>();
  const SmallValues& data = fixture->data;
  map->values.reserve(data.keys.size());
  for (std::size_t i = 0; i < data.keys.size(); ++i) {
    data.values[i].copy(map->values[data.keys[i]].data(), small_value_bytes);
  }
  benchmark.contestants.push_back(
      reading(fixture, "unordered_map under a mutex, same process", [map, &data](std::uint32_t i) {
        const std::lock_guard lock(map->mutex);
        return read_small_value(map->values.find(data.keys[i])->second.data());
      }));
}

void add_lmdb(Case& benchmark, const SharedFixture& fixture) {
  const auto& keys = fixture->data.keys;
  const auto lmdb = std::make_shared<LmdbStore>(keys, fixture->data.values);
  benchmark.contestants.push_back(reading(fixture, "LMDB mdb_get, one snapshot for all",
                                          [lmdb, &keys](std::uint32_t i) { return lmdb->get_small_value(keys[i]); }));
  benchmark.contestants.push_back(reading(fixture, "LMDB mdb_get, snapshot renewed", [lmdb, &keys](std::uint32_t i) {
    lmdb->renew();
    return lmdb->get_small_value(keys[i]);
  }));
}

void add_redis(Case& benchmark, const SharedFixture& fixture) {
  const SmallValues& data = fixture->data;
  const auto server = std::make_shared<RedisServer>();
  const auto client = std::make_shared<RedisClient>(*server);
  for (std::size_t i = 0; i < data.keys.size(); ++i) client->set(data.keys[i], data.values[i]);
  for (const Placement placement : all_placements) {
    benchmark.contestants.push_back(
        {{{"Redis GET, Unix socket, " + name_of(placement), "ns", "onced: peek"}},
         [fixture, server, client, placement]() -> std::vector<double> {
           place(0, placement, Party::client);
           place(server->id(), placement, Party::server);
           const auto order = fixture->next_order();
           return {median_ns_per_call({order.data(), fixture->redis_calls}, redis_block,
                                      [&](std::uint32_t i) { keep(client->get_small_value(fixture->data.keys[i])); })};
         }});
  }
}

void add_floors(Case& benchmark, const SharedFixture& fixture) {
  const auto lines = std::make_shared<DependentLines>(fixture->data);
  const auto& keys = fixture->data.keys;
  benchmark.contestants.push_back(reading(fixture, "floor: the same lines of memory, read in a chain",
                                          [lines, &keys](std::uint32_t i) { return lines->read(keys[i], i); }));
  const auto flat = std::make_shared<std::vector<std::array<char, small_value_bytes>>>(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) fixture->data.values[i].copy((*flat)[i].data(), small_value_bytes);
  benchmark.contestants.push_back(reading(fixture, "floor: 64 bytes of an array",
                                          [flat](std::uint32_t i) { return read_small_value((*flat)[i].data()); }));
  benchmark.contestants.push_back(calling(fixture, "floor: clock_gettime", [](std::uint32_t) { keep(now_ns()); }));
}

}  // namespace

Case make_hit_case(const Settings& settings) {
  Case benchmark;
  const auto fixture = std::make_shared<Fixture>(settings);
  benchmark.name = "hit";
  benchmark.title = "A hit on 64 bytes";
  benchmark.setting =
      std::to_string(fixture->data.keys.size()) +
      " keys in random order, key bytes already built unless the row says otherwise, on one core; the same keys for "
      "all. onced checks life and expiry at each hit. LMDB is filled in order and without sync; its first row reads "
      "one old snapshot throughout, which is the kindest to it and the one that is claimed against. The process has a "
      "second thread, which sleeps: without one glibc's mutex would not lock at all.";
  add_onced(benchmark, fixture);
  add_map(benchmark, fixture);
  add_lmdb(benchmark, fixture);
  add_redis(benchmark, fixture);
  add_floors(benchmark, fixture);
  benchmark.claims = {
      {"hit against unordered_map under a mutex", "onced: peek", "unordered_map under a mutex, same process",
       Bound::at_most, 0.7},
      {"hit against LMDB mdb_get", "onced: peek", "LMDB mdb_get, one snapshot for all", Bound::at_most, 0.5},
      {"times faster than Redis GET, same core", "Redis GET, Unix socket, same core", "onced: peek", Bound::at_least,
       50},
  };
  return benchmark;
}

}  // namespace onced::bench
