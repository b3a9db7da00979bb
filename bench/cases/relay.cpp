// From one process's publish() to another's value in its hands.
#include <memory>

#include "cases/cases.hpp"
#include "harness/onced_daemon.hpp"
#include "harness/placement.hpp"
#include "harness/process.hpp"
#include "harness/timing.hpp"
#include "peers/bare_server.hpp"

namespace onced::bench {
namespace {

// Both sides of this benchmark work alike: a worker says that it waits, the main process asks the server until the
// worker has arrived there, takes the time, and publishes; the worker takes the time when it has read the bytes.

KeyBuilder& add_key(KeyBuilder& builder, std::uint64_t number) {
  builder.reset("relay", "v1");
  return builder.add(number);
}

class Onced {
 public:
  void place_parties(Placement placement) {
    place(0, placement, Party::client);
    place(waiter_.id(), placement, Party::client);
    place(daemon_.id(), placement, Party::server);
  }

  double publish_us() {
    const std::string_view key = must(add_key(builder_, ++keys_used_).build_view());
    auto acquired = must(client_.acquire(key));
    waiter_.start(keys_used_);
    while (must(client_.explain(key)).row.waiting == 0) continue;
    const std::int64_t begin = now_ns();
    keep(must(std::get<Computation>(acquired).publish(std::string(small_value_bytes, 'v'))).version());
    return (waiter_.finish()[0] - static_cast<double>(begin)) / 1e3;
  }

 private:
  Worker::Handler wait() {
    auto client = std::make_shared<Client>(daemon_.connect());
    auto builder = std::make_shared<KeyBuilder>("relay", "v1");
    return [client, builder](std::uint64_t number) -> Worker::Figures {
      const auto value = must(client->wait(must(add_key(*builder, number).build_view())));
      keep(read_small_value(value.bytes().data()));
      return {static_cast<double>(now_ns())};
    };
  }

  OncedDaemon daemon_{{"--memory", "64MiB"}};
  Worker waiter_{[this] { return wait(); }};
  Client client_ = daemon_.connect();
  KeyBuilder builder_{"relay", "v1"};
  std::uint64_t keys_used_ = 0;
};

class BareRelay {
 public:
  void place_parties(Placement placement) {
    place(0, placement, Party::client);
    place(waiter_.id(), placement, Party::client);
    place(server_.id(), placement, Party::server);
  }

  double publish_us() {
    waiter_.start(0);
    while (client_.exchange({.kind = BareMessage::Kind::count}).number == 0) continue;
    const std::int64_t begin = now_ns();
    client_.send({.kind = BareMessage::Kind::publish});
    return (waiter_.finish()[0] - static_cast<double>(begin)) / 1e3;
  }

 private:
  Worker::Handler wait() {
    auto client = std::make_shared<BareClient>(server_);
    return [client](std::uint64_t) -> Worker::Figures {
      keep(read_small_value(client->exchange({.kind = BareMessage::Kind::wait}).bytes));
      return {static_cast<double>(now_ns())};
    };
  }

  BareServer server_;
  Worker waiter_{[this] { return wait(); }};
  BareClient client_{server_};
};

template <typename Parties>
Contestant delivery(const std::shared_ptr<Parties>& parties, Placement placement, const std::string& name,
                    const std::string& ours, int calls) {
  const std::string where = ", " + name_of(placement);
  return {{{name + " p50" + where, "us", ours.empty() ? "" : ours + " p50" + where},
           {name + " p99" + where, "us", ours.empty() ? "" : ours + " p99" + where}},
          [=]() -> std::vector<double> {
            parties->place_parties(placement);
            std::vector<double> taken;
            for (int i = 0; i < calls; ++i) taken.push_back(parties->publish_us());
            return {median(taken), quantile(taken, 0.99)};
          }};
}

}  // namespace

Case make_relay_case(const Settings& settings) {
  const int calls = settings.quick ? 200 : 2'000;
  const std::string ours = "onced: publish to waiter";
  const std::string bare = "bare two-hop epoll relay";
  Case benchmark;
  benchmark.name = "relay";
  benchmark.title = "Publish to waiter";
  benchmark.setting =
      "From the call of publish() in one process until another, which was waiting, has read the 64 bytes. Against 128 "
      "bytes that a "
      "bare epoll server passes on. Publisher and waiter count as clients: in the cross-core rows they share a core "
      "and the server "
      "has the other. " +
      std::to_string(calls) + " values a round.";
  const auto onced = std::make_shared<Onced>();
  const auto relay = std::make_shared<BareRelay>();
  for (const Placement placement : all_placements) {
    benchmark.contestants.push_back(delivery(onced, placement, ours, "", calls));
    benchmark.contestants.push_back(delivery(relay, placement, bare, ours, calls));
    const std::string where = " p50, " + name_of(placement);
    benchmark.claims.push_back({"publish to waiter against a bare two-hop relay, " + name_of(placement), ours + where,
                                bare + where, Bound::at_most, 1.6});
  }
  return benchmark;
}

}  // namespace onced::bench
