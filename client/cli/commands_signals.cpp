// wait, watch: what happens to keys, as it happens.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>

#include "context.hpp"
#include "count_option.hpp"
#include "key_words.hpp"
#include "name_option.hpp"
#include "reach.hpp"
#include "run_result.hpp"
#include "stale_note.hpp"
#include "text_format.hpp"
#include "value_output.hpp"
#include "wait_bar.hpp"

namespace onced::cli {
namespace {

using Clock = std::chrono::steady_clock;

// ---- wait -----------------------------------------------------------------------------------------------------------

struct WaitWords {
  KeyWords key;
  PartChoice part;
  bool print = false;
  bool accept_stale = false;
};

Result<Value> wait_for(Context& context, Reach& reach, const Key& key, const WaitOptions& options) {
  const WaitBar bar(context, reach, key);
  return reach.wait(key, options);
}

int wait(Context& context, const WaitWords& words) {
  if (const Result<Key> checked = make_key(words.key); !checked) return context.fail(checked.error());
  WaitOptions options;
  if (context.options.timeout) options.timeout = *context.options.timeout;
  const auto begun = Clock::now();
  Result<Reach> reach = Reach::open(context);
  if (!reach) return context.fail(reach.error());
  const Result<Key> key = reach->key(words.key);
  if (!key) return context.fail(key.error());
  if (!words.accept_stale) {
    // The wait is for a fresh one: who knows that there is a value would wonder.
    const Result<protocol::Explanation> known = reach->explain(*key);
    if (!known) return context.fail(known.error());
    if (known->row.version != 0 && known->row.stale) {
      context.output.talk("there is a value, but it is stale" + stale_text(*known) + "; waiting for a fresh one (--accept-stale takes any)");
    }
    options.timeout = std::max(Milliseconds(0), options.timeout - std::chrono::floor<Milliseconds>(Clock::now() - begun));
  }
  options.accept_stale = words.accept_stale;
  const Result<Value> value = wait_for(context, *reach, *key, options);
  if (!value && value.error().code == ErrorCode::not_found && reach->client().connect()) {
    // Connecting took all the time there was: the daemon was asked for what is there now.
    return context.fail({ErrorCode::timed_out, "no time was left to wait; " + value.error().text});
  }
  if (!value) return context.fail(value.error());
  if (words.part.name && !value->part(std::string_view(*words.part.name))) return write_part(context, *value, words.part);  // says which there are
  if (context.options.json) {
    Json line = key_json(key->bytes());
    line["version"] = value->version();
    line["stale"] = value->stale();
    const std::optional<std::uint64_t> age_ms = age_ms_of(*reach, *key, *value);
    line["age_ms"] = age_ms ? Json(*age_ms) : Json(nullptr);
    line["bytes"] = bytes_of_all(*value);
    line["parts"] = parts_json(*value);
    line["cost_us"] = value->cost_us();
    line["waited_seconds"] = std::chrono::duration<double>(Clock::now() - begun).count();
    context.json_line(line);
    return exit_code::ok;
  }
  if (words.print || words.part.name) {
    if (const int status = write_part(context, *value, words.part); status != exit_code::ok) return status;
  }
  note_if_stale(context, *reach, *key, *value);
  return exit_code::ok;
}

// ---- watch ----------------------------------------------------------------------------------------------------------

struct WatchWords {
  KeyWords key;
  std::string count;
};

Json signal_json(const protocol::Signal& signal) {
  Json line = Json::object();
  line["event"] = protocol::name_of(signal.event);
  if (signal.event == protocol::SignalEvent::session_ended) line["session"] = signal.version;
  else line.update(key_json(signal.key));
  line["epoch"] = signal.epoch;
  line["sequence"] = signal.sequence;
  line["version"] = signal.event == protocol::SignalEvent::session_ended ? 0 : signal.version;
  if (signal.event == protocol::SignalEvent::progress) {
    line["fraction"] = std::isnan(signal.fraction) ? Json(nullptr) : Json(signal.fraction);
  }
  if (signal.event == protocol::SignalEvent::queued) line["queue_position"] = signal.queue_position;
  if (!signal.text.empty()) line["text"] = signal.text;
  return line;
}

std::string_view reason_text(protocol::StateReason reason) {
  switch (reason) {
    case protocol::StateReason::initial: return "initial";
    case protocol::StateReason::slow: return "slow";
    case protocol::StateReason::history_gone: return "history_gone";
    case protocol::StateReason::other_epoch: return "other_epoch";
  }
  return "unknown";
}

// Something was dropped: the marker, and the state at that moment.
Json resync_json(const protocol::State& state) {
  Json line = Json::object();
  line["event"] = "resync";
  line["function"] = nullptr;
  line["arguments"] = nullptr;
  line["function_version"] = nullptr;
  line["epoch"] = state.epoch;
  line["sequence"] = state.sequence;
  line["version"] = 0;
  line["reason"] = reason_text(state.reason);
  Json entries = Json::array();
  for (const auto& entry : state.entries) {
    Json row = key_json(entry.key);
    row["state"] = protocol::name_of(entry.state);
    row["version"] = entry.version;
    row["waiting"] = entry.waiting;
    if (entry.state == protocol::KeyState::queued) row["queue_position"] = entry.queue_position;
    entries.push_back(std::move(row));
  }
  line["entries"] = std::move(entries);
  line["truncated"] = state.truncated;
  return line;
}

std::string signal_text(const protocol::Signal& signal, const Output& output) {
  std::string word(protocol::name_of(signal.event));
  word.resize(12, ' ');
  switch (signal.event) {
    case protocol::SignalEvent::done: word = output.green(word); break;
    case protocol::SignalEvent::failed: word = output.red(word); break;
    case protocol::SignalEvent::started:
    case protocol::SignalEvent::progress: word = output.yellow(word); break;
    default: break;
  }
  if (signal.event == protocol::SignalEvent::session_ended)
    return std::to_string(signal.sequence) + "  ended       session " + std::to_string(signal.version) + "  " + escape(signal.text) + "\n";
  std::string line = std::to_string(signal.sequence) + "  " + word + key_display(signal.key, output.data_screen().terminal ? 120 : whole_key);
  if (signal.event == protocol::SignalEvent::progress && !std::isnan(signal.fraction)) {
    line += "  " + std::to_string(static_cast<int>(signal.fraction * 100)) + " %";
  }
  if (signal.event == protocol::SignalEvent::done || signal.event == protocol::SignalEvent::loaded) line += "  version " + std::to_string(signal.version);
  if (!signal.text.empty()) line += "  " + escape(failure_sentence(signal.text));
  return line + "\n";
}

class Watcher {
 public:
  explicit Watcher(Context& context) : context_(context) {}

