// What the values of one function may have together (functions.NAME.bytes_max).
#include <algorithm>

#include "scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

Settings limited(std::uint64_t bytes) {
  Settings settings;
  settings.function_bytes_max["f"] = bytes;
  return settings;
}

void limit(Scene& scene, std::uint64_t bytes) {
  scene.settings.function_bytes_max["f"] = bytes;
  scene.engine.reconfigure(scene.settings);
}

std::string text(std::size_t bytes) { return std::string(bytes, 'x'); }

protocol::Published compute(Scene& scene, ConnectionId from, const std::string& key, Duration cost, std::size_t bytes) {
  const auto token = scene.lease(from, key);
  scene.now += cost;
  return scene.publish(from, token, text(bytes));
}

}  // namespace

TEST_CASE("a function that has all it may keep loses values of its own, the least worth first, and no others") {
  Scene scene(limited(100));
  const auto a = scene.connect();
  scene.put(a, key_of("g"), text(90));
  compute(scene, a, key_of("f", 1), 5s, 40);
  compute(scene, a, key_of("f", 2), 1ms, 40);
  compute(scene, a, key_of("f", 3), 5s, 40);
  CHECK(scene.store.visible(key_of("f", 1)));
  CHECK_FALSE(scene.store.visible(key_of("f", 2)));
  CHECK(scene.store.visible(key_of("f", 3)));
  CHECK(scene.store.visible(key_of("g")));
  CHECK(scene.counted("function_evictions") == 1);
  CHECK(scene.counted("evictions") == 1);
  const auto explained = scene.take<protocol::Explanation>(a, scene.ask(a, protocol::Explain{key_of("f", 2)}));
  CHECK(explained.lines.at(0).find("because its function had all that it may keep; it cost 1") != std::string::npos);
}

TEST_CASE("a value that takes another's place counts once against its function's limit") {
  Scene scene(limited(100));
  const auto a = scene.connect();
  scene.put(a, key_of("f", 1), text(40));
  for (int i = 0; i < 5; ++i) CHECK(scene.put(a, key_of("f", 2), text(50 + static_cast<std::size_t>(i))).stored);
  CHECK(scene.store.visible(key_of("f", 1)));
  CHECK(scene.counted("evictions") == 0);
  CHECK(scene.put(a, key_of("f", 2), text(100)).stored);
  CHECK_FALSE(scene.store.visible(key_of("f", 1)));
}

TEST_CASE("a value larger than its function may keep reaches who asked, and is not kept") {
  Scene scene(limited(100));
  const auto a = scene.connect(), b = scene.connect();
  scene.put(a, key_of("f", 1), text(60));
  const auto token = scene.lease(a, key_of("f", 2));
  const auto waiting = scene.ask(b, scene.acquire(key_of("f", 2)));
  const protocol::Published told = scene.publish(a, token, text(101));
  CHECK_FALSE(told.stored);
  CHECK(told.why == protocol::NotStored::function_full);
  CHECK(told.text.find("and the values of f together may have 100") != std::string::npos);
  CHECK(told.text.find("(functions.f.bytes_max)") != std::string::npos);
  CHECK(scene.inline_bytes(b, waiting).size() == 101);
  CHECK(scene.store.visible(key_of("f", 1)));
}

TEST_CASE("a value larger than its function may keep costs its session nothing") {
  Settings settings = limited(100);
  settings.sessions.entries_max = 2;
  Scene scene(settings);
  const auto a = scene.connect();
  const auto session = scene.new_session(a);
  const auto key_in = [&](const char* function) { return std::string(KeyBuilder(function, "", session.number).build().value().bytes()); };
  CHECK(scene.put(a, key_in("g"), "x").stored);
  CHECK(scene.put(a, key_in("h"), "x").stored);
  CHECK(scene.put(a, key_in("f"), text(200)).why == protocol::NotStored::function_full);
  CHECK(scene.store.visible(key_in("g")));
  CHECK(scene.store.visible(key_in("h")));
  CHECK(scene.counted("session_evictions") == 0);
}

TEST_CASE("a limit of a function that comes with a reload holds for what is stored after it, by what was there before") {
  Scene scene;
  const auto a = scene.connect();
  for (int i = 0; i < 4; ++i) compute(scene, a, key_of("f", i), 1s, 40);
  limit(scene, 100);
  CHECK(scene.store.records.size() == 4);
  CHECK(compute(scene, a, key_of("f", 9), 1s, 40).stored);
  CHECK(scene.store.records.size() == 2);
  CHECK(scene.store.visible(key_of("f", 9)));

  limit(scene, 0);
  for (int i = 20; i < 23; ++i) compute(scene, a, key_of("f", i), 1s, 40);
  CHECK(scene.store.records.size() == 5);
  limit(scene, 100);
  compute(scene, a, key_of("f", 10), 1s, 40);
  CHECK(scene.store.records.size() == 2);
}

TEST_CASE("a function's uses decide what goes of it, and its limit is told") {
  Scene scene(limited(100));
  const auto a = scene.connect();
  compute(scene, a, key_of("f", 1), 1s, 40);
  compute(scene, a, key_of("f", 2), 1s, 40);
  for (int i = 0; i < 3; ++i) scene.ask(a, scene.acquire(key_of("f", 1)));
  compute(scene, a, key_of("f", 3), 1s, 40);
  CHECK(scene.store.visible(key_of("f", 1)));
  CHECK_FALSE(scene.store.visible(key_of("f", 2)));
  for (const auto& function : scene.engine.statistics(scene.now).functions) {
    CHECK(std::any_of(function.fields.begin(), function.fields.end(),
                      [](const auto& field) { return field.first == "bytes_max" && field.second == protocol::Number{std::uint64_t{100}}; }));
  }
}
