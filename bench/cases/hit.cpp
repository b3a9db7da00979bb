// A hit on a small value against what else could hold it: a locked map in the process, LMDB, Redis.
#include <array>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <onced/client.hpp>
#include <span>
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
};
using SharedFixture = std::shared_ptr<Fixture>;

// Where a lookup finds its key's bytes. Who asks has just built them: `at_hand`, laid out in the order of asking, so
// that reading them costs a hit little. `cold`: scattered over memory like the values, two more misses for everybody.
enum class Keys : std::uint8_t { at_hand, cold };

// Whether a lookup may begin before the one before it is over: `overlapping`, back to back, where a processor with many
// loads in flight hides much of what is short enough; `one_by_one`, where each key is known only with the last value.
enum class Pace : std::uint8_t { overlapping, one_by_one };

// One round's way through the data: each key once, in a new random order.
class Path {
 public:
  Path(Fixture& fixture, Keys keys)
      : order_(random_order(fixture.data.keys.size(), ++fixture.orders_drawn)),
        keys_(&fixture.data.keys),
        where_(keys) {
    steps_.resize(order_.size());
    std::iota(steps_.begin(), steps_.end(), 0U);
    if (where_ == Keys::cold) return;
    for (const std::uint32_t i : order_) copies_.push_back(fixture.data.keys[i]);
  }

  // Median nanoseconds of a call with an index and its key; of the first `count` ones. `delay` gives a zero that is
  // added to the place of the next key: the processor cannot look it up before it has computed that.
  template <typename Call, typename Delay>
  double time(std::size_t count, std::size_t calls_in_block, Call&& call, Delay&& delay) const {
    const std::span<const std::uint32_t> steps(steps_.data(), count);
    if (where_ == Keys::cold) {
      return median_ns_per_call(steps, calls_in_block, [&](std::uint32_t at) {
        const std::uint32_t i = order_[at + delay()];
        call(i, (*keys_)[i]);
      });
    }
    return median_ns_per_call(steps, calls_in_block, [&](std::uint32_t at) {
      const std::size_t place = at + delay();
      call(order_[place], copies_[place]);
    });
  }
  template <typename Call>
  double time(std::size_t count, std::size_t calls_in_block, Call&& call) const {
    return time(count, calls_in_block, call, [] { return std::uint64_t{0}; });
  }
  std::size_t size() const { return order_.size(); }

 private:
  std::vector<std::uint32_t> order_;
  std::vector<std::uint32_t> steps_;
  std::vector<std::string> copies_;
  const std::vector<std::string>* keys_;
  Keys where_;
};

struct Manner {
  Keys keys = Keys::at_hand;
  Pace pace = Pace::overlapping;
};

// A round on the first core. `read` takes an index and its key and gives the value's fold.
template <typename Read>
Contestant reading(const SharedFixture& fixture, const Figure& figure, Read read, Manner manner = {}) {
  return {{figure}, [fixture, read, manner]() mutable -> std::vector<double> {
            place(0, Placement::same_core, Party::client);
            const Path path(*fixture, manner.keys);
            const volatile std::uint64_t opaque_zero = 0;
            const std::uint64_t mask = opaque_zero;  // not known to the compiler, nor a load in the loop
            std::uint64_t folded = 0;
            const auto consume = [&](std::uint32_t i, const std::string& key) { folded ^= read(i, key); };
            const double ns = manner.pace == Pace::overlapping
                                  ? path.time(path.size(), block, consume)
                                  : path.time(path.size(), block, consume, [&] { return folded & mask; });
            check_folded(fixture->data, folded);
            return {ns};
          }};
}

// As reading(), for calls that give no value.
template <typename Call>
Contestant calling(const SharedFixture& fixture, const std::string& name, Call call) {
  return {{{name, "ns", ""}}, [fixture, call]() mutable -> std::vector<double> {
            place(0, Placement::same_core, Party::client);
            const Path path(*fixture, Keys::at_hand);
            return {path.time(path.size(), block, [&](std::uint32_t i, const std::string&) { call(i); })};
          }};
}

