#include "worker.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <type_traits>
#include <vector>

#include <unistd.h>

#include <onced/client.hpp>

#include "charts.hpp"
#include "shared_analysis.hpp"
#include "text_format.hpp"

namespace onced::demo {
namespace {

class Reporter {
 public:
  Reporter(int pipe, std::uint32_t worker) : pipe_(pipe), worker_(worker) {}

  // From any thread: shorter than PIPE_BUF, so reports do not mix.
  void send(Report::Kind kind, double number = 0, std::string_view text = {}) const {
    Report report;
    report.kind = kind;
    report.worker = worker_;
    report.time_ns = monotonic_ns();
    report.number = number;
    text.copy(report.text.data(), report.text.size() - 1);
    // The demo has gone when this fails, and we go with it.
    if (::write(pipe_, &report, sizeof(report)) != static_cast<ssize_t>(sizeof(report))) ::_exit(1);
  }

 private:
  int pipe_;
  std::uint32_t worker_;
};

// Four callbacks at the same moment, each in its thread. `get` is asked by each for its own part of the analysis. The first
// exception of one is thrown after all have ended.
template <typename Get>
void run_callbacks(const Reporter& reporter, const Get& get) {
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::exception_ptr failure;  // guarded by `mutex`
  const auto callback = [&](auto part) {
    try {
      if (chart_of(get(part), ChartStyle{}).empty()) throw std::runtime_error("an empty chart");
      reporter.send(Report::Kind::chart);
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
    }
  };
  threads.emplace_back(callback, std::type_identity<WordFrequencies>());
  threads.emplace_back(callback, std::type_identity<LineHistogram>());
  threads.emplace_back(callback, std::type_identity<IncludedHeaders>());
  threads.emplace_back(callback, std::type_identity<FileSizes>());
  static_assert(std::tuple_size_v<Analysis> == callbacks);
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

void work_alone(const Plan& plan, const Reporter& reporter) {
  std::mutex mutex;
  std::optional<Analysis> cached;  // guarded by `mutex`
  run_callbacks(reporter, [&]<typename Part>(std::type_identity<Part>) -> Part {
    const std::lock_guard lock(mutex);
    if (!cached) {
      reporter.send(Report::Kind::computing);
      cached = analyze(*plan.input, [&](std::size_t done) {
        reporter.send(Report::Kind::progress, static_cast<double>(done) / static_cast<double>(plan.input->files.size()));
      });
    }
    return std::get<Part>(*cached);
  });
}

void work_shared(const Plan& plan, const Reporter& reporter, Client& client, const Key& key) {
  const std::string total = " of " + cli::human_count(plan.input->files.size()) + " files";
  const auto compute = [&](Computation& computation) {
    reporter.send(Report::Kind::computing);
    const Analysis analysis = analyze(*plan.input, [&](std::size_t done) {
      computation.progress(static_cast<double>(done) / static_cast<double>(plan.input->files.size()), cli::human_count(done) + total);
    });
    return add_parts(computation.builder(), analysis);
  };
  run_callbacks(reporter, [&]<typename Part>(std::type_identity<Part>) -> Part {
    const Result<Value> value = client.get_or_compute(key, {}, compute);
    if (!value) throw std::runtime_error(value.error().text);
    Result<Part> part = part_of<Part>(*value);
    if (!part) throw std::runtime_error(part.error().text);
    return std::move(*part);
  });
}

// Nanoseconds per hit: the median of many short blocks, so that a block in which another process ran does not count.
double measure_hits(Client& client, const Key& key) {
  constexpr std::size_t blocks = 501;
  constexpr std::size_t hits = 1000;
  std::vector<double> measured;
  std::uint64_t consumed = 0;
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::uint64_t begin = monotonic_ns();
    for (std::size_t i = 0; i < hits; ++i) {
      const std::optional<Value> value = client.peek(key);
      if (!value) throw std::runtime_error("the value went away while hits were measured");
      const Result<Part> part = value->part(LineHistogram::part_name);
      if (!part) throw std::runtime_error(part.error().text);
      consumed += std::to_integer<std::uint64_t>(part->bytes.front());
    }
    measured.push_back(static_cast<double>(monotonic_ns() - begin) / static_cast<double>(hits));
  }
  if (consumed == 0) throw std::runtime_error("the values were empty");
  std::nth_element(measured.begin(), measured.begin() + blocks / 2, measured.end());
  return measured[blocks / 2];
}

void wait_for_start(int start) {
  char nothing = 0;
  while (::read(start, &nothing, 1) < 0) {
  }
}

}  // namespace

std::uint64_t monotonic_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

Key analysis_key(const InputFiles& input) {
  // The directory and how many files it had: enough for a demo. A key of digests would notice every change.
  Result<Key> key = KeyBuilder("text_analysis", "1").add(input.directory.string()).add(input.files.size()).build();
  if (!key) throw std::runtime_error(key.error().text);
  return std::move(*key);
}

int work(const Plan& plan, std::uint32_t number, int start, int reports) {
  const Reporter reporter(reports, number);
  try {
    if (plan.way == Way::alone) {
      reporter.send(Report::Kind::ready);
      wait_for_start(start);
      work_alone(plan, reporter);
      return 0;
    }
    ClientOptions options;
    options.socket = plan.socket;
    options.name = "worker " + std::to_string(number + 1);
    options.strict = true;  // computing without the daemon would make the figures a lie
    Client client(options);
    if (const Result<void> connected = client.connect(); !connected) throw std::runtime_error(connected.error().text);
    const Key key = analysis_key(*plan.input);
    reporter.send(Report::Kind::ready);
    wait_for_start(start);
    work_shared(plan, reporter, client, key);
    if (plan.way == Way::visit) reporter.send(Report::Kind::hit, measure_hits(client, key));
    return 0;
  } catch (const std::exception& error) {
    reporter.send(Report::Kind::failed, 0, error.what());
    return 1;
  }
}

}  // namespace onced::demo
