// A value of one version that takes the place of those of others.
#include "engine/key_fields.hpp"
#include "scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

std::string key_of_version(const std::string& version, int argument = 0, const std::string& function = "chart") {
  return std::string(KeyBuilder(function, version).add(argument).build().value().bytes());
}

struct Versions : Scene {
  explicit Versions(Settings settings_ = {}) : Scene(std::move(settings_)) {}
  void put_instead(const std::string& key) {
    take<protocol::Published>(a, ask(a, protocol::Put{key, value("newer"), {.ttl_ms = 0, .retire_older = true}}));
  }
  ConnectionId a = connect(), b = connect();
};

}  // namespace

TEST_CASE("a key is read without its version") {
  CHECK(version_of(key_of_version("v2")) == "v2");
  CHECK(version_of(key_of_version("")).empty());
  CHECK(version_of("not a key").empty());
  CHECK(without_version(key_of_version("v1", 7)) == without_version(key_of_version(std::string(100, 'v'), 7)));
  CHECK_FALSE(without_version(key_of_version("v1", 7)) == without_version(key_of_version("v1", 8)));
  CHECK_FALSE(without_version(key_of_version("v1", 7, "a")) == without_version(key_of_version("v1", 7, "b")));
  CHECK_FALSE(without_version("not a key") == without_version("no key"));
}

TEST_CASE("a value that retires older ones drops those of the same arguments under other versions, and no other") {
  Versions scene;
  const std::string older = key_of_version("v1"), oldest = key_of_version(""), newer = key_of_version("v2");
  for (const std::string& each : {older, oldest, key_of_version("v1", 1), key_of_version("v1", 0, "other")}) scene.put(scene.a, each, "old");
  const auto watcher = scene.ask(scene.b, protocol::Subscribe{key_scope(older), 0, 0});
  SUBCASE("by a put") { scene.put_instead(newer); }
  SUBCASE("by a publish") {
    const auto token = scene.lease(scene.a, newer);
    scene.take<protocol::Published>(
        scene.a, scene.ask(scene.a, protocol::Publish{token, Scene::value("newer"), {.ttl_ms = 0, .retire_older = true}}));
  }
  CHECK_FALSE(scene.store.visible(older));
  CHECK_FALSE(scene.store.visible(oldest));
  CHECK(scene.store.visible(newer));
  CHECK(scene.store.records.size() == 3);
  CHECK(scene.events(scene.b, watcher) == std::vector{SignalEvent::evicted});
  CHECK(scene.counted("older_versions_dropped") == 2);
  const auto told = scene.take<protocol::Explanation>(scene.b, scene.ask(scene.b, protocol::Explain{older}));
  CHECK(told.lines.at(0).find("a value of version v2 took its place") != std::string::npos);
}

TEST_CASE("without being told so a value leaves those of other versions alone") {
  Versions scene;
  scene.put(scene.a, key_of_version("v1"), "old");
  scene.put(scene.a, key_of_version("v2"), "new");
  CHECK(scene.store.records.size() == 2);
}

TEST_CASE("a computation of another version goes on, and its value is kept") {
  Versions scene;
  const auto token = scene.lease(scene.b, key_of_version("v1"));
  scene.put_instead(key_of_version("v2"));
  CHECK(scene.publish(scene.b, token, "old").stored);
  CHECK(scene.store.records.size() == 2);
}

TEST_CASE("so many versions are retired in a step, the rest in turns of their own, and nothing that is newer") {
  Settings settings;
  settings.invalidated_per_step_max = 4;
  Versions scene(settings);
  for (int i = 0; i < 10; ++i) scene.put(scene.a, key_of_version("v" + std::to_string(i)), "old");
  scene.put_instead(key_of_version("new"));
  CHECK(scene.counted("older_versions_dropped") >= 3);  // it may have met itself
  CHECK(scene.counted("older_versions_dropped") <= 4);
  CHECK(scene.engine.next_deadline() == scene.now);
  SUBCASE("one that comes meanwhile stays") {
    scene.put(scene.a, key_of_version("newest"), "value");
    scene.pass(0s);
    CHECK(scene.store.records.size() == 2);
    CHECK(scene.store.visible(key_of_version("newest")));
  }
  SUBCASE("also when the one that took their place has gone") {
    scene.ask(scene.a, protocol::Invalidate{key_scope(key_of_version("new"))});
    scene.pass(0s);
    CHECK(scene.store.records.empty());
  }
  SUBCASE("another one takes over") {
    scene.put_instead(key_of_version("newest"));
    scene.pass(0s);
    CHECK(scene.store.records.size() == 1);
  }
  CHECK_FALSE(scene.engine.next_deadline());
}
