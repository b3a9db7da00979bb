// What the daemon costs when it does nothing, and how soon it is there.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "cases/cases.hpp"
#include "cases/small_values.hpp"
#include "harness/onced_daemon.hpp"
#include "harness/placement.hpp"
#include "harness/process.hpp"
#include "harness/timing.hpp"

namespace onced::bench {
namespace {

constexpr std::size_t value_count = 10'000;
constexpr std::size_t client_count = 32;

double start_to_ready_ms() {
  place(0, Placement::unpinned, Party::client);
  const std::int64_t begin = now_ns();
  const OncedDaemon daemon;  // default configuration
  return static_cast<double>(now_ns() - begin) / 1e6;
}

// What the kernel has counted for all threads of a process.
struct Usage {
  double running_ns = 0;  // first field of schedstat
  double wake_ups = 0;    // each voluntary switch away ends in a wake-up

  static Usage of(pid_t process) {
    Usage usage;
    for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
      double running_ns = 0;
      std::ifstream(task.path() / "schedstat") >> running_ns;
      usage.running_ns += running_ns;
      std::ifstream status(task.path() / "status");
      constexpr std::string_view name = "voluntary_ctxt_switches:";
      for (std::string line; std::getline(status, line);) {
        if (line.starts_with(name)) usage.wake_ups += std::stod(line.substr(name.size()));
      }
    }
    return usage;
  }
};

// A daemon with values that expire some day and clients that have nothing to ask.
class Idle {
 public:
  explicit Idle(const Settings& settings) : seconds_(settings.quick ? 1 : 3) {
    for (std::size_t i = 0; i < client_count; ++i) clients_.push_back(daemon_.connect());
    store(clients_.front(), make_small_values(value_count));
  }

  std::vector<double> watch() {
    place(0, Placement::unpinned, Party::client);
    const Usage before = Usage::of(daemon_.id());
    const std::int64_t begin = now_ns();
    ::sleep(seconds_);
    const Usage after = Usage::of(daemon_.id());
    const double elapsed_ns = static_cast<double>(now_ns() - begin);
    return {100 * (after.running_ns - before.running_ns) / elapsed_ns,
            (after.wake_ups - before.wake_ups) * 1e9 / elapsed_ns};
  }

 private:
  unsigned seconds_;
  OncedDaemon daemon_{{"--memory", "64MiB"}};
  std::vector<Client> clients_;
};

}  // namespace

Case make_daemon_case(const Settings& settings) {
  Case benchmark;
  benchmark.name = "daemon";
  benchmark.title = "The daemon by itself";
  benchmark.setting =
      "Start: from before the fork until a client has its connection, default configuration. Idle: a daemon that "
      "holds 10,000 values with a time-to-live of a day for 32 connected clients; processor time from schedstat, "
      "wake-ups from the voluntary context switches of all its threads.";
  const auto idle = std::make_shared<Idle>(settings);
  benchmark.contestants = {
      {{{"onced: start to ready", "ms", ""}}, []() -> std::vector<double> { return {start_to_ready_ms()}; }},
      {{{"onced: idle, share of a core", "%", ""}, {"onced: idle, wake-ups", "1/s", ""}},
       [idle] { return idle->watch(); }},
  };
  benchmark.claims = {
      {"daemon start to ready", "onced: start to ready", "", Bound::at_most, 200, "ms"},
      {"idle daemon, share of a core", "onced: idle, share of a core", "", Bound::at_most, 0.1, "%"},
      {"idle daemon, wake-ups", "onced: idle, wake-ups", "", Bound::at_most, 10, "1/s"},
  };
  return benchmark;
}

}  // namespace onced::bench
