#include "wait_progress.hpp"

#include <doctest/doctest.h>

#include <cmath>

namespace onced::cli {
namespace {

using protocol::KeyState;
using protocol::SignalEvent;

protocol::State state_of(KeyState state, double fraction = std::nan(""), const char* text = "") {
  protocol::State made;
  made.entries.push_back({.key = "k", .state = state, .fraction = fraction, .text = text});
  return made;
}

protocol::Signal signal_of(SignalEvent event, const char* text = "", double fraction = 0) {
  protocol::Signal made;
  made.event = event;
  made.text = text;
  made.fraction = fraction;
  return made;
}

std::string shown(const WaitProgress& progress, double seconds = 3.7) { return progress.line(seconds, 120); }

}  // namespace

TEST_CASE("nothing is known, so that nothing need be shown, before the present state") {
  WaitProgress progress;
  CHECK_FALSE(progress.known());
  progress.note(state_of(KeyState::absent));
  CHECK(progress.known());
  CHECK_FALSE(progress.needs_holder());
  CHECK(shown(progress) == "[........................................]   ? %  3 s  nobody computes it yet");
}

TEST_CASE("a computation is shown with its progress, its words and its holder") {
  WaitProgress progress;
  progress.note(state_of(KeyState::computing, 0.5, "half-way"));
  CHECK(progress.needs_holder());
  progress.set_holder("pid 41 (gunicorn)");
  CHECK_FALSE(progress.needs_holder());
  CHECK(shown(progress) == "[####################....................]  50 %  3 s  half-way, pid 41 (gunicorn)");
  progress.note(signal_of(SignalEvent::progress, "nearly", 0.75));
  CHECK(shown(progress, 125) == "[##############################..........]  75 %  2 min 5 s  nearly, pid 41 (gunicorn)");
  CHECK(progress.line(1, 40).size() == 40);
}

TEST_CASE("the next computation starts without the last one's progress, words and holder") {
  WaitProgress progress;
  progress.note(state_of(KeyState::computing, 0.9, "nearly"));
  progress.set_holder("pid 41 (gunicorn)");
  progress.note(signal_of(SignalEvent::abandoned));
  CHECK(shown(progress).ends_with("  ? %  3 s  given up; nobody computes it now"));
  CHECK_FALSE(progress.needs_holder());
  progress.note(signal_of(SignalEvent::started));
  CHECK(shown(progress).ends_with("  ? %  3 s  computing"));
  CHECK(progress.needs_holder());
}

TEST_CASE("who is queued is told its place, which is asked for now and then") {
  WaitProgress progress;
  protocol::State state = state_of(KeyState::queued);
  state.entries.front().queue_position = 13;
  progress.note(state);
  CHECK(progress.queued());
  CHECK_FALSE(progress.needs_holder());
  CHECK(shown(progress).ends_with("  ? %  3 s  queued, 13th"));
  progress.set_place(12);
  CHECK(shown(progress).ends_with("  queued, 12th"));
  progress.set_place(0);  // it has begun meanwhile, and the signal is on its way
  CHECK(shown(progress).ends_with("  queued, 12th"));
  protocol::Signal moved = signal_of(SignalEvent::queued, "number 2 of 9");
  moved.queue_position = 2;
  progress.note(moved);
  CHECK(shown(progress).ends_with("  queued, 2nd"));
  progress.note(signal_of(SignalEvent::invalidated));
  CHECK(shown(progress).ends_with("  queued, 2nd"));
  progress.note(signal_of(SignalEvent::started));
  CHECK_FALSE(progress.queued());
  progress.set_place(1);
  CHECK(shown(progress).ends_with("  computing"));
}

TEST_CASE("the last word is that it is done, at 100 %, or why it is not") {
  WaitProgress progress;
  progress.note(state_of(KeyState::computing, 0.9, "nearly"));
  progress.note(signal_of(SignalEvent::done));
  CHECK(shown(progress).ends_with("#] 100 %  3 s  done"));
  progress.note(signal_of(SignalEvent::started));
  progress.note(signal_of(SignalEvent::failed, "no input\x1b[31m"));
  CHECK(shown(progress).ends_with("failed: no input\\x1b[31m"));
}

TEST_CASE("what happens to an older value does not disturb the computation that is waited for") {
  WaitProgress progress;
  progress.note(state_of(KeyState::computing, 0.5, "half-way"));
  for (const SignalEvent event : {SignalEvent::evicted, SignalEvent::expired, SignalEvent::stale}) progress.note(signal_of(event));
  CHECK(shown(progress).ends_with("  50 %  3 s  half-way"));
  progress.note(signal_of(SignalEvent::invalidated));
  CHECK(shown(progress).ends_with("  50 %  3 s  invalidated, but answers who waits"));
}

}  // namespace onced::cli
