// What depends on values is reached in steps, and recorded within bounds.
#include "dependency_scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

// ---- steps ----------------------------------------------------------------------------------------------------------

TEST_CASE("many dependants are reached in steps, and the answer comes after the last of them (L6)") {
  Settings settings;
  settings.invalidated_per_step_max = 2;
  Dependent scene(settings);
  const std::uint64_t of_source = scene.put_source();
  const auto chart_of = [](int i) { return key_of("chart", i); };
  for (int i = 0; i < 7; ++i) scene.put_on(chart_of(i), {{source, of_source}});
  const auto stale = [&] {
    int count = 0;
    for (int i = 0; i < 7; ++i) count += scene.is_stale(chart_of(i)) ? 1 : 0;
    return count;
  };
  SUBCASE("of a replaced value") {
    const auto of_put = scene.ask_put(source, {});
    CHECK(scene.is_fresh(source));
    CHECK(stale() == 2);
    CHECK_FALSE(scene.has_reply(scene.a, of_put));
    SUBCASE("in turns of their own") {
      scene.step(Ticked{});
      CHECK(stale() == 4);
      CHECK_FALSE(scene.has_reply(scene.a, of_put));
      scene.pass(0s);
      CHECK(stale() == 7);
      CHECK(scene.take<protocol::Published>(scene.a, of_put).stored);
    }
    SUBCASE("who invalidates the new one softly meanwhile, or puts another, is told after them as well") {
      const auto softly = scene.ask(scene.admin, protocol::Invalidate{key_scope(source), true});
      CHECK_FALSE(scene.has_reply(scene.admin, softly));
      const auto another = scene.ask(scene.b, protocol::Put{source, scene.value("newer"), {.ttl_ms = 0}});
      CHECK(stale() == 6);
      CHECK_FALSE(scene.has_reply(scene.b, another));
      scene.pass(0s);
      CHECK(stale() == 7);
      CHECK(scene.take<protocol::Done>(scene.admin, softly).count == 1);
      CHECK(scene.take<protocol::Published>(scene.b, another).stored);
    }
    SUBCASE("what is published meanwhile from the old value is stale, from the new one fresh") {
      scene.put_on(page, {{source, of_source}});
      CHECK(scene.is_stale(page));
      scene.put_on(chart_of(6), {{source, 9}});
      scene.pass(0s);
      CHECK(stale() == 6);
      CHECK(scene.is_fresh(chart_of(6)));
    }
    SUBCASE("what is published meanwhile from a dependant that is not reached yet is reached after it") {
      const auto at = scene.store.find(chart_of(6));
      REQUIRE(scene.is_fresh(chart_of(6)));
      const auto of_page = scene.ask_put(page, {{chart_of(6), scene.store.records.at(*at).version}});
      scene.pass(0s);
      CHECK(scene.is_stale(page));
      CHECK(scene.take<protocol::Published>(scene.a, of_page).stored);
    }
    SUBCASE("whoever asked may be gone by then") {
      scene.step(Disconnected{scene.a});
      scene.pass(0s);
      CHECK(stale() == 7);
      CHECK_FALSE(scene.has_reply(scene.a, of_put));
    }
    SUBCASE("the daemon may be about to end") {
      scene.step(Draining{});
      CHECK(scene.take<protocol::Published>(scene.a, of_put).stored);
    }
  }
  SUBCASE("of an invalidated key") {
    const auto asked = scene.ask(scene.admin, protocol::Invalidate{key_scope(source)});
    CHECK_FALSE(scene.has_reply(scene.admin, asked));
    SUBCASE("which is invalidated softly meanwhile: that is answered after them as well") {
      const auto softly = scene.ask(scene.b, protocol::Invalidate{key_scope(source), true});
      CHECK_FALSE(scene.has_reply(scene.b, softly));
      scene.pass(0s);
      CHECK(scene.take<protocol::Done>(scene.b, softly).count == 0);
    }
    SUBCASE("which is put anew meanwhile: that is newer") {
      const auto of_put = scene.ask(scene.b, protocol::Put{source, scene.value("new"), {.ttl_ms = 0}});
      CHECK_FALSE(scene.has_reply(scene.b, of_put));  // what was computed from the old one is not all gone yet
      scene.put_on(chart_of(6), {{source, of_source + 8}});
      scene.pass(0s);
      CHECK(scene.take<protocol::Published>(scene.b, of_put).version == of_source + 8);
      CHECK(scene.take<protocol::Done>(scene.admin, asked).count == 7);
      CHECK(scene.is_fresh(chart_of(6)));
    }
    SUBCASE("in turns of their own") {
      scene.pass(0s);
      CHECK(scene.take<protocol::Done>(scene.admin, asked).count == 8);
      CHECK(scene.store.records.empty());
    }
    SUBCASE("the daemon may be about to end") {
      scene.step(Draining{});
      CHECK(scene.refused(scene.admin, asked) == ErrorCode::unavailable);
    }
  }
  SUBCASE("of an invalidated function") {
    const auto asked = scene.ask(scene.admin, protocol::Invalidate{function_scope("source")});
    CHECK_FALSE(scene.has_reply(scene.admin, asked));
    scene.pass(0s);
    CHECK(scene.take<protocol::Done>(scene.admin, asked).count == 8);
    CHECK(scene.store.records.empty());
  }
  scene.pass(0s);
  CHECK_FALSE(scene.engine.next_deadline() == scene.now);
}

