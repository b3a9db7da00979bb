// Signals of a real daemon: complete, or marked where they are not (L9, L10).
#include <doctest/doctest.h>
#include <poll.h>

#include <thread>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

struct SubscriptionNotes {
  std::atomic<int> stage;
  std::atomic<std::uint64_t> events;
  std::atomic<std::uint64_t> resyncs;
  std::atomic<bool> stop;
};

Event next_of(Subscription& subscription) {
  auto event = subscription.next(std::chrono::duration_cast<Milliseconds>(watchdog_limit));
  if (!event) throw std::runtime_error(event.error().text);
  if (!event->has_value()) throw std::runtime_error("watchdog: no event");
  return std::move(**event);
}

// Follows one key whose versions rise by one with every put. Tells whether every version was seen, in order, or was
// part of an explicit resync.
struct Follower {
  std::uint64_t version = 0;
  std::uint64_t resyncs = 0;
  bool gap = false;

  void see(const Event& event) {
    if (event.kind == Event::Kind::signal) {
      if (event.signal.event != protocol::SignalEvent::done) return;
      if (event.signal.version != version + 1) gap = true;
      version = event.signal.version;
      return;
    }
    if (event.kind == Event::Kind::resync) ++resyncs;
    if (!event.state.entries.empty()) version = event.state.entries[0].version;
  }
};

}  // namespace

TEST_CASE("a computation is signalled from its start to its end") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  const Key key = key_named("f");
  auto subscription = client.subscribe(key);
  REQUIRE(subscription.ok());
  const Event first = next_of(*subscription);
  CHECK(first.kind == Event::Kind::state);
  CHECK(first.state.reason == protocol::StateReason::initial);
  const auto value = client.get_or_compute(key, {}, [](Computation& computation) {
    computation.progress(0.5, "half-way");
    return std::string("value");
  });
  REQUIRE(value.ok());
  const Event started = next_of(*subscription);
  CHECK(started.signal.event == protocol::SignalEvent::started);
  CHECK(started.signal.key == key.bytes());
  const Event progress = next_of(*subscription);
  CHECK(progress.signal.event == protocol::SignalEvent::progress);
  CHECK(progress.signal.fraction == 0.5);
  CHECK(progress.signal.text == "half-way");
  const Event done = next_of(*subscription);
  CHECK(done.signal.event == protocol::SignalEvent::done);
  CHECK(done.signal.version == value->version());
  // Visible before it is signalled (L6).
  CHECK(client.peek(key).has_value());
  CHECK_FALSE(subscription->next(Milliseconds(0))->has_value());
}

TEST_CASE("in an event loop: the descriptor is readable when there is something to deliver") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  auto subscription = client.subscribe_function("f");
  REQUIRE(subscription.ok());
  const auto readable = [&] {
    pollfd entry{subscription->descriptor(), POLLIN, 0};
    return ::poll(&entry, 1, 0) > 0;
  };
  int states = 0;
  int done = 0;
  const auto count = [&](const Event& event) {
    states += event.kind == Event::Kind::state;
    done += event.kind == Event::Kind::signal && event.signal.event == protocol::SignalEvent::done;
  };
  CHECK(readable());  // the first state
  REQUIRE(subscription->poll(count).ok());
  CHECK(states == 1);
  CHECK_FALSE(readable());
  REQUIRE(client.put(key_named("other").bytes(), "x").ok());
  for (int i = 0; i < 10; ++i) REQUIRE(client.put(key_named("f", i).bytes(), "x").ok());
  wait_until(
      [&] {
        if (readable()) REQUIRE(subscription->poll(count).ok());
        return done == 10;
      },
      "ten signals");
  CHECK_FALSE(readable());

  // Mixed with next(): what is left in the queue keeps it readable.
  for (int i = 0; i < 3; ++i) REQUIRE(client.put(key_named("f", i).bytes(), "y").ok());
  int seen = 0;
  while (seen < 2) {
    next_of(*subscription);
    ++seen;
  }
  wait_until(
      [&] {
        if (readable()) REQUIRE(subscription->poll(count).ok());
        return done == 11;
      },
      "the third signal");
}

