// What it takes to be told "nobody has it, compute it": one request and its answer.
#include <memory>

#include "cases/cases.hpp"
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

  // Microseconds from the call to the lease. Giving it back is not timed.
  double acquire_us() {
    builder_.reset("lease", "v1");
    const std::string_view key = must(builder_.add(++keys_used_).build_view());
    const std::int64_t begin = now_ns();
    auto acquired = client_.acquire(key);
    const std::int64_t end = now_ns();
    std::get<Computation>(*acquired).abandon();
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

  double ping_us() {
    const std::int64_t begin = now_ns();
    keep(client_.exchange({}).number);
    return static_cast<double>(now_ns() - begin) / 1e3;
  }

 private:
  BareServer server_;
  BareClient client_{server_};
};

// A round's figures: median and p99 of its calls.
template <typename Parties, typename Call>
Contestant latency(const std::shared_ptr<Parties>& parties, Placement placement, const std::string& name,
                   const std::string& ours, int calls, Call call) {
  return {{{name + " p50, " + name_of(placement), "us", ours.empty() ? "" : ours + " p50, " + name_of(placement)},
           {name + " p99, " + name_of(placement), "us", ours.empty() ? "" : ours + " p99, " + name_of(placement)}},
          [=]() -> std::vector<double> {
            parties->place_parties(placement);
            std::vector<double> taken;
            for (int i = 0; i < calls; ++i) taken.push_back(((*parties).*call)());
            return {median(taken), quantile(taken, 0.99)};
          }};
}

}  // namespace

Case make_lease_case(const Settings& settings) {
  const int calls = settings.quick ? 300 : 3'000;
  const std::string ours = "onced: lease grant";
  const std::string bare = "bare epoll ping-pong";
  Case benchmark;
  benchmark.name = "lease";
  benchmark.title = "Lease grant";
  benchmark.setting =
      "acquire() of a key that nobody has, until the lease is there; it is given back untimed. Against 128 bytes sent "
      "to a bare "
      "epoll server and back, both over a blocking Unix stream socket; " +
      std::to_string(calls) + " calls a round.";
  const auto onced = std::make_shared<Onced>();
  const auto ping_pong = std::make_shared<PingPong>();
  for (const Placement placement : all_placements) {
    benchmark.contestants.push_back(latency(onced, placement, ours, "", calls, &Onced::acquire_us));
    benchmark.contestants.push_back(latency(ping_pong, placement, bare, ours, calls, &PingPong::ping_us));
    const std::string where = " p50, " + name_of(placement);
    benchmark.claims.push_back({"lease grant against a bare epoll ping-pong, " + name_of(placement), ours + where,
                                bare + where, Bound::at_most, 1.5});
  }
  return benchmark;
}

}  // namespace onced::bench
