// top: who computes what at this moment, and what each function saves, again and again.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "context.hpp"
#include "explained_rows.hpp"
#include "full_screen.hpp"
#include "text_format.hpp"
#include "time_option.hpp"
#include "top_view.hpp"

namespace onced::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Milliseconds interval_default{1000};
constexpr Milliseconds interval_min{100};
constexpr std::size_t holders_asked_max = 64;  // each is a question of its own
constexpr std::size_t places_asked_max = 16;   // likewise
constexpr int polls_max = 64;                  // per frame: a flood of signals must not keep it from being drawn

struct TopWords {
  std::string interval;
  bool once = false;
};

// For how long it has been computed or queued. Of a key with a value its age is the value's.
std::optional<double> seconds_under_way(const protocol::ListRow& row) {
  if (row.under_way_ms == 0 && row.version != 0) return std::nullopt;  // this very millisecond, or a daemon that does not say it
  return static_cast<double>(row.version != 0 ? row.under_way_ms : row.age_ms) / 1e3;
}

// What is being computed, and what is queued, as the namespace's signals tell it.
class Computing {
 public:
  void note(const Event& event) {
    if (event.kind != Event::Kind::signal) return begin_with(event.state);
    using protocol::SignalEvent;
    const protocol::Signal& signal = event.signal;
    switch (signal.event) {
      case SignalEvent::started:
        queued_.erase(signal.key);
        now_[signal.key] = {std::nan(""), {}, Clock::now()};
        return;
      case SignalEvent::progress:
        if (const auto found = now_.find(signal.key); found != now_.end()) {
          found->second.fraction = signal.fraction;
          found->second.text = signal.text;
        }
        return;
      case SignalEvent::done:
      case SignalEvent::failed:
      case SignalEvent::cancelled:
      case SignalEvent::abandoned:
        queued_.erase(signal.key);
        now_.erase(signal.key);
        return;
      case SignalEvent::invalidated: now_.erase(signal.key); return;  // what is queued stays so
      case SignalEvent::evicted:
      case SignalEvent::expired:
      case SignalEvent::stale:
      case SignalEvent::loaded: return;         // of values
      case SignalEvent::queued: queued_[signal.key] = signal.queue_position; return;
      case SignalEvent::session_ended: return;  // of no key
    }
  }

  // With what only the daemon can say of each. Those that have ended meanwhile are left out.
  Result<void> describe(Client& client, TopData& data) const {
    data.computing_truncated = truncated_ || now_.size() > holders_asked_max;
    std::size_t asked = 0;
    ExplainedRows rows(client);
    for (const auto& [key, one] : now_) {
      if (asked++ == holders_asked_max) break;
      const Result<std::optional<protocol::ListRow>> found = rows.of(key);
      if (!found) return found.error();
      if (!found->has_value()) continue;
      const protocol::ListRow& row = **found;
      if (row.state != protocol::KeyState::computing) continue;
      const bool refresh = row.version != 0;
      std::optional<double> seconds = seconds_under_way(row);
      if (!seconds && one.begun) seconds = std::chrono::duration<double>(Clock::now() - *one.begun).count();
      data.computing.push_back({key, one.fraction, one.text, seconds, row.waiting, row.holder, refresh});
    }
    if (const Result<void> described = describe_queued(client, data); !described) return described;
    std::stable_sort(data.computing.begin(), data.computing.end(),
                     [](const auto& a, const auto& b) { return a.seconds.value_or(0) > b.seconds.value_or(0); });
    return {};
  }

 private:
  struct One {
    double fraction = std::nan("");
    std::string text;
    std::optional<Clock::time_point> begun;  // nothing: before we looked
  };

  void begin_with(const protocol::State& state) {
    std::map<std::string, One> now;
    queued_.clear();
    for (const protocol::KeyStateEntry& entry : state.entries) {
      if (entry.state == protocol::KeyState::queued) {
        queued_[entry.key] = entry.queue_position;
        continue;
      }
      const auto known = now_.find(entry.key);
      now[entry.key] = {entry.fraction, entry.text, known == now_.end() ? std::nullopt : known->second.begun};
    }
    now_ = std::move(now);
    truncated_ = state.truncated && queued_.empty();  // what is queued comes after all that is computed
  }

  // The first ones by the place that was told last: signals tell of some moves only.
  Result<void> describe_queued(Client& client, TopData& data) const {
    std::vector<std::pair<std::uint64_t, std::string_view>> first;
    for (const auto& [key, position] : queued_) first.emplace_back(position, key);
    const std::size_t asked = std::min(first.size(), places_asked_max);
    std::partial_sort(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(asked), first.end());
    first.resize(asked);
    ExplainedRows rows(client);
    for (const auto& [position, key] : first) {
      const Result<std::optional<protocol::ListRow>> found = rows.of(std::string(key));
      if (!found) return found.error();
      if (!found->has_value()) continue;
      const protocol::ListRow& row = **found;
      if (row.state != protocol::KeyState::queued) continue;
      data.queued.push_back({std::string(key), row.queue_position, seconds_under_way(row), row.waiting});
    }
    std::stable_sort(data.queued.begin(), data.queued.end(), [](const auto& a, const auto& b) { return a.position < b.position; });
    return {};
  }

