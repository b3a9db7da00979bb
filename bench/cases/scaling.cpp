// Whether readers in two processes get in each other's way when they read the same memory.
#include <array>
#include <memory>
#include <optional>

#include "cases/cases.hpp"
#include "cases/small_values.hpp"
#include "harness/onced_daemon.hpp"
#include "harness/placement.hpp"
#include "harness/process.hpp"
#include "harness/timing.hpp"

namespace onced::bench {
namespace {

// So few that two copies fit into the caches together: what remains is what sharing itself costs.
constexpr std::size_t value_count = 5'000;
constexpr std::size_t block = 1'000;
enum class Copy : std::uint64_t { shared, own };

class Readers {
 public:
  explicit Readers(const Settings& settings) : passes_(settings.quick ? 20 : 200) {
    const SmallValues data = make_small_values(value_count);
    for (const OncedDaemon& daemon : daemons_) {
      Client client = daemon.connect();
      store(client, data);
    }
    for (std::size_t reader = 0; reader < workers_.size(); ++reader) {
      workers_[reader].emplace([this, reader] { return read(reader); });
      pin_to_core(workers_[reader]->id(), reader);
    }
  }

  // Nanoseconds a hit when each reader is alone, then when both read at the same time; the gain in throughput from one
  // reader to two, where 2 is perfect, halved.
  Worker::Figures round(Copy copy) {
    const auto request = static_cast<std::uint64_t>(copy);
    const double first_alone = workers_[0]->call(request)[0];
    const double second_alone = workers_[1]->call(request)[0];
    for (auto& worker : workers_) worker->start(request);
    const double first = workers_[0]->finish()[0];
    const double second = workers_[1]->finish()[0];
    return {(first_alone + second_alone) / 2, (first + second) / 2,
            (1 / first + 1 / second) / (1 / first_alone + 1 / second_alone)};
  }

 private:
  // In the worker's process: reader 0 finds both copies in daemon 0, reader 1 the shared one there and its own in
  // daemon 1.
  Worker::Handler read(std::size_t reader) {
    auto data = std::make_shared<SmallValues>(make_small_values(value_count));
    auto shared = std::make_shared<Client>(daemons_[0].connect());
    auto own = std::make_shared<Client>(daemons_[reader].connect());
    auto order = std::make_shared<std::vector<std::uint32_t>>();
    for (std::size_t pass = 0; pass < passes_; ++pass) {
      const auto once = random_order(value_count, reader * passes_ + pass);
      order->insert(order->end(), once.begin(), once.end());
    }
    return [=](std::uint64_t request) -> Worker::Figures {
      Client& client = static_cast<Copy>(request) == Copy::shared ? *shared : *own;
      return {
          median_ns_per_call(*order, block, [&](std::uint32_t i) { keep(peek_small_value(client, data->keys[i])); })};
    };
  }

  std::size_t passes_;
  std::array<OncedDaemon, 2> daemons_;
  std::array<std::optional<Worker>, 2> workers_;
};

}  // namespace

Case make_scaling_case(const Settings& settings) {
  Case benchmark;
  benchmark.name = "scaling";
  benchmark.title = "Two reading processes";
  benchmark.setting =
      "Two processes, each on a core of its own, read 5,000 values of 64 bytes in random order: first each alone, "
      "then both at once. Shared: both from the same segment. Own copies: each from the segment of another daemon. "
      "Scaling is the throughput of both together over the sum of their throughputs alone; 1 is perfect.";
  const auto readers = std::make_shared<Readers>(settings);
  const auto add = [&](const std::string& name, Copy copy) {
    benchmark.contestants.push_back({{{name + ": a hit, alone", "ns", ""},
                                      {name + ": a hit, both at once", "ns", ""},
                                      {name + ": scaling", "x", ""}},
                                     [readers, copy] { return readers->round(copy); }});
  };
  add("shared segment", Copy::shared);
  add("own copies", Copy::own);
  benchmark.contestants.back().figures.back().ours = "shared segment: scaling";
  benchmark.claims = {{"two readers of one segment scale, against own copies", "shared segment: scaling",
                       "own copies: scaling", Bound::at_least, 0.95}};
  return benchmark;
}

}  // namespace onced::bench
