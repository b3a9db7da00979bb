// What it takes to be told "nobody has it, compute it": one request and its answer.
#include <memory>

#include "cases/cases.hpp"
#include "cases/latency.hpp"
#include "harness/onced_daemon.hpp"
#include "harness/placement.hpp"
#include "harness/timing.hpp"
#include "peers/bare_server.hpp"

namespace onced::bench {
namespace {

class Onced {
 public:
  void place_parties(Placement placement) {
    place(0, placement, Party::client);
    place(daemon_.id(), placement, Party::server);
  }

  // Microseconds from the call to the lease. Giving it back is not timed; nor is the question after it, which is
  // answered when the daemon is done with that.
  double exchange_us() {
    builder_.reset("lease", "v1");
    const std::string_view key = must(builder_.add(++keys_used_).build_view());
    const std::int64_t begin = now_ns();
    auto acquired = client_.acquire(key);
    const std::int64_t end = now_ns();
    std::get<Computation>(must(std::move(acquired))).abandon();
    keep(must(client_.get(key)).has_value());
    return static_cast<double>(end - begin) / 1e3;
  }

 private:
  OncedDaemon daemon_{{"--memory", "64MiB"}};
  Client client_ = daemon_.connect();
  KeyBuilder builder_{"lease", "v1"};
  std::uint64_t keys_used_ = 0;
};

class PingPong {
 public:
  void place_parties(Placement placement) {
    place(0, placement, Party::client);
    place(server_.id(), placement, Party::server);
  }

  double exchange_us() {
    const std::int64_t begin = now_ns();
    keep(client_.exchange({}).number);
    return static_cast<double>(now_ns() - begin) / 1e3;
  }

 private:
  BareServer server_;
  BareClient client_{server_};
};

}  // namespace

Case make_lease_case(const Settings& settings) {
  const int calls = settings.quick ? 300 : 3'000;
  Case benchmark;
  benchmark.name = "lease";
  benchmark.title = "Lease grant";
  benchmark.setting =
      "acquire() of a key that nobody has, until the lease is there; it is given back untimed. Against 128 bytes "
      "sent to a bare epoll server and back, both over a blocking Unix stream socket; " +
      std::to_string(calls) + " calls a round.";
  add_latency(benchmark,
              {"onced: lease grant", "bare epoll ping-pong", "lease grant against a bare epoll ping-pong", 1.5, calls},
              std::make_shared<Onced>(), std::make_shared<PingPong>());
  return benchmark;
}

}  // namespace onced::bench
