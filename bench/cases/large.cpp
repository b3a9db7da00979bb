// Large values: seeing one that is there, reading all of it, and publishing one.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>

#include "cases/cases.hpp"
#include "harness/onced_daemon.hpp"
#include "harness/placement.hpp"
#include "harness/timing.hpp"
#include "peers/redis.hpp"

namespace onced::bench {
namespace {

constexpr std::size_t mebibyte = 1024 * 1024;
constexpr std::size_t small_bytes = 4096;
constexpr std::size_t seen_bytes = 64 * mebibyte;
constexpr std::size_t published_bytes = 16 * mebibyte;
constexpr std::size_t views_in_block = 1000;
constexpr int first_views = 5;  // in a round

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  std::mt19937_64 random(count);
  for (std::size_t i = 0; i + 8 <= count; i += 8) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, sizeof word);
  }
  return bytes;
}

std::uint64_t read_all(const void* bytes, std::size_t count) {
  const auto* const words = static_cast<const std::uint64_t*>(bytes);
  std::uint64_t folded = 0;
  for (std::size_t i = 0; i < count / sizeof(std::uint64_t); ++i) folded ^= words[i];
  return folded;
}

double microseconds_since(std::int64_t begin_ns) {
  return static_cast<double>(now_ns() - begin_ns) / 1e3;
}

