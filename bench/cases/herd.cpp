// 32 processes want the same cold key at the same moment.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <memory>

#include "cases/cases.hpp"
#include "harness/onced_daemon.hpp"
#include "harness/placement.hpp"
#include "harness/process.hpp"
#include "harness/timing.hpp"
#include "peers/bare_server.hpp"

namespace onced::bench {
namespace {

constexpr std::size_t herd_size = 32;
constexpr useconds_t compute_us = 20'000;  // long enough for all to have arrived; also what the bare ones sleep before

// Shared by all processes of the herd.
struct Board {
  std::atomic<std::uint32_t> gate{0};     // futex; the number of the run that may begin (seq_cst throughout)
  std::atomic<std::uint32_t> arrived{0};  // members in front of the gate
  std::int64_t begin_ns[herd_size] = {};
  std::int64_t end_ns[herd_size] = {};
  std::int64_t compute_begin_ns = 0;  // by the one member that computes
  std::int64_t compute_end_ns = 0;

  void wait_at_gate(std::uint32_t run) {
    ++arrived;
    while (gate.load() != run) ::syscall(SYS_futex, &gate, FUTEX_WAIT, run - 1, nullptr, nullptr, 0);
  }
  void open_gate(std::uint32_t run) {
    gate.store(run);
    ::syscall(SYS_futex, &gate, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
};

enum class Wake : std::uint32_t { onced, futex, relay };

// The members live as long as this; they are told in each run how they are woken.
class Herd {
 public:
  Herd() {
    for (std::size_t member = 0; member < herd_size; ++member) {
      members_.push_back(std::make_unique<Worker>([this, member] { return join(member); }));
    }
    for (auto& member : members_) member->call(request(Wake::futex, run_));  // set up: connected, and the gate is open
    relay_client_ = std::make_unique<BareClient>(relay_);
  }

  void place_parties(Placement placement) {
    place(0, placement, Party::server);  // this process wakes by futex
    place(daemon_.id(), placement, Party::server);
    place(relay_.id(), placement, Party::server);
    for (const auto& member : members_) place(member->id(), placement, Party::client);
  }

  // Milliseconds.
  struct Outcome {
    double beyond_compute = 0;  // from the first call to the last value, less the computation
    double to_compute = 0;      // from the first call to the computation's begin
    double to_last = 0;         // from the computation's end, or the wake, to the last member
  };

  Outcome cold_key() {
    start(Wake::onced);
    wait_for_arrival();
    board_->open_gate(run_);
    finish();
    const std::int64_t first = *std::min_element(board_->begin_ns, board_->begin_ns + herd_size);
    const std::int64_t computing = board_->compute_end_ns - board_->compute_begin_ns;
    return {in_ms(last_end() - first - computing), in_ms(board_->compute_begin_ns - first),
            in_ms(last_end() - board_->compute_end_ns)};
  }

  Outcome futex_wake() {
    start(Wake::futex);
    wait_for_arrival();
    ::usleep(compute_us);
    const std::int64_t begin = now_ns();
    board_->open_gate(run_);
    finish();
    return {0, 0, in_ms(last_end() - begin)};
  }

  Outcome relay_wake() {
    start(Wake::relay);
    board_->open_gate(run_);
    while (relay_client_->exchange({.kind = BareMessage::Kind::count}).number < herd_size) ::usleep(100);
    ::usleep(compute_us);
    const std::int64_t begin = now_ns();
    relay_client_->send({.kind = BareMessage::Kind::publish});
    finish();
    return {0, 0, in_ms(last_end() - begin)};
  }

 private:
  static double in_ms(std::int64_t ns) { return static_cast<double>(ns) / 1e6; }
  static std::uint64_t request(Wake wake, std::uint32_t run) {
    return std::uint64_t{run} << 2 | static_cast<std::uint32_t>(wake);
  }

  // In a member's process.
  Worker::Handler join(std::size_t member) {
    auto client = std::make_shared<Client>(daemon_.connect());
    auto relay = std::make_shared<BareClient>(relay_);
    auto builder = std::make_shared<KeyBuilder>("herd", "v1");
    return [this, member, client, relay, builder](std::uint64_t what) -> Worker::Figures {
      const auto run = static_cast<std::uint32_t>(what >> 2);
      const std::string_view key = [&] {
        builder->reset("herd", "v1");
        return must(builder->add(run).build_view());
      }();
      board_->wait_at_gate(run);
      switch (static_cast<Wake>(what & 3)) {
        case Wake::onced:
          board_->begin_ns[member] = now_ns();
          keep(read_small_value(
              must(client->get_or_compute(key, {}, [this](Computation&) { return compute(); })).bytes().data()));
          break;
        case Wake::futex:
          break;  // the gate was the wake
        case Wake::relay:
          keep(relay->exchange({.kind = BareMessage::Kind::wait}).number);
          break;
      }
      board_->end_ns[member] = now_ns();
      return {};
    };
  }

  std::string compute() {
    board_->compute_begin_ns = now_ns();
    ::usleep(compute_us);
    std::string bytes(small_value_bytes, 'v');
    board_->compute_end_ns = now_ns();
    return bytes;
  }

  void start(Wake wake) {
    ++run_;
    board_->arrived.store(0);
    for (auto& member : members_) member->start(request(wake, run_));
  }
  void wait_for_arrival() {
    while (board_->arrived.load() < herd_size) ::usleep(100);
    ::usleep(1'000);  // from counted to blocked
  }
  void finish() {
    for (auto& member : members_) member->finish();
  }
  std::int64_t last_end() const { return *std::max_element(board_->end_ns, board_->end_ns + herd_size); }

  SharedMemory<Board> board_;
  OncedDaemon daemon_{{"--memory", "64MiB"}};
  BareServer relay_;
  std::vector<std::unique_ptr<Worker>> members_;
  std::unique_ptr<BareClient> relay_client_;
  std::uint32_t run_ = 0;
};

using Run = Herd::Outcome (Herd::*)();

// The medians of several runs are a round's figures.
std::vector<double> medians(Herd& herd, Placement placement, int runs, Run run, bool all_parts) {
  herd.place_parties(placement);
  std::vector<double> beyond_compute;
  std::vector<double> to_compute;
  std::vector<double> to_last;
  for (int i = 0; i < runs; ++i) {
    const Herd::Outcome outcome = (herd.*run)();
    beyond_compute.push_back(outcome.beyond_compute);
    to_compute.push_back(outcome.to_compute);
    to_last.push_back(outcome.to_last);
  }
  if (all_parts) return {median(beyond_compute), median(to_compute), median(to_last)};
  return {median(to_last)};
}

}  // namespace

Case make_herd_case(const Settings& settings) {
  const int runs = settings.quick ? 2 : 10;
  Case benchmark;
  benchmark.name = "herd";
  benchmark.title = "32 processes on a cold key";
  benchmark.setting =
      "32 connected processes are let go at the same moment and call get_or_compute() for a key that nobody has; the "
      "computation sleeps for 20 ms. The time claimed runs from the first process's call to the last one's value, "
      "less the computation. Against 32 processes that are woken by one futex (the fastest wake there is, and the "
      "one claimed against), or by a message each from a bare epoll relay. Cross-core: all 32 on one core, who wakes "
      "them on the other. " +
      std::to_string(runs) + " runs a round.";
  const auto herd = std::make_shared<Herd>();
  for (const Placement placement : all_placements) {
    const std::string where = ", " + name_of(placement);
    const std::string ours = "onced: beyond the computation" + where;
    const std::string futex = "bare futex wake" + where;
    benchmark.contestants.push_back({{{ours, "ms", ""},
                                      {"onced: of that, first call to computing" + where, "ms", ""},
                                      {"onced: of that, computed to last value" + where, "ms", ""}},
                                     [=] { return medians(*herd, placement, runs, &Herd::cold_key, true); }});
    benchmark.contestants.push_back(
        {{{futex, "ms", ours}}, [=] { return medians(*herd, placement, runs, &Herd::futex_wake, false); }});
    benchmark.contestants.push_back({{{"bare relay, a message each" + where, "ms", ours}},
                                     [=] { return medians(*herd, placement, runs, &Herd::relay_wake, false); }});
    benchmark.claims.push_back({"32 processes on a cold key, beyond the computation, against a bare wake of 32" + where,
                                ours, futex, Bound::at_most, 2});
  }
  return benchmark;
}

}  // namespace onced::bench
