// What a computation is recorded to depend on.
#include "dependencies.hpp"

#include <doctest/doctest.h>

#include <onced/protocol/limits.hpp>

#include "connected.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

using List = std::vector<protocol::Dependency>;

const Key outer = key_named("outer");
const Key a = key_named("a");
const Key b = key_named("b");

protocol::Dependency on(const Key& key, std::uint64_t version) { return {std::string(key.bytes()), version}; }

// Two values are there, of versions 5 and 6.
struct Upstream : ConnectedClient {
  explicit Upstream(ClientOptions options = {}) : ConnectedClient(std::move(options)) {
    apples = space.place(a, "apples", {.version = 5});
    space.place(b, "bananas", {.version = 6});
  }
  auto computing(const std::function<void()>& inside, const ComputeOptions& options = {}) {
    return in_thread([this, inside, options] {
      return client->get_or_compute(outer, options, [&](Computation&) {
        inside();
        return std::string("computed");
      });
    });
  }
  engine::RecordRef apples{};
  // What is published to depend on by an outer computation that does this.
  List recorded(const std::function<void()>& inside, const ComputeOptions& options = {}) {
    const auto call = computing(inside, options);
    grant();
    const List list = expect_publish().retention.depends_on;
    CHECK(call->wait().ok());
    return list;
  }
};

}  // namespace

TEST_CASE("what a computation reads through its client it depends on: hits, each once") {
  Upstream c;
  CHECK(c.recorded([&] {
    CHECK(c.client->peek(a)->text() == "apples");
    CHECK(c.client->get(b.bytes()).ok());
    CHECK(c.client->wait(a.bytes()).ok());
    CHECK(c.client->acquire(a).ok());
    CHECK(c.client->get_or_compute(a, {}, [](Computation&) { return std::string(); }).ok());
    CHECK_FALSE(c.client->peek(key_named("absent")).has_value());
  }) == List{on(a, 5), on(b, 6)});
  CHECK(c.recorded([] {}).empty());
}

TEST_CASE("each way to read a value is recorded by itself") {
  Upstream c;
  CHECK(c.recorded([&] { CHECK(c.client->peek(a).has_value()); }) == List{on(a, 5)});
  CHECK(c.recorded([&] { CHECK(c.client->get(a.bytes()).ok()); }) == List{on(a, 5)});
  CHECK(c.recorded([&] { CHECK(c.client->wait(a.bytes()).ok()); }) == List{on(a, 5)});
  CHECK(c.recorded([&] { CHECK(c.client->acquire(a).ok()); }) == List{on(a, 5)});
  CHECK(c.recorded([&] { CHECK(c.client->get_or_compute(a, {}, [](Computation&) { return std::string(); }).ok()); }) == List{on(a, 5)});
}

TEST_CASE("a value that came from the daemon counts, and a stale one with the version it has") {
  Upstream c;
  const Key elsewhere = key_named("elsewhere");
  const Key stale = key_named("stale");
  c.space.store->set_time_ms(1000);
  c.space.place(stale, "old", {.fresh_until_ms = 900, .grace_ms = 1000, .refreshing = true, .version = 3});
  const auto call = c.computing([&] {
    CHECK(c.client->wait(elsewhere.bytes()).ok());
    CHECK(c.client->get_or_compute(stale, {}, [](Computation&) { return std::string(); })->stale());
  });
  c.grant();
  const auto asked = c.connection->expect<protocol::Acquire>();
  protocol::Value answer;
  answer.version = 9;
  answer.parts.push_back({"", "", "bytes"});
  c.connection->send(asked.id, answer);
  CHECK(c.expect_publish().retention.depends_on == List{on(stale, 3), on(elsewhere, 9)});
  CHECK(call->wait().ok());
}