  // Shows one event; true when it counts as one of --count.
  bool show(const Event& event) {
    if (event.kind == Event::Kind::signal) {
      if (context_.options.json) context_.json_line(signal_json(event.signal));
      else context_.output.data(signal_text(event.signal, context_.output));
      return true;
    }
    if (event.kind == Event::Kind::resync) {
      if (context_.options.json) context_.json_line(resync_json(event.state));
      else context_.output.talk("some signals were missed (" + std::string(reason_text(event.state.reason)) + ")");
    }
    context_.output.talk(event.kind == Event::Kind::resync ? "watching again from here on" : "watching from here on");
    if (!context_.options.json) show_present(event.state);
    return false;
  }

 private:
  void show_present(const protocol::State& state) {
    for (const auto& entry : state.entries) {
      std::string line = "  now " + std::string(protocol::name_of(entry.state)) + ": " + key_display(entry.key);
      if (entry.waiting > 0) line += ", " + human_count(entry.waiting) + " waiting";
      context_.output.talk(line);
    }
    if (state.truncated) context_.output.talk("  and more");
  }

  Context& context_;
};

Result<Subscription> subscribe(Reach& reach, const WatchWords& words) {
  if (words.key.function.empty()) return reach.subscribe();
  if (words.key.whole_function() && reach.session_number())
    return Error{ErrorCode::invalid_argument, "a function is everybody's, not the session's alone: give ARGS, or no FUNCTION for all of the session"};
  if (words.key.whole_function()) return reach.client().subscribe_function(words.key.function);
  const Result<Key> key = reach.key(words.key);
  if (!key) return key.error();
  return reach.subscribe(*key);
}

int watch(Context& context, const WatchWords& words) {
  const Result<std::uint64_t> count = count_option("--count", words.count);
  if (!count) return context.fail(count.error());
  if (const Result<void> named = function_option("FUNCTION", words.key.function); !named) return context.fail(named.error());
  Result<Reach> reach = Reach::open(context);
  if (!reach) return context.fail(reach.error());
  if (const Result<void> connected = reach->client().connect(); !connected) return context.fail(connected.error());
  Result<Subscription> subscription = subscribe(*reach, words);
  if (!subscription) return context.fail(subscription.error());

  const auto end = context.options.timeout ? Clock::now() + *context.options.timeout : Clock::time_point::max();
  Watcher watcher(context);
  bool away = false;
  for (std::uint64_t seen = 0; *count == 0 || seen < *count;) {
    const auto left = std::chrono::ceil<Milliseconds>(end - Clock::now());
    if (left.count() <= 0) return context.fail({ErrorCode::timed_out, "--timeout passed; stopped watching"});
    const auto event = subscription->next(std::min(left, Milliseconds(1000)));
    if (!event) {
      // It reconnects by itself and then says what was missed; nothing is silent, here neither.
      if (event.error().code != ErrorCode::unavailable) return context.fail(event.error());
      if (!away) context.output.talk("the daemon is away: " + escape(event.error().text) + "; waiting for it");
      away = true;
      continue;
    }
    if (!event->has_value()) continue;
    away = false;
    if (watcher.show(**event)) ++seen;
  }
  return exit_code::ok;
}

}  // namespace

void add_signal_commands(CLI::App& app, Context& context) {
  auto wait_words = std::make_shared<WaitWords>();
  Command wait_command = add_command(
      app, context,
      {"wait", "FUNCTION [ARGS]", "Until a value is there; a progress bar on a terminal",
       "Also when nobody has begun to compute it yet; 5 minutes unless --timeout says\n"
       "otherwise. The wait is for a fresh value: that there is a stale one (past its time, or\n"
       "made so) is said on standard error at once, and --accept-stale takes it. With --json\n"
       "the fields stale and age_ms. Exit code 1 when the value has no part of that name, 3\n"
       "when the daemon shuts down or the namespace begins anew, 6 when the computation fails\n"
       "or is cancelled.\n",
      "  oncectl wait report '[\"2026-11\"]' && oncectl get report '[\"2026-11\"]' > report.pdf\n"
      "  oncectl --timeout 30s wait prices '{\"market\": \"north\"}' --print\n"},
      [&context, wait_words] { return wait(context, *wait_words); });
  add_key_words(wait_command, wait_words->key);
  wait_command.add_flag("--accept-stale", wait_words->accept_stale, "A stale value will do");
  wait_command.add_flag("--print", wait_words->print, "Then write the value's bytes to standard output");
  wait_command.add_option("--part", wait_words->part.name, "The same for this part", "NAME");
  wait_command.add_flag("--force", wait_words->part.force, "Write to a terminal what is no plain text, too");

  auto watch_words = std::make_shared<WatchWords>();
  Command watch_command = add_command(
      app, context,
      {"watch", "[FUNCTION [ARGS]]", "Signals as they come; JSON lines with --json",
       "Of one value with ARGS, of a function without, of the whole namespace without\n"
       "FUNCTION. Goes on when the daemon restarts; what was missed is said (resync).\n"
       "loaded: a value has come back from disk into memory.\n",
      "  oncectl watch\n"
      "  oncectl watch prices --json | jq -r 'select(.event == \"done\") | .arguments'\n"
      "  oncectl --timeout 1m watch prices --count 1\n"},
      [&context, watch_words] { return watch(context, *watch_words); });
  add_key_words(watch_command, watch_words->key, Need::optional);
  watch_command.add_option("--count", watch_words->count, "Stop after so many signals (default: never)", "N");
}

}  // namespace onced::cli