TEST_CASE("a daemon that restarts is found again, and the restart is marked") {
  DaemonProcess daemon;
  ClientOptions options = options_for(daemon.socket());
  options.reconnect_delay_max = Milliseconds(20);
  Client client(options);
  const Key key = key_named("f");
  REQUIRE(client.put(key.bytes(), "before").ok());
  auto subscription = client.subscribe(key);
  REQUIRE(subscription.ok());
  CHECK(next_of(*subscription).state.entries.at(0).state == protocol::KeyState::ready);
  daemon.kill(SIGKILL);
  daemon.wait();
  CHECK_FALSE(subscription->next(Milliseconds(1))->has_value());
  daemon.start();
  const Event resync = next_of(*subscription);
  CHECK(resync.kind == Event::Kind::resync);
  CHECK(resync.state.reason == protocol::StateReason::other_epoch);
  wait_until([&] { return client.put(key.bytes(), "after").ok(); }, "the new daemon");
  CHECK(next_of(*subscription).signal.event == protocol::SignalEvent::done);
}

TEST_CASE("strict: a subscription without a daemon is an error") {
  ClientOptions options = options_for("/nowhere/onced.sock");
  options.strict = true;
  Client client(options);
  CHECK(client.subscribe_all().error().code == ErrorCode::unavailable);
}

TEST_CASE("a range-for ends when strict is set and the daemon is gone") {
  DaemonProcess daemon;
  ClientOptions options = options_for(daemon.socket());
  options.strict = true;
  Client client(options);
  auto subscription = client.subscribe_function("f");
  REQUIRE(subscription.ok());
  REQUIRE(client.put(key_named("f").bytes(), "x").ok());
  int events = 0;
  for (const Event& event : *subscription) {
    ++events;
    if (event.kind == Event::Kind::signal) daemon.kill(SIGKILL);
  }
  CHECK(events == 2);
}

TEST_CASE("a subscriber that is stopped, forks and reconnects in a storm of publishes misses nothing unmarked") {
  DaemonProcess daemon;
  const Key key = key_named("stormy");
  Client writer(options_for(daemon.socket()));
  Shared<SubscriptionNotes> notes;
  constexpr std::uint64_t last_version = 30'000;
  Worker subscriber([&] {
    Client client(options_for(daemon.socket()));
    auto subscription = client.subscribe(key);
    if (!subscription) return 1;
    Follower follower;
    ++notes->stage;
    while (follower.version < last_version) {
      follower.see(next_of(*subscription));
      ++notes->events;
      if (follower.gap) return 2;
    }
    notes->resyncs = follower.resyncs;
    return 0;
  });
  // Goes on in a child from time to time: each child resumes with a connection of its own.
  Worker forking([&] {
    Client client(options_for(daemon.socket()));
    auto subscription = client.subscribe(key);
    if (!subscription) return 1;
    Follower follower;
    ++notes->stage;
    for (int generation = 0; generation < 20; ++generation) {
      for (int i = 0; i < 200 && follower.version < last_version; ++i) {
        follower.see(next_of(*subscription));
        if (follower.gap) return 2;
      }
      if (const pid_t child = fork(); child > 0) {
        int status = 0;
        while (waitpid(child, &status, 0) < 0) {
        }
        return WIFEXITED(status) ? WEXITSTATUS(status) : 3;
      }
    }
    while (follower.version < last_version) {
      follower.see(next_of(*subscription));
      if (follower.gap) return 2;
    }
    return 0;
  });
  wait_until([&] { return notes->stage == 2; }, "the subscribers");
  for (std::uint64_t version = 1; version <= last_version; ++version) {
    if (version == 5'000) subscriber.kill(SIGSTOP);
    if (version == 25'000) subscriber.kill(SIGCONT);
    REQUIRE(*writer.put(key.bytes(), std::to_string(version)) == version);
  }
  CHECK(subscriber.wait() == 0);
  CHECK(forking.wait() == 0);
  CHECK(notes->resyncs >= 1);  // stopped for 20,000 signals: more than is kept for it
  CHECK(writer.peek(key)->text() == std::to_string(last_version));
}