TEST_CASE("a value that the reader itself refreshes counts with its new version alone") {
  Upstream c;
  const Key stale = key_named("stale");
  c.space.store->set_time_ms(1000);
  c.space.place(stale, "old", {.fresh_until_ms = 900, .grace_ms = 1000, .version = 3});
  const auto call = c.computing([&] { CHECK(c.client->get_or_compute(stale, {}, [](Computation&) { return std::string("new"); }).ok()); });
  c.grant();
  c.grant(protocol::LeaseCause::stale);
  CHECK(c.expect_publish(4).retention.depends_on.empty());
  CHECK(c.expect_publish().retention.depends_on == List{on(stale, 4)});
  CHECK(call->wait().ok());
}

TEST_CASE("of nested computations the innermost depends on what is read, and the outer one on the inner") {
  Upstream c;
  const Key inner = key_named("inner");
  const auto call = c.computing([&] {
    CHECK(c.client->peek(a).has_value());
    CHECK(c.client->get_or_compute(inner, {}, [&](Computation&) {
      CHECK(c.client->peek(b).has_value());
      return std::string("inner");
    }).ok());
  });
  c.grant();
  c.grant();
  CHECK(c.expect_publish(7).retention.depends_on == List{on(b, 6)});
  CHECK(c.expect_publish().retention.depends_on == List{on(a, 5), on(inner, 7)});
  CHECK(call->wait().ok());
}

TEST_CASE("an inner result that is not stored makes the outer one outdated") {
  Upstream c;
  const Key inner = key_named("inner");
  const auto call = c.computing([&] { CHECK(c.client->get_or_compute(inner, {}, [](Computation&) { return std::string("inner"); }).ok()); });
  c.grant();
  c.grant();
  const auto publish = c.connection->expect<protocol::Publish>();
  c.connection->send(publish.id, protocol::Published{7, false});  // it was invalidated meanwhile
  CHECK(c.expect_publish().retention.depends_on == List{on(inner, 0)});
  CHECK(call->wait().ok());
}

TEST_CASE("a result that is not stored says why, and advises what helps against that") {
  using protocol::NotStored;
  struct Case {
    NotStored why;
    ErrorCode code;
    const char* advice;
  };
  for (const Case& one : {Case{NotStored::upstream_invalidated, ErrorCode::unknown_token, "needs no mending: the next one who asks computes it"},
                          Case{NotStored::invalidated, ErrorCode::unknown_token, "needs no mending: the next one who asks computes it"},
                          Case{NotStored::superseded, ErrorCode::unknown_token, "whoever asks gets the other value"},
                          Case{NotStored::no_room, ErrorCode::out_of_memory, "setting memory"},
                          Case{NotStored::too_large, ErrorCode::out_of_memory, "setting memory"},
                          Case{NotStored::not_worth_it, ErrorCode::out_of_memory, "setting memory"},
                          Case{NotStored::session_full, ErrorCode::out_of_memory, ""},  // what happened names the setting
                          Case{NotStored::function_full, ErrorCode::out_of_memory, ""},
                          Case{NotStored::upstreams_full, ErrorCode::limit_reached, "record_dependencies"}}) {
    CAPTURE(one.advice);
    Upstream c;
    const auto call = c.computing([] {});
    c.grant();
    const auto publish = c.connection->expect<protocol::Publish>();
    c.connection->send(publish.id, protocol::Published{7, false, one.why, "what happened"});
    REQUIRE(call->wait().ok());
    const auto why = (*call->wait()).not_stored();
    REQUIRE(why.has_value());
    CHECK(why->code == one.code);
    CHECK(why->text.find("what happened") != std::string::npos);
    CHECK(why->text.find(one.advice) != std::string::npos);
    CHECK((why->text == "only those who waited have it: what happened") == std::string(one.advice).empty());
    const bool is_about_memory = why->text.find("setting memory") != std::string::npos;
    CHECK(is_about_memory == (std::string(one.advice) == "setting memory"));
    REQUIRE(c.warnings.size() == 1);
    CHECK(c.warnings[0].find("could not be kept for others: " + why->text) != std::string::npos);
  }
}

TEST_CASE("a computation does not depend on the value that it replaces") {
  Upstream c;
  c.space.place(outer, "old", {.version = 2});
  ComputeOptions options;
  options.force = true;
  options.depends_on = {outer};
  CHECK(c.recorded([&] { CHECK(c.client->peek(outer).has_value()); }, options).empty());
}

