// What a well-behaved client notices of a thousand hostile ones in another namespace, which share a core with the daemon.
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cases/cases.hpp"
#include "harness/onced_daemon.hpp"
#include "harness/placement.hpp"
#include "harness/statistics.hpp"
#include "harness/timing.hpp"
#include "process/hostile_clients.hpp"

namespace onced::bench {
namespace {

constexpr std::size_t hostile_clients = 1000;
constexpr int hits_per_sample = 100;
constexpr std::uint32_t keys = 1000;
constexpr uid_t hostile_uid = 54322;

class Neighbours {
 public:
  Neighbours() {
    // Other users must get to the socket, and the hostile ones be others where this may make them so.
    const std::filesystem::path socket = daemon_.socket_path();
    ::chmod(socket.parent_path().c_str(), 0755);
    if (onced::testing::can_be_other_users()) hostile_ = {hostile_uid, hostile_uid};
    place(0, Placement::cross_core, Party::client);
    place(daemon_.id(), Placement::cross_core, Party::server);
    client_.emplace(daemon_.connect());
    for (std::uint32_t i = 0; i < keys; ++i) must(client_->put(key(i), std::string(64, 'v')));
    descriptors_without_them_ = descriptors_of_daemon();
  }

  bool are_other_users() const { return hostile_.has_value(); }
  // For a lease, the last time that they were there.
  std::chrono::microseconds wait_beside_them() const { return wait_beside_them_; }

  // Nanoseconds of a hit, median and 99th percentile of samples; microseconds of a lease. Before each sample of hits the caller sleeps for `pause`.
  std::vector<double> measure(bool beside_hostile, int calls, std::chrono::microseconds pause = {}) {
    std::unique_ptr<onced::testing::HostileCrowd> crowd;
    if (beside_hostile) {
      crowd = std::make_unique<onced::testing::HostileCrowd>(onced::testing::HostileCrowd::Options{
          .socket = daemon_.socket_path(), .home = "theirs", .forbidden = "none", .clients = hostile_clients, .user = hostile_, .core = 1});
      while (!crowd->each_has_acted(20)) {
        if (!crowd->all_alive()) throw std::runtime_error("a hostile process has ended");
        ::usleep(1000);
      }
    }
    std::vector<double> hit_ns;
    std::vector<double> lease_us;
    for (int i = 0; i < calls; ++i) {
      if (pause.count() > 0) std::this_thread::sleep_for(pause);
      const std::int64_t begin = now_ns();
      for (int hit = 0; hit < hits_per_sample; ++hit) {
        next_ = next_ * 1'103'515'245 + 12'345;
        auto value = client_->peek(key(next_ % keys));
        if (!value) throw std::runtime_error("a value is lost");
        keep(value->bytes().data());
      }
      hit_ns.push_back(static_cast<double>(now_ns() - begin) / hits_per_sample);
      builder_.reset("lease", "v1");
      const std::string_view wanted = must(builder_.add(++leases_).build_view());
      const std::int64_t asked = now_ns();
      auto acquired = client_->acquire(wanted);
      lease_us.push_back(static_cast<double>(now_ns() - asked) / 1e3);
      std::get<Computation>(must(std::move(acquired))).abandon();
    }
    if (crowd) {
      crowd.reset();
      wait_until_they_are_gone();
      wait_beside_them_ = std::chrono::microseconds(static_cast<std::int64_t>(median(lease_us)));
    }
    return {median(hit_ns), quantile(hit_ns, 0.99), median(lease_us), quantile(lease_us, 0.99)};
  }

 private:
  std::size_t descriptors_of_daemon() const {
    const std::filesystem::directory_iterator open("/proc/" + std::to_string(daemon_.id()) + "/fd");
    return static_cast<std::size_t>(std::distance(begin(open), end(open)));
  }
  // What is quiet must not be measured while the daemon still clears up behind a thousand connections.
  void wait_until_they_are_gone() const {
    constexpr int tries_max = 30'000;
    for (int tries = 0; descriptors_of_daemon() > descriptors_without_them_; ++tries) {
      if (tries == tries_max) throw std::runtime_error("hostile clients have gone, and their descriptors have not");
      ::usleep(1000);
    }
  }
  std::string_view key(std::uint32_t number) {
    builder_.reset("kept", "v1");
    return must(builder_.add(number).build_view());
  }

  OncedDaemon daemon_{{"--memory", "64MiB", "--set", "socket_mode=0666", "--set", "namespaces.theirs.memory=4MiB", "--set", "namespaces.theirs.blobs=64MiB"}};
  std::optional<onced::testing::OtherUser> hostile_;
  std::optional<Client> client_;
  KeyBuilder builder_{"kept", "v1"};
  std::size_t descriptors_without_them_ = 0;
  std::uint32_t next_ = 1;
  std::uint64_t leases_ = 0;
  std::chrono::microseconds wait_beside_them_{50'000};
};

}  // namespace

Case make_hostile_case(const Settings& settings) {
  const int calls = settings.quick ? 20 : 200;
  const auto neighbours = std::make_shared<Neighbours>();
  Case benchmark;
  benchmark.name = "hostile";
  benchmark.title = "Beside a thousand hostile clients";
  benchmark.setting =
      "1,000 connections of " + std::string(neighbours->are_other_users() ? "another user" : "the same user (this was not run as root)") +
      " in another namespace flood, send single bytes, scribble over their pin pages, never read, reserve and leave, lease and hang, fork and die and knock "
      "at doors that are not theirs, from eight busy processes. They and the daemon share one core, the well-behaved client has the other. " +
      std::to_string(calls) + " leases and " + std::to_string(calls * hits_per_sample) + " hits a round; a hit's figures are of samples of " +
      std::to_string(hits_per_sample) + ". The daemon has a ninth of its core then: what a lease takes is mostly the wait for it. Who has waited so long finds its caches cold: so there "
      "is a third row, quiet, where the client sleeps as long before each sample as it has waited for a lease beside them.";
  const auto figures = [](const std::string& where, const std::string& ours) {
    std::vector<Figure> all;
    for (const auto& [what, unit] : {std::pair("hit p50", "ns"), std::pair("hit p99", "ns"), std::pair("lease p50", "us"), std::pair("lease p99", "us")})
      all.push_back({std::string("onced: ") + what + where, unit, ours.empty() ? "" : std::string("onced: ") + what + ours});
    return all;
  };
  const std::string beside = ", beside hostile clients";
  const std::string quiet = ", quiet";
  const std::string rested = ", quiet, sleeping as long";
  benchmark.contestants.push_back({figures(beside, ""), [=] { return neighbours->measure(true, calls); }});
  benchmark.contestants.push_back({figures(quiet, beside), [=] { return neighbours->measure(false, calls); }});
  benchmark.contestants.push_back({figures(rested, beside), [=] { return neighbours->measure(false, calls, neighbours->wait_beside_them()); }});
  benchmark.claims.push_back({"a hit beside 1,000 hostile clients against a quiet one", "onced: hit p50" + beside, "onced: hit p50" + quiet, Bound::at_most, 1.5});
  benchmark.claims.push_back({"the same against a quiet one after sleeping as long", "onced: hit p50" + beside, "onced: hit p50" + rested, Bound::at_most, 1.5});
  return benchmark;
}

}  // namespace onced::bench
