#include "wait_progress.hpp"

#include <utility>

#include "run_result.hpp"
#include "text_format.hpp"

namespace onced::cli {
namespace {

// Fractions of a second would only flicker.
std::string waited_text(double seconds) {
  return seconds < 60 ? std::to_string(static_cast<int>(seconds)) + " s" : human_duration(seconds);
}

}  // namespace

void WaitProgress::start(double fraction, std::string text) {
  computing_ = true;
  queued_ = false;
  holder_asked_ = false;
  holder_.clear();
  fraction_ = fraction;
  text_ = text.empty() ? "computing" : std::move(text);
}

void WaitProgress::stop(std::string text, double fraction) {
  computing_ = false;
  queued_ = false;
  holder_.clear();
  fraction_ = fraction;
  text_ = std::move(text);
}

void WaitProgress::queue(std::uint64_t position) {
  stop("queued, " + ordinal(position));
  queued_ = true;
}

void WaitProgress::set_place(std::uint64_t position) {
  if (queued_ && position != 0) queue(position);
}

void WaitProgress::note(const protocol::State& state) {
  known_ = true;
  stop("nobody computes it yet");
  for (const protocol::KeyStateEntry& entry : state.entries) {
    if (entry.state == protocol::KeyState::computing) start(entry.fraction, entry.text);
    if (entry.state == protocol::KeyState::queued) queue(entry.queue_position);
  }
}

void WaitProgress::note(const protocol::Signal& signal) {
  using protocol::SignalEvent;
  switch (signal.event) {
    case SignalEvent::started: return start(std::nan(""), {});
    case SignalEvent::progress:
      fraction_ = signal.fraction;
      if (!signal.text.empty()) text_ = signal.text;
      return;
    case SignalEvent::done: return stop("done", 1);
    case SignalEvent::failed: return stop("failed: " + std::string(failure_sentence(signal.text)));
    case SignalEvent::cancelled: return stop("cancelled");
    case SignalEvent::abandoned: return stop("given up; nobody computes it now");
    // Who waits already gets this computation's result all the same.
    case SignalEvent::invalidated:
      if (computing_) text_ = "invalidated, but answers who waits";
      return;
    case SignalEvent::evicted:
    case SignalEvent::expired:
    case SignalEvent::stale:
    case SignalEvent::loaded: return;  // of an older value
    case SignalEvent::queued: return queue(signal.queue_position);
    case SignalEvent::session_ended: return stop("its session has ended");
  }
}

std::string WaitProgress::line(double waited_seconds, std::size_t columns) const {
  std::string text = waited_text(waited_seconds) + "  " + escape(text_);
  if (!holder_.empty()) text += ", " + escape(holder_);
  return progress_line(fraction_, text, columns);
}

}  // namespace onced::cli