TEST_CASE("what a computation read while an invalidation was still dropping it is not kept (L6)") {
  Settings settings;
  settings.invalidated_per_step_max = 1;
  Dependent scene(settings);
  const std::uint64_t of_source = scene.put_source();
  for (int i = 0; i < 4; ++i) scene.put_on(key_of("chart", i), {{source, of_source}});
  const auto asked = scene.ask(scene.admin, protocol::Invalidate{key_scope(source)});
  const auto last = scene.store.find(key_of("chart", 3));
  REQUIRE(last);
  const std::uint64_t read = scene.store.records.at(*last).version;
  const auto token = scene.lease(scene.b, page);  // after the arrival
  scene.pass(0s);
  CHECK(scene.take<protocol::Done>(scene.admin, asked).count == 5);
  CHECK_FALSE(scene.publish_on(scene.b, token, {{key_of("chart", 3), read}}).stored);
}

TEST_CASE("who invalidates again what another one's invalidation is still busy with is answered after it (L6)") {
  Settings settings;
  settings.invalidated_per_step_max = 2;
  Dependent scene(settings);
  const std::uint64_t of_source = scene.put_source();
  for (int i = 0; i < 9; ++i) scene.put_on(key_of("chart", i), {{source, of_source}});
  const auto fresh = [&] {
    int count = 0;
    for (int i = 0; i < 9; ++i) count += scene.is_fresh(key_of("chart", i)) ? 1 : 0;
    return count;
  };
  bool soft = true;
  SUBCASE("softly, the same key") {}
  SUBCASE("hard, the same key") { soft = false; }
  const auto first = scene.ask(scene.a, protocol::Invalidate{key_scope(source), soft});
  REQUIRE_FALSE(scene.has_reply(scene.a, first));
  const auto second = scene.ask(scene.admin, protocol::Invalidate{key_scope(source), soft});
  for (int steps = 0; !scene.has_reply(scene.admin, second); ++steps) {
    REQUIRE(steps < 100);
    scene.step(Ticked{});
  }
  CHECK(fresh() == 0);
  scene.pass(0s);
  CHECK(scene.has_reply(scene.a, first));
}
// ---- bounds ---------------------------------------------------------------------------------------------------------

TEST_CASE("when no more can be recorded values go that were stored long ago, and that is counted and said") {
  Settings settings;
  SUBCASE("for their number") { settings.dependency_edges_max = 4; }
  SUBCASE("for the bytes of their keys") { settings.dependency_key_bytes_max = 4 * source.size(); }
  Dependent scene(settings);
  const std::uint64_t of_source = scene.put_source();
  for (int i = 0; i < 4; ++i) scene.put_on(key_of("chart", i), {{source, of_source}});
  CHECK(scene.notes.empty());
  CHECK(scene.put_on(key_of("chart", 4), {{source, of_source}}).stored);
  CHECK(scene.is_gone(key_of("chart", 0)));
  CHECK(scene.is_fresh(key_of("chart", 1)));
  CHECK(scene.explains(key_of("chart", 0), "because no more dependencies of values could be recorded"));
  CHECK(scene.counted("dependency_edges") == 4);
  CHECK(scene.counted("dependency_evictions") == 1);
  CHECK(scene.counted("limits_reached") == 1);
  CHECK(scene.notes.size() == 1);
  scene.put_source();
  for (int i = 1; i < 5; ++i) CHECK(scene.is_stale(key_of("chart", i)));
}

TEST_CASE("a value whose dependencies cannot be recorded is not kept, for an invalidation would not find it") {
  Settings settings;
  settings.dependency_edges_max = 2;
  Dependent scene(settings);
  const std::uint64_t of_source = scene.put_source();
  const auto token = scene.lease(scene.b, chart);
  auto tolerant = scene.acquire(chart);
  tolerant.accept_stale = true;
  const auto waiting = scene.ask(scene.c, tolerant);
  const auto strict = scene.ask(scene.a, scene.acquire(chart));
  const Upstreams three{{source, of_source}, {key_of("x"), 0}, {key_of("y"), 0}};
  const auto kept_not = scene.publish_on(scene.b, token, three);
  CHECK_FALSE(kept_not.stored);
  CHECK(kept_not.why == protocol::NotStored::upstreams_full);
  CHECK(kept_not.text.find("dependency_edges_max") != std::string::npos);
  // More memory would not help, and is not advised.
  CHECK(std::any_of(scene.notes.begin(), scene.notes.end(), [](const auto& note) { return note.find("more memory does not help") != std::string::npos; }));
  CHECK(std::none_of(scene.notes.begin(), scene.notes.end(), [](const auto& note) { return note.find("a larger segment") != std::string::npos; }));
  const auto told = scene.take<protocol::Value>(scene.c, waiting);
  CHECK(told.parts.at(0).bytes == "computed");
  CHECK(told.stale);  // of x and y there was none
  CHECK(scene.is_gone(chart));
  const auto again = scene.take<protocol::Lease>(scene.a, strict).token;
  CHECK_FALSE(scene.publish_on(scene.a, again, three).stored);
  CHECK(scene.explains(chart, "what it depends on cannot be recorded"));
  CHECK(scene.counted("dependency_edges") == 0);
}

TEST_CASE("memory of dependencies is given back in steps") {
  Settings settings;
  Dependent scene(settings);
  const std::uint64_t of_source = scene.put_source();
  for (int i = 0; i < 40; ++i) {
    Upstreams upstreams;
    for (int j = 0; j < 100; ++j) upstreams.push_back({source, of_source});
    scene.put_on(key_of("chart", i), upstreams);
  }
  CHECK(scene.counted("dependency_edges") == 4000);
  scene.ask(scene.admin, protocol::Invalidate{function_scope("chart")});
  CHECK(scene.counted("dependency_edges") >= 4000 - 1024);
  CHECK(scene.counted("dependency_edges") < 4000);
  scene.pass(0s);
  CHECK(scene.counted("dependency_edges") == 0);
  CHECK(scene.is_fresh(source));
  CHECK(scene.counted("keys_known") == 1);
}
