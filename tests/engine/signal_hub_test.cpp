#include "scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

Settings small() {
  Settings settings;
  settings.signals_queued_per_subscription_max = 3;
  settings.signal_history = 8;
  return settings;
}
}  // namespace

TEST_CASE("subscribing answers the present state, then every change, each with the position before it (L9)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto version = scene.put(a, chart_key, "value").version;
  const auto watch = scene.ask(b, protocol::Subscribe{key_scope(chart_key), 0, 0});
  const auto state = scene.take<protocol::State>(b, watch);
  CHECK(state.reason == protocol::StateReason::initial);
  CHECK(state.epoch == 7);
  CHECK(state.sequence == 1);
  REQUIRE(state.entries.size() == 1);
  CHECK(state.entries[0].state == protocol::KeyState::ready);
  CHECK(state.entries[0].version == version);
  scene.put(a, other_key, "value");  // sequence 2, not of this scope
  scene.ask(a, protocol::Invalidate{key_scope(chart_key)});
  const auto signal = scene.take<protocol::Signal>(b, watch);
  CHECK(signal.event == SignalEvent::invalidated);
  CHECK(signal.sequence == 3);
  CHECK(signal.previous == 1);
  CHECK(signal.version == version);
  scene.lease(a, chart_key);
  CHECK(scene.take<protocol::Signal>(b, watch).previous == 3);
}

TEST_CASE("every way in which a computation goes is told") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto watch = scene.ask(b, protocol::Subscribe{function_scope("chart"), 0, 0});
  scene.take<protocol::State>(b, watch);
  auto token = scene.lease(a, chart_key);
  scene.ask(a, protocol::Progress{token, 0.5, "half"});
  scene.publish(a, token, "value", 50);
  CHECK(scene.events(b, watch) == std::vector{SignalEvent::started, SignalEvent::progress, SignalEvent::done});
  scene.pass(1s);
  CHECK(scene.events(b, watch) == std::vector{SignalEvent::expired});
  scene.ask(a, protocol::Fail{scene.lease(a, chart_key), "no", 0});
  CHECK(scene.events(b, watch) == std::vector{SignalEvent::started, SignalEvent::failed});
  scene.lease(a, chart_key);
  scene.ask(a, protocol::Cancel{key_scope(chart_key)});
  CHECK(scene.events(b, watch) == std::vector{SignalEvent::started, SignalEvent::cancelled});
  scene.ask(a, protocol::Abandon{scene.lease(a, chart_key)});
  CHECK(scene.events(b, watch) == std::vector{SignalEvent::started, SignalEvent::abandoned});
  scene.lease(a, chart_key);
  scene.ask(a, protocol::Invalidate{everything()});
  CHECK(scene.events(b, watch) == std::vector{SignalEvent::started, SignalEvent::invalidated});
}

TEST_CASE("the progress of an old token is not told, and a fraction that is none is unknown") {
  Scene scene;
  const auto a = scene.connect();
  const auto watch = scene.ask(a, protocol::Subscribe{key_scope(chart_key), 0, 0});
  const auto token = scene.lease(a, chart_key);
  scene.ask(a, protocol::Progress{token, 17.0, "far"});
  scene.ask(a, protocol::Abandon{token});
  scene.ask(a, protocol::Progress{token, 0.5, "late"});
  auto& replies = scene.inbox[{a, watch}];
  REQUIRE(replies.size() == 4);  // state, started, progress, abandoned
  const double fraction = std::get<protocol::Signal>(replies[2]).fraction;
  CHECK(fraction != fraction);
}

TEST_CASE("a subscription resumes where it was, without a gap (L9)") {
  Scene scene(small());
  const auto a = scene.connect(), b = scene.connect();
  scene.put(a, chart_key, "one");      // 1
  scene.put(a, other_key, "other");  // 2
  scene.put(a, chart_key, "two");      // 3
  const auto watch = scene.ask(b, protocol::Subscribe{key_scope(chart_key), 7, 1});
  const auto signal = scene.take<protocol::Signal>(b, watch);
  CHECK(signal.sequence == 3);
  CHECK(signal.previous == 1);
  CHECK(scene.take<protocol::Position>(b, watch).sequence == 3);
  scene.ask(a, protocol::Invalidate{key_scope(chart_key)});
  CHECK(scene.take<protocol::Signal>(b, watch).previous == 3);
}

TEST_CASE("what cannot be resumed is answered with the state, marked so (L9)") {
  Scene scene(small());
  const auto a = scene.connect(), b = scene.connect();
  for (int i = 0; i < 20; ++i) scene.put(a, chart_key, "value");
  const auto reason = [&](std::uint64_t epoch, std::uint64_t sequence) {
    return scene.take<protocol::State>(b, scene.ask(b, protocol::Subscribe{key_scope(chart_key), epoch, sequence})).reason;
  };
  CHECK(reason(7, 11) == protocol::StateReason::history_gone);
  CHECK(reason(7, 21) == protocol::StateReason::history_gone);  // from a future that never was
  CHECK(reason(8, 20) == protocol::StateReason::other_epoch);
  const auto at_the_edge = scene.ask(b, protocol::Subscribe{key_scope(other_key), 7, 12});
  CHECK(scene.take<protocol::Position>(b, at_the_edge).sequence == 20);
  CHECK(scene.counted("resyncs") == 3);
}

