// Each limit that requests can meet: it holds, its refusal says what it is, and the statistics show it. It is one too many for one
// alone; the next one is served when there is room again.
#include "engine/limit_table.hpp"

#include <doctest/doctest.h>

#include <functional>

#include "blob_scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

Settings tight() {
  Settings settings;
  settings.blob_bytes_max = 1'000'000;
  settings.requests_in_flight_per_connection_max = 3;
  settings.under_way_bytes_per_connection_max = 200;
  settings.under_way_bytes_max = 300;
  settings.waiters_per_key_max = 2;
  settings.subscriptions_per_connection_max = 2;
  settings.subscriptions_max = 3;
  settings.invalidations_per_connection_max = 1;
  settings.invalidations_max = 2;
  settings.invalidated_per_step_max = 1;
  settings.blobs_reserved_per_connection_max = 2;
  settings.reserved_bytes_per_connection_max = 10'000;
  settings.reserved_bytes_per_uid_max = 15'000;
  return settings;
}

struct LimitScene : BlobScene {
  explicit LimitScene(Settings settings_) : BlobScene(std::move(settings_)) {}

  // The last request was refused for this limit, and says so; the statistics agree.
  void check_refused(Limit limit, ConnectionId from, RequestId id, std::uint64_t most) {
    const std::string name(name_of(limit));
    CAPTURE(name);
    const std::uint64_t before = refusals[limit]++;
    const auto refused = take<protocol::Refused>(from, id);
    CHECK(refused.code == ErrorCode::limit_reached);
    CAPTURE(refused.text);
    CHECK(refused.text.find("; the limit is " + std::to_string(value_of(limit, settings)) + " (limits." + name + "_max)") != std::string::npos);
    CHECK(counted(name + "_refused") == before + 1);
    CHECK(counted(name + "_max") == value_of(limit, settings));
    CHECK(counted(name + "_most") == most);
    CHECK(counted("limits_reached") >= before + 1);
  }
  std::map<Limit, std::uint64_t> refusals;
};

Process of_user(std::uint32_t uid) { return {.uid = uid, .pid = 0}; }

}  // namespace

TEST_CASE("requests in flight of a connection") {
  Settings settings = tight();
  settings.under_way_bytes_per_connection_max = 100'000;
  settings.under_way_bytes_max = 100'000;
  LimitScene scene(settings);
  const auto a = scene.connect();
  std::vector<protocol::Token> tokens;
  for (int i = 0; i < 3; ++i) tokens.push_back(scene.lease(a, key_of("f", i)));
  scene.check_refused(Limit::requests_in_flight_per_connection, a, scene.ask(a, scene.acquire(key_of("f", 4))), 3);
  scene.lease(scene.connect(), key_of("f", 4));
  scene.publish(a, tokens[0], "value");
  scene.lease(a, key_of("f", 5));
}

TEST_CASE("bytes of keys under way of a connection, and of all") {
  LimitScene scene(tight());
  const auto a = scene.connect(), b = scene.connect();
  const std::string key = key_of(std::string(90, 'k'), 1);
  const std::string other = key_of(std::string(90, 'k'), 2);
  REQUIRE(key.size() > 95);
  REQUIRE(key.size() <= 100);
  scene.lease(a, key);
  scene.lease(a, other);
  scene.check_refused(Limit::under_way_bytes_per_connection, a, scene.ask(a, scene.acquire(key_of("f", 1))), 2 * key.size());
  scene.lease(b, key_of(std::string(90, 'k'), 3));
  scene.check_refused(Limit::under_way_bytes, b, scene.ask(b, scene.acquire(key_of(std::string(50, 'f'), 1))), 3 * key.size());
}

TEST_CASE("waiters of a key") {
  LimitScene scene(tight());
  const std::string key = key_of("f");
  const auto holder = scene.connect();
  const auto token = scene.lease(holder, key);
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  const auto first = scene.ask(a, scene.acquire(key));
  scene.ask(b, scene.acquire(key));
  scene.check_refused(Limit::waiters_per_key, c, scene.ask(c, scene.acquire(key)), 2);
  scene.publish(holder, token, "value");
  scene.take<protocol::Value>(a, first);
}

TEST_CASE("subscriptions of a connection, and of all") {
  LimitScene scene(tight());
  const auto a = scene.connect(), b = scene.connect();
  scene.ask(a, protocol::Subscribe{everything()});
  const auto second = scene.ask(a, protocol::Subscribe{everything()});
  scene.check_refused(Limit::subscriptions_per_connection, a, scene.ask(a, protocol::Subscribe{everything()}), 2);
  scene.ask(b, protocol::Subscribe{everything()});
  scene.check_refused(Limit::subscriptions, b, scene.ask(b, protocol::Subscribe{everything()}), 3);
  scene.ask(a, protocol::Unsubscribe{second});
  scene.take<protocol::State>(b, scene.ask(b, protocol::Subscribe{everything()}));
}

