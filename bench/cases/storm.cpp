// Hits while somebody publishes all the time, over the very values that are read.
#include <time.h>

#include <memory>

#include "cases/cases.hpp"
#include "cases/small_values.hpp"
#include "harness/onced_daemon.hpp"
#include "harness/placement.hpp"
#include "harness/process.hpp"
#include "harness/timing.hpp"

namespace onced::bench {
namespace {

constexpr std::size_t value_count = 100'000;
constexpr std::size_t block = 25;  // small enough for a p99 of hits, large enough to hide the clock
constexpr std::uint64_t publishes_per_second = 10'000;
constexpr std::int64_t burst_period_ns = 1'000'000;

void sleep_until(std::int64_t moment_ns) {
  const timespec moment{.tv_sec = moment_ns / 1'000'000'000, .tv_nsec = moment_ns % 1'000'000'000};
  ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, nullptr);
}

class Storm {
 public:
  explicit Storm(const Settings& settings)
      : data_(make_small_values(settings.quick ? 20'000 : value_count)),
        storm_ms_(settings.quick ? 200 : 500),
        daemon_({"--memory", "256MiB"}),
        publisher_([this] { return publish(); }),
        client_(daemon_.connect()) {
    place(daemon_.id(), Placement::same_core, Party::server);
    place(publisher_.id(), Placement::same_core, Party::client);
    store(client_, data_);
  }

  std::vector<double> quiet() { return read_until(now_ns() + storm_ms_ * 1'000'000); }

  std::vector<double> stormy() {
    publisher_.start(static_cast<std::uint64_t>(storm_ms_));
    std::vector<double> figures = read_until(now_ns() + storm_ms_ * 1'000'000);
    figures.push_back(publisher_.finish()[0]);
    return figures;
  }

 private:
  // In the publisher's process: replaces values, ten each millisecond, for as many milliseconds as are asked for; says
  // how many a second it was.
  Worker::Handler publish() {
    auto client = std::make_shared<Client>(daemon_.connect());
    auto order = std::make_shared<std::vector<std::uint32_t>>(random_order(data_.keys.size(), 7));
    auto next = std::make_shared<std::size_t>(0);
    return [this, client, order, next](std::uint64_t milliseconds) -> Worker::Figures {
      const std::int64_t begin = now_ns();
      std::uint64_t published = 0;
      for (std::uint64_t burst = 1; burst <= milliseconds; ++burst) {
        for (std::uint64_t i = 0; i < publishes_per_second / 1'000; ++i, ++published) {
          const std::uint32_t number = (*order)[(*next)++ % order->size()];
          must(client->put(data_.keys[number], data_.values[number]));
        }
        sleep_until(begin + static_cast<std::int64_t>(burst) * burst_period_ns);
      }
      return {static_cast<double>(published) * 1e9 / static_cast<double>(now_ns() - begin)};
    };
  }

  // p50 and p99 of blocks, on the second core.
  std::vector<double> read_until(std::int64_t deadline_ns) {
    pin_to_core(0, 1);
    const auto order = random_order(data_.keys.size(), ++orders_drawn_);
    std::vector<double> blocks;
    for (std::size_t begin = 0; now_ns() < deadline_ns; begin = (begin + 1'000) % order.size()) {
      const auto some = time_blocks({order.data() + begin, 1'000}, block,
                                    [&](std::uint32_t i) { keep(peek_small_value(client_, data_.keys[i])); });
      blocks.insert(blocks.end(), some.begin(), some.end());
    }
    return {median(blocks), quantile(blocks, 0.99)};
  }

  SmallValues data_;
  std::int64_t storm_ms_;
  std::uint64_t orders_drawn_ = 0;
  OncedDaemon daemon_;
  Worker publisher_;
  Client client_;
};

}  // namespace

Case make_storm_case(const Settings& settings) {
  Case benchmark;
  benchmark.name = "storm";
  benchmark.title = "Hits during 10,000 publishes a second";
  benchmark.setting =
      "A reader on one core; on the other the daemon and a process that replaces the very values that are read, ten "
      "each millisecond. Hits in blocks of 25; p50 and p99 are of the blocks of a round.";
  const auto storm = std::make_shared<Storm>(settings);
  benchmark.contestants = {
      {{{"quiet: hit p50", "ns", ""}, {"quiet: hit p99", "ns", ""}}, [storm] { return storm->quiet(); }},
      {{{"storm: hit p50", "ns", ""}, {"storm: hit p99", "ns", ""}, {"storm: publishes achieved", "1/s", ""}},
       [storm] { return storm->stormy(); }},
  };
  benchmark.claims = {
      {"hit p50 during the storm, against quiet", "storm: hit p50", "quiet: hit p50", Bound::at_most, 1.2},
      {"the storm is one", "storm: publishes achieved", "", Bound::at_least, 0.99 * publishes_per_second, "1/s"},
  };
  return benchmark;
}

}  // namespace onced::bench