TEST_CASE("a slow subscriber is told nothing until all has left, then the state, marked so (L9, L10)") {
  Scene scene(small());
  const auto a = scene.connect(), b = scene.connect();
  const auto watch = scene.ask(b, protocol::Subscribe{key_scope(chart_key), 0, 0});
  for (int i = 0; i < 10; ++i) scene.put(a, chart_key, "value");
  auto& replies = scene.inbox[{b, watch}];
  CHECK(replies.size() == 3);  // the state and two signals; the rest costs nothing
  scene.step(SignalsSent{b, watch, 2});
  scene.put(a, chart_key, "value");
  CHECK(replies.size() == 3);
  replies.clear();
  scene.step(SignalsSent{b, watch, 1});
  const auto state = scene.take<protocol::State>(b, watch);
  CHECK(state.reason == protocol::StateReason::slow);
  CHECK(state.sequence == 11);
  scene.put(a, chart_key, "value");
  CHECK(scene.take<protocol::Signal>(b, watch).previous == 11);
}

TEST_CASE("a quiet subscription learns its position when it falls half the history behind (L9)") {
  Scene scene(small());
  const auto a = scene.connect(), b = scene.connect();
  const auto watch = scene.ask(b, protocol::Subscribe{key_scope(other_key), 0, 0});
  scene.take<protocol::State>(b, watch);
  for (int i = 0; i < 4; ++i) scene.put(a, chart_key, "value");
  CHECK_FALSE(scene.has_reply(b, watch));
  scene.put(a, chart_key, "value");
  CHECK(scene.take<protocol::Position>(b, watch).sequence == 5);
  scene.put(a, other_key, "value");
  CHECK(scene.take<protocol::Signal>(b, watch).previous == 5);
}

TEST_CASE("nothing follows the answer to Unsubscribe") {
  Scene scene;
  const auto a = scene.connect();
  const auto watch = scene.ask(a, protocol::Subscribe{everything(), 0, 0});
  scene.take<protocol::State>(a, watch);
  CHECK(scene.take<protocol::Done>(a, scene.ask(a, protocol::Unsubscribe{watch})).count == 1);
  scene.put(a, chart_key, "value");
  CHECK_FALSE(scene.has_reply(a, watch));
  CHECK(scene.take<protocol::Done>(a, scene.ask(a, protocol::Unsubscribe{watch})).count == 0);
}

TEST_CASE("subscriptions above a limit are refused with the name of the setting") {
  Settings settings;
  settings.subscriptions_per_connection_max = 1;
  settings.subscriptions_max = 2;
  Scene scene(settings);
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  const auto text = [&](ConnectionId from) {
    return scene.take<protocol::Refused>(from, scene.ask(from, protocol::Subscribe{everything(), 0, 0})).text;
  };
  scene.ask(a, protocol::Subscribe{everything(), 0, 0});
  CHECK(text(a).find("subscriptions_per_connection_max") != std::string::npos);
  scene.ask(b, protocol::Subscribe{everything(), 0, 0});
  CHECK(text(c).find("subscriptions_max") != std::string::npos);
  scene.step(Disconnected{a});
  scene.take<protocol::State>(c, scene.ask(c, protocol::Subscribe{everything(), 0, 0}));
}

TEST_CASE("the state of a function has a bounded number of entries and says when there are more (L9)") {
  Scene scene;
  const auto a = scene.connect();
  const int more = static_cast<int>(limits::state_entries_max) + 1;
  for (int i = 0; i < more; ++i) scene.put(a, key_of("many", i), "value");
  const auto state = scene.take<protocol::State>(a, scene.ask(a, protocol::Subscribe{function_scope("many"), 0, 0}));
  CHECK(state.entries.size() == limits::state_entries_max);
  CHECK(state.truncated);
}

TEST_CASE("the state of everything is what is being computed (L9)") {
  Scene scene;
  const auto a = scene.connect();
  scene.put(a, other_key, "value");
  const auto token = scene.lease(a, chart_key);
  scene.ask(a, protocol::Progress{token, 0.25, "a quarter"});
  const auto state = scene.take<protocol::State>(a, scene.ask(a, protocol::Subscribe{everything(), 0, 0}));
  REQUIRE(state.entries.size() == 1);
  CHECK(state.entries[0].key == chart_key);
  CHECK(state.entries[0].fraction == 0.25);
  CHECK(state.entries[0].text == "a quarter");
}