  std::map<std::string, One> now_;
  std::map<std::string, std::uint64_t> queued_;  // at the place that was told last
  bool truncated_ = false;
};

class Top {
 public:
  Top(Context& context, const TopWords& words) : context_(context), words_(words), client_(context.client_options()) {}

  int run() {
    Milliseconds interval = interval_default;
    if (!words_.interval.empty()) {
      const Result<Milliseconds> wished = time_option("--interval", words_.interval, {.least = interval_min});
      if (!wished) return context_.fail(wished.error());
      interval = *wished;
    }
    Result<Subscription> subscription = start();
    if (!subscription) return context_.fail(subscription.error());
    const bool live = context_.output.data_screen().live && !context_.options.json;
    if (live && !words_.once) return run_live(*subscription, interval);
    return run_lines(*subscription, interval, words_.once || words_.interval.empty());
  }

 private:
  // Subscribed, with the present state known.
  Result<Subscription> start() {
    if (const Result<void> connected = client_.connect(); !connected) return connected.error();
    Result<Subscription> subscription = client_.subscribe_all();
    if (!subscription) return subscription.error();
    const Result<std::optional<Event>> state = subscription->next(context_.options.timeout.value_or(Milliseconds(5000)));
    if (!state) return state.error();
    if (!state->has_value()) return Error{ErrorCode::unavailable, "the daemon does not say what is being computed"};
    computing_.note(**state);
    return subscription;
  }

  Result<TopData> look(Subscription& subscription) {
    for (int polls = 0; polls < polls_max; ++polls) {
      const Result<std::size_t> events = subscription.poll([this](const Event& event) { computing_.note(event); });
      if (!events) return events.error();
      if (*events == 0) break;
    }
    TopData data;
    data.socket = client_.socket_path();
    data.namespace_name = context_.options.namespace_name;
    Result<protocol::Statistics> statistics = client_.statistics();
    if (!statistics) return statistics.error();
    data.statistics = std::move(*statistics);
    if (const Result<void> described = computing_.describe(client_, data); !described) return described.error();
    return data;
  }

  int run_live(Subscription& subscription, Milliseconds interval) {
    FullScreen screen;
    for (std::string shown;;) {
      const Result<TopData> data = look(subscription);
      const Screen size = screen_of(STDOUT_FILENO);
      if (data) shown = top_text(*data, size);
      // What was last known stays in sight.
      else if (data.error().code == ErrorCode::unavailable) shown = away_line(data.error(), size) + shown.substr(shown.find('\n') + 1);
      else return context_.fail(data.error());
      screen.show(shown);
      if (screen.pause(interval) == FullScreen::Wake::end) return exit_code::ok;
    }
  }

  static std::string away_line(const Error& error, const Screen& size) {
    return cut_to("the daemon is away, waiting for it: " + escape(error.text), size.width) + "\n";
  }

  int run_lines(Subscription& subscription, Milliseconds interval, bool once) {
    for (bool first = true;; first = false) {
      const Result<TopData> data = look(subscription);
      if (!data) return context_.fail(data.error());
      const Screen& screen = context_.output.data_screen();
      if (context_.options.json) context_.json_line(top_json(*data));
      else context_.output.data((first ? "" : "\n") + top_text(*data, {.terminal = screen.terminal, .width = screen.width, .height = 0}));
      if (once) return exit_code::ok;
      std::this_thread::sleep_for(interval);
    }
  }

  Context& context_;
  const TopWords& words_;
  Client client_;
  Computing computing_;
};

}  // namespace

void add_top_command(CLI::App& app, Context& context) {
  auto words = std::make_shared<TopWords>();
  Command command = add_command(
      app, context,
      {"top", "", "Live: who computes what, what each function saves",
       "What is being computed, for how long, by whom, how far and how many wait, and what\n"
       "is queued (max_concurrent) at which place; below it the functions, those that have\n"
       "saved most time first: calls, the share of hits, what a computation costs on average,\n"
       "time saved, values and their size, and how many run where that is limited. On a narrow\n"
       "screen names keep two fifths of it, and the columns that say least are left out.\n"
       "On a terminal it is drawn again every second until Ctrl-C or q. Elsewhere, or with\n"
       "--once or --json, it is written once; with --interval as well again and again.\n",
      "  oncectl top\n"
      "  oncectl top --once\n"
      "  oncectl top --json --interval 10s >> onced.log\n"},
      [&context, words] { return Top(context, *words).run(); });
  command.add_option("--interval", words->interval, "How often (default: 1s; at least 100ms)", "TIME");
  command.add_flag("--once", words->once, "Once, without taking the screen");
}

}  // namespace onced::cli