const std::string ours = "onced: peek";
const std::string ours_in_turn = "onced: peek, one by one";
const std::string ours_cold = "onced: peek, key bytes cold";
const std::string map_name = "unordered_map under a mutex, same process";
const std::string map_in_turn = map_name + ", one by one";
const std::string map_cold = map_name + ", key bytes cold";
const std::string lmdb_name = "LMDB mdb_get, one snapshot for all";
const std::string lmdb_in_turn = lmdb_name + ", one by one";

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

  const auto peek = [daemon, client](std::uint32_t, const std::string& key) { return peek_small_value(*client, key); };
  benchmark.contestants.push_back(reading(fixture, {ours, "ns", ""}, peek));
  benchmark.contestants.push_back(reading(fixture, {ours_in_turn, "ns", ours}, peek, {.pace = Pace::one_by_one}));
  benchmark.contestants.push_back(reading(fixture, {ours_cold, "ns", ours}, peek, {.keys = Keys::cold}));
  benchmark.contestants.push_back(reading(fixture, {"onced: get_or_compute that hits", "ns", ours},
                                          [daemon, client](std::uint32_t, const std::string& key) {
                                            const auto value = client->get_or_compute(
                                                std::string_view(key), {}, [](Computation&) -> std::string {
                                                  throw std::runtime_error("onced lost a value");
                                                });
                                            return read_small_value(value->bytes().data());
                                          }));
  const auto builder = std::make_shared<KeyBuilder>("global_store", "v1");
  benchmark.contestants.push_back(reading(fixture, {"onced: key from typed arguments, then peek", "ns", ours},
                                          [daemon, client, builder](std::uint32_t i, const std::string&) {
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
  const auto find = [map](std::uint32_t, const std::string& key) {
    const std::lock_guard lock(map->mutex);
    return read_small_value(map->values.find(key)->second.data());
  };
  benchmark.contestants.push_back(reading(fixture, {map_name, "ns", ours}, find));
  benchmark.contestants.push_back(
      reading(fixture, {map_in_turn, "ns", ours_in_turn}, find, {.pace = Pace::one_by_one}));
  benchmark.contestants.push_back(reading(fixture, {map_cold, "ns", ours_cold}, find, {.keys = Keys::cold}));
}

void add_lmdb(Case& benchmark, const SharedFixture& fixture) {
  const auto lmdb = std::make_shared<LmdbStore>(fixture->data.keys, fixture->data.values);
  const auto get = [lmdb](std::uint32_t, const std::string& key) { return lmdb->get_small_value(key); };
  benchmark.contestants.push_back(reading(fixture, {lmdb_name, "ns", ours}, get));
  benchmark.contestants.push_back(
      reading(fixture, {lmdb_in_turn, "ns", ours_in_turn}, get, {.pace = Pace::one_by_one}));
  benchmark.contestants.push_back(
      reading(fixture, {"LMDB mdb_get, snapshot renewed", "ns", ours}, [lmdb](std::uint32_t, const std::string& key) {
        lmdb->renew();
        return lmdb->get_small_value(key);
      }));
}

void add_redis(Case& benchmark, const SharedFixture& fixture) {
  const SmallValues& data = fixture->data;
  const auto server = std::make_shared<RedisServer>();
  const auto client = std::make_shared<RedisClient>(*server);
  for (std::size_t i = 0; i < data.keys.size(); ++i) client->set(data.keys[i], data.values[i]);
  for (const Placement placement : all_placements) {
    benchmark.contestants.push_back(
        {{{"Redis GET, Unix socket, " + name_of(placement), "ns", ours}},
         [fixture, server, client, placement]() -> std::vector<double> {
           place(0, placement, Party::client);
           place(server->id(), placement, Party::server);
           const Path path(*fixture, Keys::at_hand);
           return {path.time(fixture->redis_calls, redis_block,
                             [&](std::uint32_t, const std::string& key) { keep(client->get_small_value(key)); })};
         }});
  }
}

void add_floors(Case& benchmark, const SharedFixture& fixture) {
  const auto lines = std::make_shared<DependentLines>(fixture->data);
  const auto read = [lines](std::uint32_t i, const std::string& key) { return lines->read(key, i); };
  benchmark.contestants.push_back(reading(fixture, {"floor: the same lines of memory", "ns", ours}, read));
  benchmark.contestants.push_back(reading(fixture, {"floor: the same lines of memory, one by one", "ns", ours_in_turn},
                                          read, {.pace = Pace::one_by_one}));
  const auto flat = std::make_shared<std::vector<std::array<char, small_value_bytes>>>(fixture->data.keys.size());
  for (std::size_t i = 0; i < flat->size(); ++i) fixture->data.values[i].copy((*flat)[i].data(), small_value_bytes);
  benchmark.contestants.push_back(
      reading(fixture, {"floor: 64 bytes of an array", "ns", ours},
              [flat](std::uint32_t i, const std::string&) { return read_small_value((*flat)[i].data()); }));
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
      " keys in random order, on one core; the same keys for all. Key bytes are built before, unless the row says "
      "otherwise, and laid out in the order of asking, as for one who has just built them; cold: scattered over memory "
      "like the values. Lookups are back to back, so that the processor may begin one before the last is over, unless "
      "the row "
      "says one by one: then each key is known only with the last value. onced checks life and expiry at each hit. "
      "LMDB is filled in order and without sync; its first "
      "row reads one old snapshot throughout, which is the kindest to it and the one that is claimed against. The "
      "process has a second thread, which sleeps: without one glibc's mutex would not lock at all.";
  add_onced(benchmark, fixture);
  add_map(benchmark, fixture);
  add_lmdb(benchmark, fixture);
  add_redis(benchmark, fixture);
  add_floors(benchmark, fixture);
  benchmark.claims = {
      {"hit against unordered_map under a mutex", ours, map_name, Bound::at_most, 0.7},
      {"hit against unordered_map under a mutex, one by one", ours_in_turn, map_in_turn, Bound::at_most, 0.7},
      {"hit against unordered_map under a mutex, key bytes cold", ours_cold, map_cold, Bound::at_most, 0.7},
      {"hit against LMDB mdb_get", ours, lmdb_name, Bound::at_most, 0.5},
      {"hit against LMDB mdb_get, one by one", ours_in_turn, lmdb_in_turn, Bound::at_most, 0.5},
      {"times faster than Redis GET, same core", "Redis GET, Unix socket, same core", ours, Bound::at_least, 50},
  };
  return benchmark;
}

}  // namespace onced::bench
