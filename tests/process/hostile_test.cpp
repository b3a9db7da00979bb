// A thousand clients of another user do what harm they can. They are allowed in a namespace of their own only, and nobody in any
// other one notices more of them than that the daemon has less time.
#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include <onced/client.hpp>

#include "process/hostile_clients.hpp"
#include "process/proc_files.hpp"
#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using onced::testing::DaemonProcess;
using onced::testing::HostileCrowd;
using onced::testing::memory_in_use;
using onced::testing::RawClient;
using onced::testing::wait_until;

namespace {

constexpr uid_t hostile_uid = 54322;
constexpr std::size_t hostile_clients = 1000;

std::map<std::string, std::uint64_t> numbers_in(const std::string& socket, const std::string& name) {
  RawClient client(socket);
  client.hello(false, name);
  client.request(2, protocol::GetStats{});
  std::map<std::string, std::uint64_t> numbers;
  for (const auto& [field, number] : client.receive_only<protocol::Statistics>().fields)
    if (const auto* whole = std::get_if<std::uint64_t>(&number)) numbers[field] = *whole;
  return numbers;
}

Key key_of(std::int64_t number) { return KeyBuilder("work").add(number).build().value(); }  // as the hostile ones', elsewhere
std::string value_of(std::int64_t number) { return "value " + std::to_string(number) + std::string(200, 'v'); }

}  // namespace

