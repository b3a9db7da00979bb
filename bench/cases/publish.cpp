// What it costs to publish when something must be evicted for it, beside publishing into free memory.
#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cases/cases.hpp"
#include "harness/onced_daemon.hpp"
#include "harness/placement.hpp"
#include "harness/timing.hpp"

namespace onced::bench {
namespace {

constexpr std::size_t value_bytes = 1024;

class Publisher {
 public:
  explicit Publisher(const std::string& memory) : daemon_({"--memory", memory}) {}

  void publish(int count) {
    for (int i = 0; i < count; ++i) publish_us();
  }

  // p50, p99 and the longest of so many: whoever asks waits as long as the daemon's thread is busy with one of them.
  std::vector<double> measure(int count) {
    place(0, Placement::cross_core, Party::client);
    place(daemon_.id(), Placement::cross_core, Party::server);
    std::vector<double> taken_us;
    for (int i = 0; i < count; ++i) taken_us.push_back(publish_us());
    return {median(taken_us), quantile(taken_us, 0.99), *std::max_element(taken_us.begin(), taken_us.end())};
  }

 private:
  // Each under a key of its own.
  double publish_us() {
    const std::string key(must(KeyBuilder("publish").add(++keys_used_).build()).bytes());
    std::string value(value_bytes, 'x');
    const std::int64_t begin = now_ns();
    const std::uint64_t version = must(client_.put(key, std::move(value)));
    const std::int64_t end = now_ns();
    if (version == 0) throw std::runtime_error("onced did not store a value");
    return static_cast<double>(end - begin) / 1e3;
  }

  OncedDaemon daemon_;
  Client client_ = daemon_.connect();
  std::uint64_t keys_used_ = 0;
};

}  // namespace

Case make_publish_case(const Settings& settings) {
  const int calls = settings.quick ? 300 : 3'000;
  Case benchmark;
  benchmark.name = "publish";
  benchmark.title = "Publishing while something is evicted for it";
  benchmark.setting = "put() of 1 KiB under a new key, client and daemon on two cores: into 1 GiB that is almost empty, and into 8 MiB that are full; " +
                      std::to_string(calls) + " calls a round.";
  const auto into_free_memory = std::make_shared<Publisher>("1GiB");
  const auto while_evicting = std::make_shared<Publisher>("8MiB");
  while_evicting->publish(10'000);  // full
  benchmark.contestants = {
      {{{"publish while evicting: p50", "us", ""}, {"publish while evicting: p99", "us", ""}, {"publish while evicting: longest", "us", ""}},
       [=] { return while_evicting->measure(calls); }},
      {{{"publish into free memory: p50", "us", "publish while evicting: p50"},
        {"publish into free memory: p99", "us", "publish while evicting: p99"},
        {"publish into free memory: longest", "us", "publish while evicting: longest"}},
       [=] { return into_free_memory->measure(calls); }},
  };
  benchmark.claims = {{"publishing while evicting, against into free memory, p50", "publish while evicting: p50", "publish into free memory: p50",
                       Bound::at_most, 1.5}};
  return benchmark;
}

}  // namespace onced::bench