TEST_CASE("invalidations of a connection, and of all") {
  LimitScene scene(tight());
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  for (int i = 0; i < 50; ++i) scene.put(a, key_of("f", i), "value");
  const auto invalidate = [&](ConnectionId from) { return scene.ask(from, protocol::Invalidate{everything()}); };
  const auto first = invalidate(a);
  scene.check_refused(Limit::invalidations_per_connection, a, invalidate(a), 1);
  invalidate(b);
  scene.check_refused(Limit::invalidations, c, invalidate(c), 2);
  scene.pass(1s);
  CHECK(scene.take<protocol::Done>(a, first).count > 0);
  CHECK(scene.counted("invalidations_refused") == 1);
}

TEST_CASE("blobs that a connection has reserved") {
  LimitScene scene(tight());
  const auto a = scene.connect("a", of_user(1)), b = scene.connect("b", of_user(1));
  const auto first = scene.reserve(a, 10);
  scene.reserve(a, 10);
  scene.check_refused(Limit::blobs_reserved_per_connection, a, scene.ask_to_reserve(a, 10), 2);
  scene.reserve(b, 10);
  scene.release(a, first);
  scene.reserve(a, 10);
}

TEST_CASE("bytes that a connection has reserved, and a user with all of its connections") {
  LimitScene scene(tight());
  const auto a = scene.connect("a", of_user(1)), b = scene.connect("b", of_user(1)), other = scene.connect("other", of_user(2));
  scene.check_refused(Limit::reserved_bytes_per_connection, a, scene.ask_to_reserve(a, 10'001), 0);
  const auto first = scene.reserve(a, 8'000);
  scene.check_refused(Limit::reserved_bytes_per_connection, a, scene.ask_to_reserve(a, 2'001), 8'000);
  scene.reserve(a, 2'000);
  scene.check_refused(Limit::reserved_bytes_per_uid, b, scene.ask_to_reserve(b, 5'001), 10'000);
  scene.reserve(other, 10'000);  // another user is not held for it
  scene.reserve(b, 5'000);
  scene.check_refused(Limit::reserved_bytes_per_uid, b, scene.ask_to_reserve(b, 1), 15'000);
  scene.release(a, first);
  scene.reserve(b, 5'000);
  CHECK(scene.counted("reserved_bytes_per_connection_most") == 10'000);
  scene.step(Disconnected{a});
  scene.step(Disconnected{b});
  CHECK(scene.counted("reserved_bytes_per_uid_most") == 10'000);
  scene.step(ProcessDied{other});
  CHECK(scene.counted("reserved_bytes_per_uid_most") == 0);
}

TEST_CASE("what is published is not reserved any more") {
  LimitScene scene(tight());
  const auto a = scene.connect("a", of_user(1));
  for (int i = 0; i < 5; ++i) {
    const auto blob = scene.reserve(a, 10'000);
    scene.take<protocol::Published>(a, scene.ask(a, protocol::Put{key_of("f", i), {protocol::Part{"", "", {}, static_cast<std::uint64_t>(blob), 0, 10'000}}}));
    CHECK(scene.counted("reserved_bytes_per_uid_most") == 0);
  }
}

TEST_CASE("who keeps too much of what was dropped from reuse gets copies, and pins again when he has let go") {
  Settings settings = tight();
  settings.pinned_bytes_per_connection_max = 1000;
  LimitScene scene(settings);
  const std::string key = key_of("f");
  const auto a = scene.connect(), b = scene.connect();
  scene.put(a, key, "value");
  scene.store.mapped = {a, b};
  const auto is_pinned = [&](ConnectionId by) { return scene.take<protocol::Value>(by, scene.ask(by, scene.acquire(key))).record != 0; };
  CHECK(is_pinned(a));
  scene.store.kept[a] = 1001;
  CHECK_FALSE(is_pinned(a));
  CHECK(scene.inline_bytes(a, scene.ask(a, scene.acquire(key))) == "value");
  CHECK(is_pinned(b));
  CHECK(scene.counted("pinned_bytes_per_connection_refused") == 2);
  CHECK(scene.counted("pinned_bytes_per_connection_max") == 1000);
  scene.store.kept[a] = 1000;
  CHECK(is_pinned(a));
}

TEST_CASE("a sum of sizes that would overflow is above a limit") {
  Settings settings = tight();
  settings.part_bytes_max = limits::part_bytes_max;
  settings.reserved_bytes_per_connection_max = ~std::uint64_t{0};
  LimitScene scene(settings);
  const auto a = scene.connect("a", of_user(1));
  scene.check_refused(Limit::reserved_bytes_per_uid, a, scene.ask_to_reserve(a, limits::part_bytes_max), 0);
}
