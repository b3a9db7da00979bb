// What the disk tier means to whoever asks: a working set that memory does not hold, a value that comes from disk, a disk that hangs.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include "cases/cases.hpp"
#include "cases/small_values.hpp"
#include "disk/gated_files.hpp"
#include "harness/onced_daemon.hpp"
#include "harness/placement.hpp"
#include "harness/timing.hpp"
#include "net/host.hpp"

namespace onced::bench {
namespace {

constexpr std::size_t value_bytes = 10'000;
constexpr double zipf_exponent = 1.0;

std::string value_of(std::uint64_t number) {
  std::mt19937_64 random(number);
  std::string bytes(value_bytes, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// Ranks by Zipf's law, by the inverse of the sums.
class Zipf {
 public:
  explicit Zipf(std::size_t count) {
    double sum = 0;
    for (std::size_t i = 1; i <= count; ++i) sums_.push_back(sum += 1 / std::pow(static_cast<double>(i), zipf_exponent));
  }
  std::size_t draw(std::mt19937_64& random) {
    const double wanted = std::uniform_real_distribution<double>(0, sums_.back())(random);
    return static_cast<std::size_t>(std::lower_bound(sums_.begin(), sums_.end(), wanted) - sums_.begin());
  }

 private:
  std::vector<double> sums_;
};

// A daemon that was given all values, in an order that has nothing to do with how often they are asked for.
class WorkingSet {
 public:
  WorkingSet(std::size_t count, std::vector<std::string> flags, std::uint64_t seed) : daemon_(flags), zipf_(count), random_(seed) {
    for (const std::uint32_t number : random_order(count, seed)) keys_.emplace_back(must(KeyBuilder("tier").add(number).build()).bytes());
    for (std::size_t i = 0; i < count; ++i) must(client_.put(keys_[i], value_of(i)));
    measure(static_cast<int>(count) * 2);
  }

  // p50 of hits, p99 of all gets, and the share of them in % that the segment answered. Before so many in a hundred calls the daemon is asked
  // for something that it does not have, which is not timed.
  std::vector<double> measure(int calls, double asked_before_percent = 0) {
    place(0, Placement::cross_core, Party::client);
    place(daemon_.id(), Placement::cross_core, Party::server);
    std::vector<double> taken_ns;
    std::vector<double> hits_ns;
    for (int i = 0; i < calls; ++i) {
      if (std::uniform_real_distribution<double>(0, 100)(random_) < asked_before_percent) keep(must(client_.get(absent_)).has_value());
      const std::string& key = keys_[zipf_.draw(random_)];
      const std::int64_t begin = now_ns();
      auto hit = client_.peek(key);
      const bool in_memory = hit.has_value();
      std::optional<Value> value = in_memory ? std::move(hit) : must(client_.get(key));
      if (!value) throw std::runtime_error("a value is neither in memory nor on disk");
      keep(value->bytes()[value_bytes / 2]);
      taken_ns.push_back(static_cast<double>(now_ns() - begin));
      if (in_memory) hits_ns.push_back(taken_ns.back());
    }
    last_share_ = 100.0 * static_cast<double>(hits_ns.size()) / calls;
    return {median(hits_ns), quantile(taken_ns, 0.99), last_share_};
  }

  double last_share() const { return last_share_; }

 private:
  OncedDaemon daemon_;
  Client client_ = daemon_.connect();
  Zipf zipf_;
  std::mt19937_64 random_;
  std::vector<std::string> keys_;
  const std::string absent_{must(KeyBuilder("absent").build()).bytes()};
  double last_share_ = 0;
};

// ---- a disk that hangs ----------------------------------------------------------------------------------------------

// A second for every operation while it is on.
struct Hanging {
  std::atomic<bool> on{false};
  Result<void> writing() {
    if (on) std::this_thread::sleep_for(std::chrono::seconds(1));
    return {};
  }
  Result<void> reading() { return writing(); }
  Result<void> syncing() { return writing(); }
};

// The daemon's own host in a process of its own, on such a disk.
class OnSlowDisk {
 public:
  OnSlowDisk() {
    for (int tries = 0;; ++tries) {
      ClientOptions options;
      options.socket = socket_path();
      options.strict = true;
      client_.emplace(options);
      if (client_->put(must(KeyBuilder("slow").add(0).build()).bytes(), "x").ok()) break;
      if (tries > 500) throw std::runtime_error("the host on a slow disk does not get ready");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  // p50 and p99 of hits in blocks and of leases, while values are written.
  std::vector<double> measure(bool hangs, int calls) {
    hanging_->on = hangs;
    place(0, Placement::cross_core, Party::client);
    place(process_.id(), Placement::cross_core, Party::server);
    constexpr int hits = 64;
    const std::string kept(must(KeyBuilder("slow").add(0).build()).bytes());
    std::vector<double> hit_ns;
    std::vector<double> lease_us;
    for (int i = 0; i < calls; ++i) {
      must(client_->put(must(KeyBuilder("slow").add(++last_).build()).bytes(), "y"));
      const std::int64_t begin = now_ns();
      for (int j = 0; j < hits; ++j) keep(client_->peek(kept)->bytes()[0]);
      hit_ns.push_back(static_cast<double>(now_ns() - begin) / hits);
      const std::string wanted(must(KeyBuilder("lease").add(++last_).build()).bytes());
      const std::int64_t asked = now_ns();
      auto acquired = client_->acquire(wanted);
      lease_us.push_back(static_cast<double>(now_ns() - asked) / 1e3);
      std::get<Computation>(must(std::move(acquired))).abandon();
    }
    hanging_->on = false;
    return {median(hit_ns), quantile(hit_ns, 0.99), median(lease_us), quantile(lease_us, 0.99)};
  }

 private:
  std::string socket_path() const { return (directory_.path() / "host.sock").string(); }
  int serve() const {
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket_path().copy(address.sun_path, sizeof(address.sun_path) - 1);
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 || ::listen(listener, 64) != 0) return 1;
    boost::asio::io_context context(1);
    net::HostSettings settings;
    settings.engine.epoch = 1;
    settings.namespaces["default"] = {.memory_bytes = 64 << 20, .blob_bytes_max = 64 << 20,
                                      .disk_directory = (directory_.path() / "store").string(), .disk_bytes_max = 256 << 20};
    settings.disk.files = [this](const std::string& path) { return onced::testing::open_gated_files(path, *hanging_); };
    net::Host host(context, settings, [](net::LogLevel, std::string_view) {});
    if (!host.open_namespaces() || !host.serve(listener)) return 1;
    context.run();
    return 0;
  }

  TemporaryDirectory directory_;
  SharedMemory<Hanging> hanging_;
  ChildProcess process_ = ChildProcess::run([this] { return serve(); });
  std::optional<Client> client_;
  std::uint64_t last_ = 0;
};

}  // namespace

Case make_tier_case(const Settings& settings) {
  const std::size_t count = settings.quick ? 1'600 : 6'400;
  const int gets = settings.quick ? 2'000 : 20'000;
  const int leases = settings.quick ? 100 : 1'000;
  const auto directory = std::make_shared<TemporaryDirectory>();
  const std::string quarter = std::to_string(count * value_bytes / 4 / 1024) + "KiB";
  const auto on_disk = std::make_shared<WorkingSet>(count, std::vector<std::string>{"--memory", quarter, "--disk", (directory->path() / "store").string()}, settings.seed);
  const auto in_memory = std::make_shared<WorkingSet>(count, std::vector<std::string>{"--memory", "256MiB"}, settings.seed);
  const auto slow = std::make_shared<OnSlowDisk>();
  Case benchmark;
  benchmark.name = "tier";
  benchmark.title = "Values on disk";
  benchmark.setting = std::to_string(count) + " values of 10 KB, asked for by Zipf's law with the exponent 1, by peek() and, where that finds nothing, get(): a daemon with memory for a "
                      "quarter of them and the rest on disk, and one with memory for all; the same once more, while its client asks the daemon, between the calls that are timed, for "
                      "something that it does not have, as often as the first one's has to: every wait leaves the caller's caches to others. Hits are those that memory answers, p99 is that "
                      "of all. And a daemon whose disk takes a second for every operation, while a value is put before each lease and each 64 hits: beside the same when it does not. Client "
                      "and daemon on two cores; " + std::to_string(gets) + " gets, " + std::to_string(leases) + " leases a round.";
  benchmark.contestants = {
      {{{"a quarter in memory: hit p50", "ns", ""}, {"a quarter in memory: p99", "ns", ""}, {"a quarter in memory: answered by it", "%", ""}},
       [=] { static_cast<void>(directory); return on_disk->measure(gets); }},
      {{{"all in memory: hit p50", "ns", "a quarter in memory: hit p50"}, {"all in memory: p99", "ns", "a quarter in memory: p99"}, {"all in memory: answered by it", "%", ""}},
       [=] { return in_memory->measure(gets); }},
      {{{"all in memory, waiting as often: hit p50", "ns", "a quarter in memory: hit p50"}, {"all in memory, waiting as often: p99", "ns", "a quarter in memory: p99"},
        {"all in memory, waiting as often: answered by it", "%", ""}},
       [=] { return in_memory->measure(gets, 100 - on_disk->last_share()); }},
      {{{"hanging disk: hit p50", "ns", ""}, {"hanging disk: hit p99", "ns", ""}, {"hanging disk: lease p50", "us", ""}, {"hanging disk: lease p99", "us", ""}},
       [=] { return slow->measure(true, leases); }},
      {{{"disk at work: hit p50", "ns", "hanging disk: hit p50"}, {"disk at work: hit p99", "ns", "hanging disk: hit p99"},
        {"disk at work: lease p50", "us", "hanging disk: lease p50"}, {"disk at work: lease p99", "us", "hanging disk: lease p99"}},
       [=] { return slow->measure(false, leases); }},
  };
  benchmark.claims = {
      {"hit p50 of a working set of four times the memory against all in memory", "a quarter in memory: hit p50", "all in memory: hit p50", Bound::at_most, 1.1},
      {"the same against all in memory, waiting as often", "a quarter in memory: hit p50", "all in memory, waiting as often: hit p50", Bound::at_most, 1.1},
      {"a hit while the disk hangs", "hanging disk: hit p50", "disk at work: hit p50", Bound::at_most, 2.0},
      {"a lease while the disk hangs", "hanging disk: lease p50", "disk at work: lease p50", Bound::at_most, 2.0},
  };
  return benchmark;
}

}  // namespace onced::bench