TEST_CASE("a thousand hostile clients of another namespace: no request of a well-behaved client is refused or lost") {
  rlimit files{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &files) == 0);
  if (files.rlim_max < 8192) {
    MESSAGE("skipped: this needs 8192 open files, the limit is " << files.rlim_max);
    return;
  }
  std::optional<onced::testing::OtherUser> hostile;
  std::vector<std::string> flags{"--set", "socket_mode=0666",         "--set", "namespaces.mine.memory=32MiB", "--set", "namespaces.mine.blobs=64MiB",
                                 "--set", "namespaces.theirs.memory=4MiB", "--set", "namespaces.theirs.blobs=64MiB"};
  if (onced::testing::can_be_other_users()) {
    hostile = {hostile_uid, hostile_uid};
    flags.insert(flags.end(), {"--set", "namespaces.mine.allow_uids=", "--set", "namespaces.theirs.allow_uids=" + std::to_string(hostile_uid)});
  } else {
    MESSAGE("not root: the hostile clients are of the same user, who may use every namespace");
  }
  DaemonProcess daemon(DaemonProcess::options(flags));
  REQUIRE(::chmod(daemon.directory().c_str(), 0755) == 0);
  const auto crowd = std::make_unique<HostileCrowd>(HostileCrowd::Options{
      .socket = daemon.socket(), .home = "theirs", .forbidden = hostile ? "mine" : "none", .clients = hostile_clients, .user = hostile});

  ClientOptions options = onced::testing::options_for(daemon.socket());
  options.namespace_name = "mine";
  options.strict = true;  // a daemon that seems to be away is an error, not a computation of one's own
  options.request_timeout = Milliseconds(30'000);
  options.connect_timeout = Milliseconds(30'000);
  Client client(options);
  Client other(options);
  auto subscription = client.subscribe_function("work");
  REQUIRE(subscription.ok());

  // No signal may be lost, and none be of the others' keys of the same names.
  std::int64_t done = 0;
  std::uint64_t wrong = 0;
  const auto hear = [&](const Event& event) {
    if (event.kind == Event::Kind::resync) ++wrong;
    if (event.kind != Event::Kind::signal) return;
    if (event.signal.event == protocol::SignalEvent::done) wrong += event.signal.key != key_of(++done).bytes();
    else wrong += event.signal.event != protocol::SignalEvent::started;
  };

  // Two clients want the same keys at the same time: each is computed once, both have it, and it stays.
  std::int64_t rounds = 0;
  std::atomic<std::uint64_t> computed{0};
  std::atomic<std::uint64_t> errors{0};
  const auto one_round = [&](Client& by, std::int64_t number) {
    const auto value = by.get_or_compute(key_of(number), {}, [&](Computation&) {
      ++computed;
      return value_of(number);
    });
    if (value.ok() && value->text() == value_of(number)) return;
    ++errors;
    std::fprintf(stderr, "round %lld: %s\n", static_cast<long long>(number), value.ok() ? "a wrong value" : value.error().text.c_str());
  };
  const std::string large(256 * 1024, 'L');
  std::uint64_t stored = 0;
  std::uint64_t lost_hits = 0;
  std::int64_t looked = 0;
  wait_until(
      [&] {
        const std::int64_t number = ++rounds;
        std::thread beside([&] { one_round(other, number); });
        one_round(client, number);
        beside.join();
        const auto heard = subscription->poll(hear);
        if (!heard.ok()) ++errors;
        for (std::int64_t back = number; back > 0 && back > number - 50; --back, ++looked)
          if (!client.peek(key_of(back))) ++lost_hits;
        if (number % 20 == 0) {
          const auto put = client.put(KeyBuilder("large").add(number % 60).build().value().bytes(), large);
          CHECK((put.ok() && *put > 0));
          const auto read = other.get(KeyBuilder("large").add(number % 60).build().value().bytes());
          CHECK((read.ok() && read->has_value() && (*read)->text() == large));
          ++stored;
        }
        return rounds >= 200 && crowd->each_has_acted(200);
      },
      "every kind of harm to be done often");
  MESSAGE("rounds: " << rounds << ", large values: " << stored << ", hits: " << looked << ", connections of the hostile ones: " << crowd->counts().connected.load());
  for (std::size_t kind = 0; kind < onced::testing::hostilities; ++kind)
    MESSAGE(onced::testing::hostility_names[kind] << ": " << crowd->counts().actions[kind].load());
  CHECK(errors == 0);
  CHECK(lost_hits == 0);
  CHECK(computed == static_cast<std::uint64_t>(rounds));
  for (const Client* one : {&client, &other}) {
    CHECK(one->counters().computed_locally == 0);
    CHECK(one->counters().reconnects == 0);
  }

  while (done < rounds) {
    const auto event = subscription->next(Milliseconds(30'000));
    REQUIRE(event.ok());
    REQUIRE(event->has_value());
    hear(**event);
  }
  CHECK(wrong == 0);

  CHECK(daemon.running());
  CHECK(crowd->all_alive());
  CHECK(crowd->counts().let_in_elsewhere == 0);
  const auto mine = numbers_in(daemon.socket(), "mine");
  for (const char* name : {"limits_reached", "protocol_errors", "wait_timeouts", "holder_deaths", "evictions", "stored_inline", "invalidations",
                           "cancellations", "regrants_limit_passed", "regrants_holder_died"}) {
    CAPTURE(name);
    CHECK(mine.at(name) == 0);
  }
  CHECK(mine.at("computations") == static_cast<std::uint64_t>(rounds));
  // Their work in a turn is bounded by count, and has been up against it.
  const auto theirs = numbers_in(daemon.socket(), "theirs");
  MESSAGE("most requests of a connection in a turn: " << theirs.at("turn_requests_most") << ", turns used up: " << theirs.at("turns_used_up"));
  CHECK(theirs.at("turn_requests_most") <= theirs.at("turn_requests_max"));
  CHECK(theirs.at("turn_receives_most") <= theirs.at("turn_receives_max"));
  CHECK(theirs.at("turns_used_up") > 0);
  CHECK(theirs.at("connections") > hostile_clients / 4);
  const std::size_t memory = memory_in_use(daemon.pid());
  MESSAGE("the daemon's own memory: " << memory / (1 << 20) << " MiB");
  // Each of them is owed send_queue_bytes_max at most before it is not read from, and one answer or a few more.
  CHECK(memory < hostile_clients * (limits::send_queue_bytes_max + limits::frame_payload_bytes_max));
}

TEST_CASE("when hostile clients are gone nothing is left of them") {
  DaemonProcess daemon(DaemonProcess::options({"--set", "namespaces.theirs.memory=4MiB", "--set", "namespaces.theirs.blobs=64MiB"}));
  const auto descriptors = [&] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(daemon.pid()) + "/fd")) ++count;
    return count;
  };
  const std::size_t before = descriptors();
  {
    HostileCrowd crowd({.socket = daemon.socket(), .home = "theirs", .forbidden = "none", .clients = 160, .processes = 2});
    wait_until([&] { return crowd.each_has_acted(50); }, "some harm to be done");
  }
  wait_until([&] { return numbers_in(daemon.socket(), "theirs").at("connections") == 1; }, "their connections to go");
  wait_until([&] { return descriptors() <= before; }, "their descriptors to be closed");
  const auto theirs = numbers_in(daemon.socket(), "theirs");
  for (const char* name : {"computing", "waiting", "subscriptions", "blobs_reserved", "reserved_bytes_per_uid_most", "under_way_bytes_most", "detached_leases"}) {
    CAPTURE(name);
    CHECK(theirs.at(name) == 0);
  }
}
