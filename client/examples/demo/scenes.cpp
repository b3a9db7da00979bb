#include "scenes.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <poll.h>

#include <onced/client.hpp>

#include "interruption.hpp"
#include "shared_analysis.hpp"
#include "text_format.hpp"
#include "workers.hpp"

namespace onced::demo {
namespace {

std::string worker_name(std::uint32_t worker) { return "worker " + std::to_string(worker + 1); }

ClientOptions observer_options(const PrivateDaemon& daemon) {
  ClientOptions options;
  options.socket = daemon.socket();
  options.name = "demo";
  options.strict = true;
  return options;
}

// What the demo knows of its workers while they run.
struct Observed {
  std::vector<double> progress;        // by worker, of those who compute without onced
  std::vector<std::size_t> charts;     // by worker
  std::optional<std::uint32_t> holder; // who began to compute last
  std::uint64_t holder_since_ns = 0;
  std::uint64_t last_chart_ns = 0;
  std::size_t computations = 0;
  std::vector<double> hits_ns;
  double shared_progress = std::nan("");  // as the signals say it
  std::string said;

  explicit Observed(std::size_t workers) : progress(workers), charts(workers) {}

  void note(const Report& report) {
    switch (report.kind) {
      case Report::Kind::ready: break;
      case Report::Kind::computing:
        ++computations;
        holder = report.worker;
        holder_since_ns = report.time_ns;
        break;
      case Report::Kind::progress: progress[report.worker] = report.number; break;
      case Report::Kind::chart:
        ++charts[report.worker];
        last_chart_ns = std::max(last_chart_ns, report.time_ns);
        break;
      case Report::Kind::hit: hits_ns.push_back(report.number); break;
      case Report::Kind::failed: throw std::runtime_error(worker_name(report.worker) + ": " + report.text.data());
    }
  }
  void note(const Event& event) {
    if (event.kind != Event::Kind::signal) return;
    if (event.signal.event == protocol::SignalEvent::progress) {
      shared_progress = event.signal.fraction;
      said = event.signal.text;
    } else if (event.signal.event == protocol::SignalEvent::started) {
      begin_again();
    }
  }
  // Nothing is known yet of the computation that begins.
  void begin_again() {
    shared_progress = 0;
    said = "begins";
  }
  std::size_t all_charts() const {
    std::size_t sum = 0;
    for (const std::size_t one : charts) sum += one;
    return sum;
  }
  // Workers that have nothing yet and do not compute.
  std::size_t waiting() const {
    std::size_t count = 0;
    for (std::uint32_t worker = 0; worker < charts.size(); ++worker) count += charts[worker] == 0 && holder != worker ? 1U : 0U;
    return count;
  }
};

// Runs until all workers have ended; `look` is called after every report and signal.
void observe(Workers& workers, Subscription* signals, Observed& observed, const std::function<void()>& look) {
  while (true) {
    check_interruption();
    pollfd polled[2] = {{workers.descriptor(), POLLIN, 0}, {signals == nullptr ? -1 : signals->descriptor(), POLLIN, 0}};
    if (::poll(polled, 2, 200) < 0 && errno != EINTR) throw std::runtime_error("poll");
    if (signals != nullptr) {
      const Result<std::size_t> events = signals->poll([&](const Event& event) { observed.note(event); });
      if (!events) throw std::runtime_error(events.error().text);
    }
    if (polled[0].revents != 0) {
      const std::optional<Report> report = workers.receive();
      if (!report) return;
      observed.note(*report);
    }
    look();
  }
}

double median(std::vector<double> numbers) {
  const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2);
  std::nth_element(numbers.begin(), middle, numbers.end());
  return *middle;
}

Figures figures_of(const Observed& observed, std::uint64_t begun_ns, double cpu_seconds) {
  Figures figures;
  figures.computations = observed.computations;
  figures.cpu_seconds = cpu_seconds;
  figures.last_chart_seconds = static_cast<double>(observed.last_chart_ns - begun_ns) / 1e9;
  if (!observed.hits_ns.empty()) figures.hit_ns = median(observed.hits_ns);
  return figures;
}

void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error("the demo did not go as it should: " + what);
}

}  // namespace

Figures Scenes::without_onced() {
  stage_.headline("1  Without onced: every worker computes for itself");
  Workers workers(workers_, {Way::alone, "", &input_});
  Observed observed(workers_);
  const std::uint64_t begun = workers.go();
  observe(workers, nullptr, observed, [&] {
    double sum = 0;
    for (std::size_t i = 0; i < workers_; ++i) sum += observed.charts[i] > 0 ? 1 : observed.progress[i];
    stage_.live("   " + cli::plural(workers_, "worker") + " compute  " + stage_.progress(sum / static_cast<double>(workers_)));
  });
  const Figures figures = figures_of(observed, begun, workers.finish());
  require(observed.all_charts() == workers_ * callbacks, "charts are missing");
  stage_.line("   " + cli::plural(figures.computations, "computation") + " for " +
              cli::plural(observed.all_charts(), "chart") + "; the last one after " +
              cli::human_duration(figures.last_chart_seconds));
  return figures;
}

