// Values on disk that were computed from others: they come back only while what they were computed from is what it was, and whatever means one of
// that finds them afterwards.
#include <onced/protocol/session.hpp>

#include "fake_disk.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {

const std::string source = key_of("source");
const std::string chart = key_of("chart");
const std::string page = key_of("page");

using Upstreams = std::vector<protocol::Dependency>;

struct DerivedStage : DiskScene {
  explicit DerivedStage(FakeDisk& its_disk, std::uint64_t epoch = 7) : DiskScene(its_disk, epoch) {}
  DerivedStage(FakeDisk& its_disk, Settings with) : DiskScene(its_disk, std::move(with)) {}

  RequestId ask_put(const std::string& key, Upstreams upstreams, std::vector<std::string> tags = {}, bool retire_older = false) {
    return ask(a, protocol::Put{key, value("of " + std::to_string(settings.epoch)),
                                {.ttl_ms = 0, .grace_ms = 60'000, .tags = std::move(tags), .depends_on = std::move(upstreams), .retire_older = retire_older}});
  }
  std::uint64_t put_on(const std::string& key, Upstreams upstreams, std::vector<std::string> tags = {}, bool retire_older = false) {
    const RequestId asked = ask_put(key, std::move(upstreams), std::move(tags), retire_older);
    deliver();
    return take<protocol::Published>(a, asked).version;
  }
  // source <- chart <- page
  void make_chain(std::vector<std::string> tags = {}) {
    const std::uint64_t of_source = put_on(source, {}, std::move(tags));
    const std::uint64_t of_chart = put_on(chart, {{source, of_source}});
    put_on(page, {{chart, of_chart}});
  }
  // Memory loses all that it has.
  void lose_memory() {
    store.records_max = 1;
    put(admin, key_of("filler", ++last_filler), "filler");
    store.records_max = 1000;
    deliver();
    REQUIRE(store.records.size() == 1);
  }
  // The version that is found in memory or on disk, 0: it would have to be computed.
  std::uint64_t find(const std::string& key) {
    const RequestId asked = ask(b, get(key));
    deliver();
    const auto& replies = inbox[{b, asked}];
    REQUIRE(!replies.empty());
    const auto* const found = std::get_if<protocol::Value>(&replies.front());
    return found == nullptr || found->stale ? 0 : found->version;
  }
  // Its load is called and does not end yet.
  RequestId begin_load(const std::string& key) {
    const std::size_t before = disk.loads;
    const RequestId asked = ask(b, get(key));
    REQUIRE(disk.loads == before + 1);
    return asked;
  }
  bool is_refused(RequestId asked) { return std::holds_alternative<protocol::Refused>(inbox[{b, asked}].at(0)); }
  void invalidate(protocol::Scope scope, bool soft = false) {
    const RequestId asked = ask(admin, protocol::Invalidate{std::move(scope), soft});
    pass(10ms);
    deliver();
    pass(10ms);
    take<protocol::Done>(admin, asked);
  }
  bool is_fresh(const std::string& key) const { return store.visible(key); }
  bool is_gone(const std::string& key) const { return !store.find(key); }
};

// Left by a daemon that was killed.
struct Left {
  explicit Left(FakeDisk& disk, std::vector<std::string> tags = {}) {
    DerivedStage before(disk, 7);
    before.make_chain(std::move(tags));
  }
};

}  // namespace

// ---- what is written ------------------------------------------------------------------------------------------------

TEST_CASE("a derived value is written with all that it was computed from, over all steps, with their tags") {
  FakeDisk disk;
  DerivedStage stage(disk);
  stage.make_chain({"blue", "round"});
  REQUIRE(disk.values.contains(page));
  std::vector<DiskUpstream> named = disk.values.find(page)->second.value.upstreams;
  std::sort(named.begin(), named.end(), [](const DiskUpstream& x, const DiskUpstream& y) { return x.identity.version < y.identity.version; });
  const std::vector<DiskUpstream> expected{{source, {7, disk.values.find(source)->second.value.version}, {"blue", "round"}},
                                           {chart, {7, disk.values.find(chart)->second.value.version}, {}}};
  CHECK(named == expected);
  CHECK(disk.values.find(source)->second.value.upstreams.empty());
}

TEST_CASE("a durable derived value is answered as such") {
  FakeDisk disk;
  DerivedStage stage(disk);
  const std::uint64_t version = stage.put_on(source, {});
  const RequestId asked = stage.ask(stage.a, protocol::Put{chart, Scene::value("x"), {.ttl_ms = 0, .depends_on = {{source, version}}, .durable = true}});
  CHECK_FALSE(stage.has_reply(stage.a, asked));
  stage.deliver();
  CHECK(stage.take<protocol::Published>(stage.a, asked).durable);
}

TEST_CASE("what could never be read again is not written, and takes with it what was there") {
  FakeDisk disk;
  DerivedStage stage(disk);
  const std::uint64_t version = stage.put_on(source, {});
  const auto is_written_on = [&](Upstreams upstreams) {
    stage.put_on(page, {});
    REQUIRE(disk.values.contains(page));
    stage.put_on(page, std::move(upstreams));
    return disk.values.contains(page);
  };
  CHECK(is_written_on({{source, version}}));
  disk.values.erase(source);  // evicted there
  CHECK_FALSE(is_written_on({{source, version}}));
  const std::uint64_t again = stage.put_on(source, {});
  CHECK(is_written_on({{source, again}}));
  CHECK_FALSE(is_written_on({{key_of("that nobody has"), 0}}));  // stale from the first moment
}

TEST_CASE("one that depends on more than a record may name, over all steps, is not written") {
  FakeDisk disk;
  DerivedStage stage(disk);
  Upstreams most;
  for (int i = 0; i < static_cast<int>(limits::disk_upstreams_max); ++i) most.push_back({key_of("part", i), stage.put_on(key_of("part", i), {})});
  const std::uint64_t of_all = stage.put_on(chart, most);
  CHECK(disk.values.contains(chart));
  stage.put_on(page, {{chart, of_all}});  // one more: itself
  CHECK_FALSE(disk.values.contains(page));
  most.pop_back();
  const std::uint64_t fewer = stage.put_on(chart, most);
  stage.put_on(page, {{chart, fewer}});
  CHECK(disk.values.contains(page));
}

TEST_CASE("names that take too much room are not written") {
  FakeDisk disk;
  DerivedStage stage(disk);
  const auto long_key = [](int number) { return std::string(KeyBuilder("part").add(number).add(std::string(4'000, 'x')).build().value().bytes()); };
  Upstreams upstreams;
  for (int i = 0; i < 4; ++i) upstreams.push_back({long_key(i), stage.put_on(long_key(i), {})});
  stage.put_on(chart, upstreams);
  CHECK(disk.values.contains(chart));
  upstreams.push_back({long_key(4), stage.put_on(long_key(4), {})});
  stage.put_on(chart, upstreams);
  CHECK_FALSE(disk.values.contains(chart));
}

TEST_CASE("a value that was computed from its own key's former one, by way of another, is not written") {
  FakeDisk disk;
  DerivedStage stage(disk);
  const std::uint64_t first = stage.put_on(chart, {});
  const std::uint64_t of_page = stage.put_on(page, {{chart, first}});
  stage.put_on(chart, {{page, of_page}});
  CHECK_FALSE(disk.values.contains(chart));
}

// ---- what comes back ------------------------------------------------------------------------------------------------

TEST_CASE("after a restart it comes back, in whatever order, and every value of the chain makes stale what hangs on it") {
  const std::vector<std::vector<std::string>> orders{{page}, {page, chart, source}, {source, chart, page}, {chart, page}, {page, source}, {source, page}, {page, chart}};
  for (const std::vector<std::string>& order : orders) {
    for (const std::string& changed : {source, chart}) {
      for (const bool soft : {false, true}) {
        FakeDisk disk;
        const Left left(disk);
        DerivedStage stage(disk, 8);
        for (const std::string& key : order) CHECK(stage.find(key) != 0);
        for (const std::string& key : order) CHECK(stage.is_fresh(key));
        if (soft) stage.put_on(changed, {});
        else stage.invalidate(key_scope(changed));
        CHECK_FALSE(stage.is_fresh(page));
        if (!soft) CHECK(stage.is_gone(page));
        const bool has_chart = std::find(order.begin(), order.end(), chart) != order.end();
        if (changed == source && has_chart) CHECK_FALSE(stage.is_fresh(chart));
        stage.lose_memory();
        CHECK(stage.find(page) == 0);
        CHECK(stage.find(chart) == (changed == chart && soft ? disk.values.find(chart)->second.value.version : 0));
      }
    }
  }
}

TEST_CASE("under the daemon that wrote it it comes back under its version, and hangs on what it was computed from") {
  FakeDisk disk;
  DerivedStage stage(disk);
  stage.make_chain();
  const std::uint64_t version = disk.values.find(page)->second.value.version;
  stage.lose_memory();
  CHECK(stage.find(page) == version);
  CHECK(stage.says(page, "depends on 2 values"));
  CHECK(stage.says(source, "its value is on disk"));
  CHECK(stage.says(source, "1 value was computed from it"));
  stage.put_on(source, {});
  CHECK_FALSE(stage.is_fresh(page));
}

TEST_CASE("what was replaced, invalidated, made stale, evicted or has expired before the load takes with it what was computed from it") {
  for (const std::string& changed : {source, chart}) {
    for (int how = 0; how < 8; ++how) {
      CAPTURE(how);
      FakeDisk disk;
      const Left left(disk, {"blue"});
      DerivedStage stage(disk, 8);
      switch (how) {
        case 0: stage.put_on(changed, {}); break;
        case 1: stage.invalidate(key_scope(changed)); break;
        case 2: stage.invalidate(key_scope(changed), true); break;
        case 3: stage.invalidate(function_scope(changed == source ? "source" : "chart")); break;
        case 4: stage.invalidate(tag_scope("blue")); break;
        case 5: disk.values.erase(changed); break;
        case 6: disk.values.find(changed)->second.value.version += 1; break;
        case 7: disk.values.find(changed)->second.value.epoch += 1; break;
        default: break;
      }
      CHECK(stage.find(page) == 0);
      CHECK_FALSE(disk.values.contains(page));
    }
  }
}

TEST_CASE("nothing that was computed from a value that a newer version has retired comes back, and what is there is stale") {
  const auto version_of = [](const std::string& version) { return std::string(KeyBuilder("model", version).add(1).build().value().bytes()); };
  for (const bool is_in_memory : {false, true}) {
    FakeDisk disk;
    {
      DerivedStage before(disk, 7);
      before.put_on(chart, {{version_of("1"), before.put_on(version_of("1"), {})}});
    }
    DerivedStage stage(disk, 8);
    if (is_in_memory) CHECK(stage.find(chart) != 0);
    stage.put_on(version_of("2"), {}, {}, true);
    CHECK(stage.find(chart) == 0);
    CHECK_FALSE(stage.is_fresh(chart));
  }
}

// ---- what happens while it is read ----------------------------------------------------------------------------------

TEST_CASE("what happens to an upstream while the value is read makes it a miss, whether memory has that or not") {
  for (const std::string& changed : {source, chart}) {
    for (const bool is_in_memory : {false, true}) {
      for (int how = 0; how < 6; ++how) {
        CAPTURE(how);
        CAPTURE(is_in_memory);
        FakeDisk disk;
        const Left left(disk, {"blue"});
        DerivedStage stage(disk, 8);
        if (is_in_memory) CHECK(stage.find(changed) != 0);
        const RequestId asked = stage.begin_load(page);
        switch (how) {
          case 0: stage.ask_put(changed, {}); break;
          case 1: stage.ask(stage.admin, protocol::Invalidate{key_scope(changed), false}); break;
          case 2: stage.ask(stage.admin, protocol::Invalidate{key_scope(changed), true}); break;
          case 3: stage.ask(stage.admin, protocol::Invalidate{function_scope(changed == source ? "source" : "chart"), true}); break;
          case 4: stage.ask(stage.admin, protocol::Invalidate{tag_scope("blue"), false}); break;
          case 5:
            disk.values.erase(changed);  // evicted there when the load had looked; then there is nothing to be dropped
            stage.ask(stage.admin, protocol::Invalidate{key_scope(changed), false});
            break;
          default: break;
        }
        stage.deliver_loads();  // of before
        CHECK(stage.is_refused(asked));
        CHECK(stage.is_gone(page));
        stage.deliver();
        CHECK(stage.find(page) == 0);
      }
    }
  }
}

TEST_CASE("what happens to others meanwhile, or to memory alone, does not") {
  FakeDisk disk;
  const Left left(disk);
  DerivedStage stage(disk, 8);
  CHECK(stage.find(source) != 0);
  CHECK(stage.find(chart) != 0);
  const RequestId asked = stage.begin_load(page);
  stage.put(stage.a, key_of("other"), "x");
  stage.ask(stage.admin, protocol::Invalidate{key_scope(key_of("another")), false});
  stage.store.records_max = 1;  // both upstreams go from memory
  stage.put(stage.admin, key_of("filler"), "filler");
  stage.store.records_max = 1000;
  CHECK(stage.is_gone(source));
  stage.deliver();
  CHECK_FALSE(stage.is_refused(asked));
  CHECK(stage.is_fresh(page));
  stage.put_on(source, {});
  CHECK_FALSE(stage.is_fresh(page));
}

TEST_CASE("with more changes under way than are remembered for loads, one that began before them is a miss") {
  FakeDisk disk;
  const Left left(disk);
  DerivedStage stage(disk, 8);
  const RequestId asked = stage.begin_load(page);
  stage.store.records_max = 16;
  for (std::size_t i = 0; i <= limits::disk_changes_max; ++i) stage.put(stage.a, key_of("other", static_cast<int>(i)), "x");
  stage.deliver_loads();
  CHECK(stage.is_refused(asked));
}

// ---- standing for copies --------------------------------------------------------------------------------------------

TEST_CASE("an upstream that is on disk only is found by its key, its function, its tag and everything, and so is what was computed from it") {
  const std::vector<protocol::Scope> scopes{key_scope(source), function_scope("source"), tag_scope("blue"), everything()};
  for (const protocol::Scope& scope : scopes) {
    for (const bool soft : {false, true}) {
      CAPTURE(static_cast<int>(scope.kind));
      FakeDisk disk;
      const Left left(disk, {"blue"});
      DerivedStage stage(disk, 8);
      CHECK(stage.find(page) != 0);
      stage.invalidate(scope, soft);
      CHECK_FALSE(stage.is_fresh(page));
      if (!soft) CHECK(stage.is_gone(page));
      stage.lose_memory();
      CHECK(stage.find(page) == 0);
    }
  }
}

TEST_CASE("it goes with the last value that hangs on it") {
  FakeDisk disk;
  const Left left(disk, {"blue"});
  DerivedStage stage(disk, 8);
  CHECK(stage.find(page) != 0);
  CHECK(stage.engine.tags_of(source) == std::vector<std::string>{"blue"});
  stage.lose_memory();
  stage.pass(10ms);
  CHECK(stage.engine.tags_of(source).empty());
  CHECK(stage.counted("dependency_edges") == 0);
}

TEST_CASE("who names a version that only stands for a copy has not read it here: the value is stale at once") {
  FakeDisk disk;
  DerivedStage stage(disk);
  stage.make_chain();
  const std::uint64_t of_chart = disk.values.find(chart)->second.value.version;
  stage.lose_memory();
  stage.pass(10ms);
  CHECK(stage.find(page) != 0);
  const std::string late = key_of("late");
  stage.put_on(late, {{chart, of_chart}});  // the graph does not know any more that the chart hangs on the source
  CHECK_FALSE(stage.is_fresh(late));
  CHECK_FALSE(disk.values.contains(late));
}

TEST_CASE("a copy that is read again has the version that it was given before, so that what hangs on it is found") {
  const std::string wide(KeyBuilder("wide").add(std::string(1'000, 'x')).build().value().bytes());  // so that it goes first, and is enough
  const std::string own = key_of("own");
  const std::string later = key_of("later");
  FakeDisk disk;
  {
    DerivedStage before(disk, 7);
    before.put_on(wide, {});
  }
  DerivedStage stage(disk, 8);
  const std::uint64_t version = stage.find(wide);
  stage.put_on(own, {{wide, version}});
  for (int uses = 0; uses < 20; ++uses) CHECK(stage.find(own) != 0);
  stage.store.records_max = 2;
  stage.put(stage.admin, key_of("filler"), "filler");
  stage.store.records_max = 1000;
  REQUIRE(stage.is_gone(wide));
  REQUIRE(stage.is_fresh(own));
  CHECK(stage.find(wide) == version);
  stage.put_on(later, {{wide, version}});
  CHECK(stage.is_fresh(later));
  stage.put_on(wide, {});
  CHECK_FALSE(stage.is_fresh(own));
  CHECK_FALSE(stage.is_fresh(later));
}

TEST_CASE("what is computed from a value that an earlier daemon wrote names it as it is on disk, over any number of restarts") {
  FakeDisk disk;
  const Left left(disk);
  const DiskIdentity of_source{7, disk.values.find(source)->second.value.version};
  const std::string second = key_of("second");
  const std::string third = key_of("third");
  {
    DerivedStage stage(disk, 8);
    for (int i = 0; i < 5; ++i) stage.put_on(key_of("other"), {});  // numbers rise here, too
    const std::uint64_t version = stage.find(source);
    stage.put_on(second, {{source, version}});
    REQUIRE(disk.values.contains(second));
    CHECK(disk.values.find(second)->second.value.upstreams.at(0).identity == of_source);
  }
  {
    DerivedStage stage(disk, 9);
    const std::uint64_t version = stage.find(second);
    CHECK(version != 0);
    stage.put_on(third, {{second, version}});
    REQUIRE(disk.values.contains(third));
    CHECK(disk.values.find(third)->second.value.upstreams.size() == 2);
    CHECK(disk.values.find(third)->second.value.upstreams.at(1).identity == of_source);
  }
  DerivedStage stage(disk, 10);
  CHECK(stage.find(third) != 0);
  CHECK(stage.find(second) != 0);
  CHECK(stage.find(page) != 0);
  stage.put_on(source, {});
  for (const std::string& key : {second, third, page}) CHECK_FALSE(stage.is_fresh(key));
  stage.lose_memory();
  for (const std::string& key : {second, third, page}) CHECK(stage.find(key) == 0);
}

TEST_CASE("what was cleared from disk stays in memory, and what is computed from it is not written") {
  FakeDisk disk;
  DerivedStage stage(disk);
  stage.make_chain();
  stage.ask(stage.admin, protocol::Disk{protocol::DiskAction::clear});
  stage.deliver();
  CHECK(disk.values.empty());
  CHECK(stage.is_fresh(page));
  stage.put_on(key_of("late"), {{page, stage.find(page)}});
  CHECK(disk.values.empty());
  stage.put_on(source, {});
  CHECK_FALSE(stage.is_fresh(key_of("late")));
}

TEST_CASE("one that was stale in memory because of an upstream is not found again on disk as it was, nor after a restart") {
  FakeDisk disk;
  {
    DerivedStage stage(disk, 7);
    stage.make_chain();
    stage.put_on(source, {});
    CHECK_FALSE(stage.is_fresh(page));
    stage.lose_memory();
    CHECK(stage.find(page) == 0);
  }
  DerivedStage stage(disk, 8);
  CHECK(stage.find(page) == 0);
  CHECK(stage.find(chart) == 0);
  CHECK(stage.find(source) != 0);
}

// ---- room -----------------------------------------------------------------------------------------------------------

TEST_CASE("without room for what it was computed from it is told and not kept") {
  FakeDisk disk;
  const Left left(disk);
  Settings settings = DiskScene::with_epoch(8);
  settings.dependency_edges_max = 1;
  DerivedStage stage(disk, settings);
  CHECK(stage.find(page) != 0);
  CHECK(stage.is_gone(page));
  CHECK(stage.find(chart) != 0);
  CHECK(stage.is_fresh(chart));
}

TEST_CASE("one that memory cannot take leaves nothing behind, and tags of what others hang on stay") {
  FakeDisk disk;
  const Left left(disk, {"blue"});
  DerivedStage stage(disk, 8);
  stage.store.too_large = true;
  CHECK(stage.find(page) != 0);
  CHECK(stage.is_gone(page));
  stage.pass(10ms);
  CHECK(stage.counted("dependency_edges") == 0);
  stage.store.too_large = false;
  CHECK(stage.find(page) != 0);
  stage.store.too_large = true;
  CHECK(stage.find(source) != 0);
  CHECK(stage.is_gone(source));
  stage.store.too_large = false;
  stage.invalidate(tag_scope("blue"));
  CHECK(stage.is_gone(page));
}

// ---- sessions -------------------------------------------------------------------------------------------------------

TEST_CASE("a session's values may depend on each other and on shared ones; what depends on a session's and is not its own is not written") {
  FakeDisk disk;
  disk.with_sessions = true;
  std::string id;
  std::string own;
  std::string derived;
  {
    DerivedStage stage(disk, 7);
    const RequestId asked = stage.ask(stage.a, protocol::NewSession{});
    stage.deliver();
    const auto session = stage.take<protocol::SessionOpened>(stage.a, asked);
    id = session.id;
    own = std::string(KeyBuilder("own", {}, session.number).build().value().bytes());
    derived = std::string(KeyBuilder("derived", {}, session.number).build().value().bytes());
    const std::uint64_t of_source = stage.put_on(source, {});
    const std::uint64_t of_own = stage.put_on(own, {{source, of_source}});
    const std::uint64_t of_derived = stage.put_on(derived, {{own, of_own}});
    CHECK(disk.values.find(derived)->second.value.upstreams.size() == 2);
    stage.put_on(page, {{derived, of_derived}});
    CHECK_FALSE(disk.values.contains(page));
    const RequestId second = stage.ask(stage.a, protocol::NewSession{});
    stage.deliver();
    const auto other = stage.take<protocol::SessionOpened>(stage.a, second);
    const std::string of_other(KeyBuilder("own", {}, other.number).build().value().bytes());
    stage.put_on(of_other, {{derived, of_derived}});
    CHECK_FALSE(disk.values.contains(of_other));
  }
  for (const bool ends : {true, false}) {
    FakeDisk copy = disk;
    DerivedStage stage(copy, 8);
    stage.take<protocol::SessionOpened>(stage.b, stage.ask(stage.b, protocol::OpenSession{id}));
    stage.take<protocol::SessionOpened>(stage.a, stage.ask(stage.a, protocol::OpenSession{id}));
    CHECK(stage.find(derived) != 0);
    if (ends) {
      const RequestId asked = stage.ask(stage.a, protocol::EndSession{id});
      stage.pass(10ms);
      stage.deliver();
      stage.take<protocol::Done>(stage.a, asked);
      CHECK(stage.is_gone(derived));
      CHECK(copy.values.size() == 1);
    } else {
      stage.put_on(source, {});
      CHECK_FALSE(stage.is_fresh(derived));
      stage.lose_memory();
      CHECK(stage.find(derived) == 0);
      CHECK(stage.find(own) == 0);
    }
  }
}