TEST_CASE("a key that was read in two versions counts as changed") {
  client_detail::Dependencies dependencies(outer.bytes());
  dependencies.add(a.bytes(), 5);
  dependencies.add(a.bytes(), 5);
  CHECK(dependencies.list() == List{on(a, 5)});
  dependencies.add(a.bytes(), 6);
  CHECK(dependencies.list() == List{on(a, 0)});
  dependencies.add(a.bytes(), 6);
  CHECK(dependencies.list() == List{on(a, 0)});
}

TEST_CASE("what another client or another thread reads is not recorded, nor what is read outside") {
  Upstream c;
  Upstream other;
  CHECK(c.client->peek(a).has_value());
  CHECK(c.recorded([&] {
    CHECK(other.client->peek(a).has_value());
    std::jthread([&] { CHECK(c.client->peek(a).has_value()); });
    CHECK(c.client->peek(b).has_value());
  }) == List{on(b, 6)});
}

TEST_CASE("what is read through one client counts for its computation, also inside of another client's") {
  Upstream c;
  ConnectedClient other;
  const auto call = c.computing([&] {
    CHECK(other.client->get_or_compute(key_named("g"), {}, [&](Computation&) {
      CHECK(c.client->peek(a).has_value());
      return std::string();
    }).ok());
  });
  c.grant();
  other.grant();
  CHECK(other.expect_publish().retention.depends_on.empty());
  CHECK(c.expect_publish().retention.depends_on == List{on(a, 5)});
  CHECK(call->wait().ok());
}

TEST_CASE("recording is off with one option; an inner computation without it records nothing for the outer one either") {
  Upstream c;
  ComputeOptions off;
  off.record_dependencies = false;
  CHECK(c.recorded([&] { CHECK(c.client->peek(a).has_value()); }, off).empty());
  const Key inner = key_named("inner");
  const auto call = c.computing([&] {
    CHECK(c.client->get_or_compute(inner, off, [&](Computation&) {
      CHECK(c.client->peek(b).has_value());
      return std::string("inner");
    }).ok());
  });
  c.grant();
  c.grant();
  CHECK(c.expect_publish(7).retention.depends_on.empty());
  CHECK(c.expect_publish().retention.depends_on == List{on(inner, 7)});
  CHECK(call->wait().ok());

  ClientOptions client_off;
  client_off.record_dependencies = false;
  Upstream quiet(client_off);
  CHECK(quiet.recorded([&] { CHECK(quiet.client->peek(a).has_value()); }).empty());
}

TEST_CASE("a lease of acquire() records until it ends, whichever thread ends it") {
  Upstream c;
  std::optional<Computation> computation;
  const auto holding = c.in_thread([&] {
    computation.emplace(std::get<Computation>(std::move(*c.client->acquire(outer))));
    CHECK(c.client->peek(a).has_value());
    std::jthread([&] { CHECK(computation->publish("computed").ok()); });
    // A second one in this thread has nothing of the first.
    CHECK(c.client->peek(b).has_value());
    auto next = std::get<Computation>(std::move(*c.client->acquire(key_named("next"))));
    return next.publish("computed").ok();
  });
  c.grant();
  CHECK(c.expect_publish().retention.depends_on == List{on(a, 5)});
  c.grant();
  CHECK(c.expect_publish().retention.depends_on.empty());
  CHECK(holding->wait());
}

TEST_CASE("keys that the caller names have the version of the computation's beginning") {
  Upstream c;
  ComputeOptions options;
  options.depends_on = {b, a};
  options.record_dependencies = false;
  CHECK(c.recorded([&] { c.space.place(a, "replaced", {.version = 8}, c.apples); }, options) == List{on(a, 5), on(b, 6)});
  options.record_dependencies = true;
  CHECK(c.recorded([&] { CHECK(c.client->peek(b).has_value()); }, options).size() == 2);
}

