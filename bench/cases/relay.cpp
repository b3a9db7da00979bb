// From one process's publish() to another's value in its hands.
#include <memory>

#include "cases/cases.hpp"
#include "cases/latency.hpp"
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

  double exchange_us() {
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

  double exchange_us() {
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

}  // namespace

Case make_relay_case(const Settings& settings) {
  const int calls = settings.quick ? 200 : 2'000;
  Case benchmark;
  benchmark.name = "relay";
  benchmark.title = "Publish to waiter";
  benchmark.setting =
      "From the call of publish() in one process until another, which was waiting, has read the 64 bytes. Against "
      "128 bytes that a bare epoll server passes on. Publisher and waiter count as clients: in the cross-core rows "
      "they share a core and the server has the other. " +
      std::to_string(calls) + " values a round.";
  add_latency(benchmark,
              {"onced: publish to waiter", "bare two-hop epoll relay", "publish to waiter against a bare two-hop relay",
               1.6, calls},
              std::make_shared<Onced>(), std::make_shared<BareRelay>());
  return benchmark;
}

}  // namespace onced::bench