// A mapping that goes with its scope.
class Mapped {
 public:
  Mapped(int descriptor, std::size_t bytes, int protection, int flags)
      : address_(::mmap(nullptr, bytes, protection, flags, descriptor, 0)), bytes_(bytes) {
    if (address_ == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  }
  ~Mapped() { ::munmap(address_, bytes_); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  void* address() const { return address_; }

 private:
  void* address_;
  std::size_t bytes_;
};

struct Fixture {
  Fixture() {
    file = ::memfd_create("bench", MFD_CLOEXEC);
    if (file < 0 || ::write(file, seen.data(), seen.size()) != static_cast<ssize_t>(seen.size())) {
      throw std::system_error(errno, std::generic_category(), "memfd");
    }
    must(client->put(small_key, random_bytes(small_bytes)));
    must(client->put(large_key, seen));
    RedisClient(redis).set("large", seen);
  }
  ~Fixture() { ::close(file); }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  Value look(Client& by, const std::string& key, std::size_t bytes) const {
    auto value = by.peek(key);
    if (!value || value->bytes().size() != bytes) throw std::runtime_error("onced lost a value");
    return std::move(*value);
  }
  void place_all(Placement placement) const {
    place(0, placement, Party::client);
    place(daemon.id(), placement, Party::server);
    place(redis.id(), placement, Party::server);
  }

  const std::string seen = random_bytes(seen_bytes);
  const std::uint64_t seen_folded = read_all(seen.data(), seen.size());
  const std::string published = random_bytes(published_bytes);
  OncedDaemon daemon{{"--memory", "64MiB", "--blobs", "1GiB"}};
  std::unique_ptr<Client> client = std::make_unique<Client>(daemon.connect());
  RedisServer redis;
  int file = -1;
  const std::string small_key{must(KeyBuilder("global_store", "v1").add("small").build()).bytes()};
  const std::string large_key{must(KeyBuilder("global_store", "v1").add("large").build()).bytes()};
  const std::string put_key{must(KeyBuilder("global_store", "v1").add("put").build()).bytes()};
};
using SharedFixture = std::shared_ptr<Fixture>;

const std::string again_small = "onced: view of 4 KiB, again";
const std::string again_large = "onced: view of 64 MiB, again";
std::string first_large(Placement placement) { return "onced: view of 64 MiB, first in a process, " + name_of(placement); }
std::string redis_get(Placement placement) { return "Redis GET of 64 MiB, " + name_of(placement); }
const std::string scan_ours = "onced: first scan of 64 MiB";
const std::string scan_fresh = "first scan of a fresh private mapping of 64 MiB";
std::string put_ours(Placement placement) { return "onced: put of 16 MiB, " + name_of(placement); }
std::string redis_set(Placement placement) { return "Redis SET of 16 MiB, " + name_of(placement); }
const std::string copy_fresh = "memcpy of 16 MiB into fresh memory";

void add_views(Case& benchmark, const SharedFixture& fixture) {
  const auto again = [fixture](const std::string& key, std::size_t bytes) {
    fixture->place_all(Placement::cross_core);
    keep(fixture->look(*fixture->client, key, bytes).bytes()[0]);
    const std::vector<std::uint32_t> order(20 * views_in_block);
    return std::vector<double>{median_ns_per_call(
        order, views_in_block, [&](std::uint32_t) { keep(fixture->look(*fixture->client, key, bytes).bytes()[0]); })};
  };
  benchmark.contestants.push_back(
      {{{again_small, "ns", again_large}}, [fixture, again] { return again(fixture->small_key, small_bytes); }});
  benchmark.contestants.push_back(
      {{{again_large, "ns", ""}}, [fixture, again] { return again(fixture->large_key, seen_bytes); }});
  for (const Placement placement : {Placement::same_core, Placement::cross_core}) {
    benchmark.contestants.push_back(
        {{{first_large(placement), "us", ""}}, [fixture, placement] {
           fixture->place_all(placement);
           std::vector<double> times;
           for (int i = 0; i < first_views; ++i) {
             Client fresh = fixture->daemon.connect();  // a mapping of its own, as another process has
             keep(fixture->look(fresh, fixture->small_key, small_bytes).bytes()[0]);
             const std::int64_t begin = now_ns();
             const Value value = fixture->look(fresh, fixture->large_key, seen_bytes);
             keep(value.bytes()[0]);
             times.push_back(microseconds_since(begin));
           }
           return std::vector<double>{median(times)};
         }});
    benchmark.contestants.push_back({{{redis_get(placement), "us", first_large(placement)}}, [fixture, placement] {
                                       fixture->place_all(placement);
                                       RedisClient client(fixture->redis);
                                       const std::int64_t begin = now_ns();
                                       if (client.get_bytes("large") != seen_bytes) throw std::runtime_error("lost");
                                       return std::vector<double>{microseconds_since(begin)};
                                     }});
  }
}

void add_scans(Case& benchmark, const SharedFixture& fixture) {
  benchmark.contestants.push_back({{{scan_ours, "us", ""}}, [fixture] {
                                     fixture->place_all(Placement::cross_core);
                                     Client fresh = fixture->daemon.connect();
                                     const Value value = fixture->look(fresh, fixture->large_key, seen_bytes);
                                     const std::int64_t begin = now_ns();
                                     const std::uint64_t folded = read_all(value.bytes().data(), seen_bytes);
                                     const double time = microseconds_since(begin);
                                     if (folded != fixture->seen_folded) throw std::runtime_error("wrong bytes");
                                     return std::vector<double>{time};
                                   }});
  benchmark.contestants.push_back({{{scan_fresh, "us", scan_ours}}, [fixture] {
                                     fixture->place_all(Placement::cross_core);
                                     const Mapped mapped(fixture->file, seen_bytes, PROT_READ, MAP_PRIVATE);
                                     const std::int64_t begin = now_ns();
                                     keep(read_all(mapped.address(), seen_bytes));
                                     return std::vector<double>{microseconds_since(begin)};
                                   }});
}

void add_publishes(Case& benchmark, const SharedFixture& fixture) {
  for (const Placement placement : {Placement::same_core, Placement::cross_core}) {
    benchmark.contestants.push_back({{{put_ours(placement), "us", ""}}, [fixture, placement] {
                                       fixture->place_all(placement);
                                       std::string bytes = fixture->published;
                                       const std::int64_t begin = now_ns();
                                       must(fixture->client->put(fixture->put_key, std::move(bytes)));
                                       return std::vector<double>{microseconds_since(begin)};
                                     }});
    benchmark.contestants.push_back({{{redis_set(placement), "us", put_ours(placement)}}, [fixture, placement] {
                                       fixture->place_all(placement);
                                       RedisClient client(fixture->redis);
                                       const std::int64_t begin = now_ns();
                                       client.set("put", fixture->published);
                                       return std::vector<double>{microseconds_since(begin)};
                                     }});
  }
  benchmark.contestants.push_back({{{copy_fresh, "us", put_ours(Placement::cross_core)}}, [fixture] {
                                     fixture->place_all(Placement::cross_core);
                                     const std::int64_t begin = now_ns();
                                     const Mapped fresh(-1, published_bytes, PROT_READ | PROT_WRITE,
                                                        MAP_PRIVATE | MAP_ANONYMOUS);
                                     std::memcpy(fresh.address(), fixture->published.data(), published_bytes);
                                     keep(*static_cast<const char*>(fresh.address()));
                                     return std::vector<double>{microseconds_since(begin)};
                                   }});
}

}  // namespace

Case make_large_case(const Settings&) {
  Case benchmark;
  benchmark.name = "large";
  benchmark.title = "Large values";
  benchmark.setting =
      "A view is there when its first byte has been read. First in a process: by a client that is connected and has "
      "not seen the value; the descriptor is asked for and mapped. A GET is over when hiredis has the reply. The first "
      "scan reads every word through a mapping that nobody has touched; beside it one of a plain memfd of the same "
      "size. A put replaces the value of the round before; the copy of the bytes that is handed over is made before. "
      "Same core: client and server on one; cross-core: on two.";
  const auto fixture = std::make_shared<Fixture>();
  add_views(benchmark, fixture);
  add_scans(benchmark, fixture);
  add_publishes(benchmark, fixture);
  benchmark.claims = {{"second view of 64 MiB against one of 4 KiB", again_large, again_small, Bound::at_most, 2}};
  for (const Placement placement : {Placement::same_core, Placement::cross_core}) {
    const std::string where = ", " + name_of(placement);
    benchmark.claims.push_back(
        {"first view of 64 MiB in a process" + where, first_large(placement), "", Bound::at_most, 100, "us"});
    benchmark.claims.push_back({"64 MiB to the first byte: times faster than Redis GET" + where, redis_get(placement),
                                first_large(placement), Bound::at_least, 1000});
  }
  benchmark.claims.push_back(
      {"first scan of 64 MiB against one of a fresh private mapping", scan_ours, scan_fresh, Bound::at_most, 1.2});
  for (const Placement placement : {Placement::same_core, Placement::cross_core}) {
    benchmark.claims.push_back({"publishing 16 MiB: rate against Redis SET, " + name_of(placement),
                                redis_set(placement), put_ours(placement), Bound::at_least, 3});
  }
  benchmark.claims.push_back({"publishing 16 MiB: rate against memcpy into fresh memory", copy_fresh,
                              put_ours(Placement::cross_core), Bound::at_least, 0.7});
  return benchmark;
}

}  // namespace onced::bench