Figures Scenes::with_onced() {
  stage_.headline("2  With onced: one computes, the others wait for its signal");
  Workers workers(workers_, {Way::shared, daemon_.socket(), &input_});
  Client client(observer_options(daemon_));
  Result<Subscription> signals = client.subscribe(analysis_key(input_));
  if (!signals) throw std::runtime_error(signals.error().text);
  Observed observed(workers_);
  std::optional<std::size_t> waited;
  const double daemon_before = daemon_.cpu_seconds();
  const std::uint64_t begun = workers.go();
  observe(workers, &*signals, observed, [&] {
    if (!observed.holder) return;
    if (observed.all_charts() == 0) waited = observed.waiting();
    stage_.live("   " + worker_name(*observed.holder) + " computes  " + stage_.progress(observed.shared_progress) + "  " +
                observed.said + ", " + std::to_string(observed.waiting()) + " wait");
  });
  const Figures figures = figures_of(observed, begun, workers.finish() + daemon_.cpu_seconds() - daemon_before);
  require(observed.all_charts() == workers_ * callbacks, "charts are missing");
  stage_.line("   " + cli::plural(figures.computations, "computation") + " for " +
              cli::plural(observed.all_charts(), "chart") + "; the last one after " +
              cli::human_duration(figures.last_chart_seconds));
  stage_.line("   " + worker_name(observed.holder.value_or(0)) + " computed, " + std::to_string(waited.value_or(0)) +
              " waited, and all read the same memory.");
  stage_.line("   The value has four parts; each chart reads its own and no other:");
  draw_charts();
  return figures;
}

// A seventh reader: the charts come from the shared value, not from a worker; each from a part of its own.
void Scenes::draw_charts() {
  Client client(observer_options(daemon_));
  if (const Result<void> connected = client.connect(); !connected) throw std::runtime_error(connected.error().text);
  const std::optional<Value> value = client.peek(analysis_key(input_));
  require(value.has_value(), "the value is not in memory");
  const ChartStyle style = stage_.chart_style();
  const auto chart = [&]<typename Part>(std::type_identity<Part>) {
    const Result<Part> part = part_of<Part>(*value);
    if (!part) throw std::runtime_error(part.error().text);
    return chart_of(*part, style);
  };
  const auto row = [&](const Lines& left, const Lines& right) {
    stage_.line("");
    for (const std::string& line : side_by_side(left, right, style.width, 2)) stage_.line(line);
  };
  row(chart(std::type_identity<WordFrequencies>()), chart(std::type_identity<LineHistogram>()));
  row(chart(std::type_identity<IncludedHeaders>()), chart(std::type_identity<FileSizes>()));
}

Figures Scenes::second_visit() {
  stage_.headline("3  A second visit: new workers, everything is there");
  Workers workers(workers_, {Way::visit, daemon_.socket(), &input_});
  Observed observed(workers_);
  const double daemon_before = daemon_.cpu_seconds();
  const std::uint64_t begun = workers.go();
  observe(workers, nullptr, observed, [&] { stage_.live("   reading"); });
  const Figures figures = figures_of(observed, begun, workers.finish() + daemon_.cpu_seconds() - daemon_before);
  require(figures.hit_ns.has_value(), "no hit was measured");
  stage_.line("   " + cli::plural(figures.computations, "computation") + " for " +
              cli::plural(observed.all_charts(), "chart") + "; the last one after " +
              cli::human_duration(figures.last_chart_seconds));
  stage_.line("   a hit takes " + cli::human_duration(*figures.hit_ns / 1e9) + " (median of " +
              std::to_string(observed.hits_ns.size()) + " workers that read at the same time)");
  return figures;
}

Figures Scenes::killed_holder() {
  stage_.headline("4  The computing worker is killed half-way");
  Client client(observer_options(daemon_));
  const Key key = analysis_key(input_);
  if (const auto dropped = client.invalidate(key.bytes()); !dropped) throw std::runtime_error(dropped.error().text);
  Workers workers(workers_, {Way::shared, daemon_.socket(), &input_});
  Result<Subscription> signals = client.subscribe(key);
  if (!signals) throw std::runtime_error(signals.error().text);
  Observed observed(workers_);
  std::optional<std::uint32_t> killed;
  std::uint64_t killed_ns = 0;
  std::optional<double> takeover;
  const double daemon_before = daemon_.cpu_seconds();
  const std::uint64_t begun = workers.go();
  observe(workers, &*signals, observed, [&] {
    if (!observed.holder) return;
    if (!killed && observed.shared_progress >= 0.5) {
      killed = observed.holder;
      killed_ns = monotonic_ns();
      workers.kill(*killed);
      stage_.line("   " + worker_name(*killed) + " was at " +
                  std::to_string(static_cast<int>(observed.shared_progress * 100)) + " % and is killed (SIGKILL)");
      observed.begin_again();
    }
    if (killed && !takeover && observed.holder != killed) {
      takeover = static_cast<double>(observed.holder_since_ns - killed_ns) / 1e9;
      stage_.line("   " + worker_name(*observed.holder) + " takes over after " + cli::human_duration(*takeover));
    }
    if (killed && !takeover) return;  // nobody computes
    stage_.live("   " + worker_name(*observed.holder) + " computes  " + stage_.progress(observed.shared_progress) + "  " +
                observed.said);
  });
  Figures figures = figures_of(observed, begun, workers.finish() + daemon_.cpu_seconds() - daemon_before);
  if (!takeover) {
    stage_.line("   too little to read: the computation was over before its worker could be killed and replaced; a larger --input shows it");
    return figures;
  }
  figures.takeover_seconds = takeover;
  stage_.line("   " + cli::plural(observed.all_charts(), "chart") + " of " + std::to_string(workers_ - 1) +
              " survivors; the last one after " + cli::human_duration(figures.last_chart_seconds));
  return figures;
}

}  // namespace onced::demo