TEST_CASE("a named key that is not in memory is asked for; without a value it counts as changed unless the computation reads it") {
  Upstream c;
  const Key absent = key_named("absent");
  const Key known = key_named("known");
  ComputeOptions options;
  options.depends_on = {absent, known};
  const auto explain = [&](const Key& key, protocol::KeyState state, std::uint64_t version) {
    const auto asked = c.connection->expect<protocol::Explain>();
    CHECK(asked.message.key == key.bytes());
    protocol::Explanation answer;
    answer.row.key = asked.message.key;
    answer.row.state = state;
    answer.row.version = version;
    c.connection->send(asked.id, answer);
  };
  for (const bool reads : {false, true}) {
    const auto call = c.computing([&] {
      if (!reads) return;
      CHECK(c.client->get_or_compute(absent, {}, [](Computation&) { return std::string(); }).ok());
    }, options);
    c.grant();
    explain(absent, protocol::KeyState::absent, 3);
    explain(known, protocol::KeyState::ready, 4);
    if (reads) {
      c.grant();
      c.expect_publish(5);
    }
    CHECK(c.expect_publish().retention.depends_on == List{on(known, 4), on(absent, reads ? 5 : 0)});
    CHECK(call->wait().ok());
  }
}

TEST_CASE("a put depends on the versions of now, and not on itself") {
  Upstream c;
  PutOptions options;
  options.depends_on = {a, b};
  const auto call = c.in_thread([&] { return c.client->put(b.bytes(), "put", options); });
  const auto asked = c.connection->expect<protocol::Put>();
  CHECK(asked.message.retention.depends_on == List{on(a, 5)});
  c.connection->send(asked.id, protocol::Published{7, true});
  CHECK(call->wait().ok());
}

TEST_CASE("what is above the limits is left out, counted, and told once") {
  Upstream c;
  constexpr int many = static_cast<int>(limits::dependencies_max) + 44;
  for (int i = 0; i < many; ++i) c.space.place(key_named("many", i), "value");
  for (int round = 1; round <= 2; ++round) {
    CHECK(c.recorded([&] {
      for (int i = 0; i < many; ++i) CHECK(c.client->peek(key_named("many", i)).has_value());
    }).size() == limits::dependencies_max);
    CHECK(c.client->counters().dependencies_dropped == static_cast<std::uint64_t>(round) * 44);
    REQUIRE(c.warnings.size() == 1);
    CHECK(c.warnings[0].find("outer has read more values than can be recorded for one (256 keys") == 0);
  }
}

TEST_CASE("keys of 64 KiB together are recorded, not more") {
  client_detail::Dependencies dependencies(outer.bytes());
  std::size_t bytes = 0;
  for (int i = 0; i < 4; ++i) {
    const Key key = *KeyBuilder("long").add(i).add(std::string(20'000, 'x')).build();
    dependencies.add(key.bytes(), 1);
    if (i < 3) bytes += key.bytes().size();
  }
  CHECK(bytes < limits::dependencies_bytes_max);
  CHECK(dependencies.list().size() == 3);
  CHECK(dependencies.dropped() == 1);
  dependencies.add(a.bytes(), 1);  // a short one fits
  CHECK(dependencies.list().size() == 4);
}

TEST_CASE("versions of a daemon that was replaced meanwhile count as changed") {
  Upstream c;
  FakeNamespace successor(2);
  std::atomic<bool> read{false};
  std::atomic<bool> replaced{false};
  const auto call = c.computing([&] {
    CHECK(c.client->peek(a).has_value());
    read = true;
    wait_until([&] { return replaced.load(); }, "the successor");
  });
  c.grant();
  wait_until([&] { return read.load(); }, "the computation to read");
  c.space.die();
  c.connection->close();
  replaced = true;
  c.connection.emplace(c.daemon.welcome(successor));
  const auto asked = c.connection->expect<protocol::Acquire>();
  c.connection->send(asked.id, protocol::Lease{{2, 1}, 1000, false, protocol::LeaseCause::absent});
  CHECK(c.expect_publish().retention.depends_on == List{on(a, 0)});
  CHECK(call->wait().ok());
}
