// Results that are to survive a crash: what callers say, and what they hear.
#include <doctest/doctest.h>

#include <onced/memoize.hpp>

#include "connected.hpp"
#include "one_key.hpp"
#include "support/contains.hpp"

using namespace onced;
using namespace onced::testing;
using namespace std::chrono_literals;

namespace {

ComputeOptions durable() {
  ComputeOptions options;
  options.durable = true;
  return options;
}

// Of a computation that is published, and answered so.
Value computed(ConnectedClient& c, const ComputeOptions& options, const protocol::Published& answer, std::optional<Key> upstream = {}) {
  const auto call = c.in_thread([&c, options, upstream] {
    return c.client->get_or_compute(f_key, options, [&](Computation&) {
      if (upstream) static_cast<void>(c.client->peek(*upstream));
      return std::string("value");
    });
  });
  c.grant();
  const auto publish = c.connection->expect<protocol::Publish>();
  CHECK(publish.message.retention.durable == options.durable);
  c.connection->send(publish.id, answer);
  auto value = std::move(call->wait());
  REQUIRE(value.ok());
  return std::move(*value);
}

}  // namespace

TEST_CASE("durable reaches the daemon with computations, memoized functions and puts, when it is said") {
  ConnectedClient c;
  CHECK_FALSE(computed(c, durable(), {.version = 1, .stored = true, .durable = true}).not_durable());
  CHECK_FALSE(computed(c, ComputeOptions(), {.version = 2, .stored = true}).not_durable());  // nobody asked for it
  MemoizeOptions options;
  options.compute.durable = true;
  const auto function = memoize(*c.client, "f", [](int number) { return number; }, options);
  const auto call = c.in_thread([&] { return function(1); });
  c.grant();
  CHECK(c.expect_publish().retention.durable);
  CHECK(call->wait().ok());
  for (const bool said : {false, true}) {
    PutOptions put;
    put.durable = said;
    const auto putting = c.in_thread([&] { return c.client->put(f_key.bytes(), "value", put); });
    const auto asked = c.connection->expect<protocol::Put>();
    CHECK(asked.message.retention.durable == said);
    c.connection->send(asked.id, protocol::Published{.version = 5, .stored = true, .durable = said});
    CHECK(*putting->wait() == 5);
  }
}

TEST_CASE("a result that could not be made durable is its caller's all the same, says so, and the operator hears of it once") {
  ConnectedClient c;
  const protocol::Published in_memory{.version = 3, .stored = true, .durable = false};
  const Value value = computed(c, durable(), in_memory);
  CHECK(value.text() == "value");
  CHECK(value.version() == 3);
  CHECK_FALSE(value.not_stored());
  REQUIRE(value.not_durable());
  CHECK(value.not_durable()->code == ErrorCode::not_durable);
  CHECK(contains(value.not_durable()->text, "oncectl disk status"));
  CHECK(computed(c, durable(), in_memory).not_durable());
  {
    const std::lock_guard lock(c.mutex);
    REQUIRE(c.warnings.size() == 1);
    CHECK(contains(c.warnings[0], "a result of f was to be durable"));
  }
  CHECK_FALSE(computed(c, durable(), {.version = 4, .stored = true, .durable = true}).not_durable());
  CHECK(computed(c, durable(), in_memory).not_durable());  // another run of them
  const std::lock_guard lock(c.mutex);
  CHECK(c.warnings.size() == 2);
}

TEST_CASE("what is not stored is not durable either") {
  ConnectedClient c;
  const Value value = computed(c, durable(), {.version = 3, .stored = false});
  REQUIRE(value.not_stored());
  REQUIRE(value.not_durable());
  CHECK(value.not_durable()->code == ErrorCode::not_durable);
  CHECK(contains(value.not_durable()->text, value.not_stored()->text));
}

TEST_CASE("the reason is told where it is known here: a value that depends on others") {
  ConnectedClient c;
  const Key upstream = key_named("upstream");
  c.space.place(upstream, "read");
  const Value value = computed(c, durable(), {.version = 3, .stored = true}, upstream);
  REQUIRE(value.not_durable());
  CHECK(contains(value.not_durable()->text, "depends on others"));
}

TEST_CASE("a put that is stored and not durable ends with not_durable; one that is not stored as ever") {
  ConnectedClient c;
  PutOptions options;
  options.durable = true;
  const auto put = [&](const protocol::Published& answer) {
    const auto putting = c.in_thread([&] { return c.client->put(f_key.bytes(), "value", options); });
    const auto asked = c.connection->expect<protocol::Put>();
    c.connection->send(asked.id, answer);
    return putting->wait();
  };
  CHECK(*put({.version = 1, .stored = true, .durable = true}) == 1);
  CHECK(put({.version = 2, .stored = true}).error().code == ErrorCode::not_durable);
  CHECK(*put({.version = 3, .stored = false}) == 0);
}

TEST_CASE("an invalidation that the disk does not keep is an error that says so") {
  ConnectedClient c;
  const auto dropping = c.in_thread([&] { return c.client->invalidate(f_key.bytes()); });
  const auto asked = c.connection->expect<protocol::Invalidate>();
  c.connection->send(asked.id, protocol::Refused{ErrorCode::not_durable, "the disk fails"});
  CHECK(dropping->wait().error().code == ErrorCode::not_durable);
  CHECK(dropping->wait().error().text == "the disk fails");
}

TEST_CASE("whoever waits for the disk waits longer than for the daemon, which is asked meanwhile whether it is there") {
  ClientOptions of_client;
  of_client.request_timeout = 1s;
  of_client.disk_timeout = 1h;
  ConnectedClient c(of_client);
  PutOptions options;
  options.durable = true;
  const auto putting = c.in_thread([&] { return c.client->put(f_key.bytes(), "value", options); });
  const auto asked = c.connection->expect<protocol::Put>();
  // Longer than the time in which it would have to answer at once.
  for (int ping = 0; ping < 3; ++ping) {
    const auto is_there = c.connection->expect<protocol::Unsubscribe>();
    c.connection->send(is_there.id, protocol::Done{});
  }
  c.connection->send(asked.id, protocol::Published{.version = 5, .stored = true, .durable = true});
  CHECK(*putting->wait() == 5);
}

TEST_CASE("so does whoever gets a value that is read from disk, and whoever drops one; a daemon that is silent is given no longer than ever") {
  ClientOptions of_client;
  of_client.request_timeout = 1s;
  of_client.disk_timeout = 1h;
  ConnectedClient c(of_client);
  const auto slowly = [&](auto asked, const protocol::Reply& reply) {
    for (int ping = 0; ping < 3; ++ping) {
      const auto is_there = c.connection->expect<protocol::Unsubscribe>();
      c.connection->send(is_there.id, protocol::Done{});
    }
    c.connection->send(asked.id, reply);
  };
  const auto getting = c.in_thread([&] { return c.client->get(f_key.bytes()); });
  slowly(c.connection->expect<protocol::Acquire>(), protocol::Value{.version = 7, .parts = {{"", "", "from disk"}}});
  const auto& got = getting->wait();
  REQUIRE((got.ok() && got->has_value()));
  CHECK((*got)->text() == "from disk");
  const auto dropping = c.in_thread([&] { return c.client->invalidate(f_key.bytes()); });
  slowly(c.connection->expect<protocol::Invalidate>(), protocol::Done{1});
  CHECK(*dropping->wait() == 1);
  const auto unanswered = c.in_thread([&] { return c.client->invalidate(f_key.bytes()); });
  CHECK(unanswered->wait().error().code == ErrorCode::unavailable);  // or it would take an hour
}

TEST_CASE("the disk of a namespace is asked for what it is, and cleared") {
  ConnectedClient c;
  const auto looking = c.in_thread([&] { return c.client->disk(protocol::DiskAction::verify); });
  const auto asked = c.connection->expect<protocol::Disk>();
  CHECK(asked.message.action == protocol::DiskAction::verify);
  c.connection->send(asked.id, protocol::DiskReport{{{"values", std::uint64_t{7}}}});
  CHECK(looking->wait()->front() == std::pair<std::string, protocol::Number>{"values", std::uint64_t{7}});
  const auto clearing = c.in_thread([&] { return c.client->clear_disk(); });
  const auto clear = c.connection->expect<protocol::Disk>();
  CHECK(clear.message.action == protocol::DiskAction::clear);
  c.connection->send(clear.id, protocol::Done{3});
  CHECK(*clearing->wait() == 3);
  CHECK(c.client->disk(protocol::DiskAction::clear).error().code == ErrorCode::invalid_argument);
  CHECK(c.unasked());
}

TEST_CASE("whoever has no time to wait gives the disk half of what an answer may take, and hears from the daemon that it was not enough") {
  ConnectedClient c;
  ComputeOptions options;
  options.wait_timeout = Milliseconds(0);
  const auto computing = c.in_thread([&] { return c.client->acquire(f_key, options); });
  const auto asked = c.connection->expect<protocol::Acquire>();
  CHECK(asked.message.wait_ms == 0);
  CHECK(asked.message.load_ms == 50);  // an answer has 100 ms at least
  c.connection->send(asked.id, protocol::Refused{ErrorCode::timed_out, "it is being read"});
  CHECK(computing->wait().error().code == ErrorCode::timed_out);
}

TEST_CASE("whoever gets a value that the disk does not bring in time is told so: that is no miss") {
  ClientOptions of_client;
  of_client.request_timeout = 500ms;  // before it asks whether the daemon is alive
  of_client.disk_timeout = 500ms;
  ConnectedClient c(of_client);
  const auto getting = c.in_thread([&] { return c.client->get(f_key.bytes()); });
  const auto asked = c.connection->expect<protocol::Acquire>();
  CHECK(asked.message.wait_ms == 0);
  CHECK(asked.message.load_ms == 1'000);  // the daemon does not give up before the caller does
  for (bool gave_up = false; !gave_up;) {
    const auto [id, request] = c.connection->next_request();
    if (const auto* withdraw = std::get_if<protocol::Withdraw>(&request)) {
      CHECK(withdraw->target == asked.id);
      gave_up = true;
    } else {
      REQUIRE(std::holds_alternative<protocol::Unsubscribe>(request));
      c.connection->send(id, protocol::Done{});
    }
  }
  const auto& got = getting->wait();
  REQUIRE_FALSE(got.ok());
  CAPTURE(got.error().text);
  CHECK(got.error().code == ErrorCode::timed_out);
  CHECK(got.error().text.find("still being read from disk after 500 ms") != std::string::npos);
  // Somebody computes it, or nobody has it: those are misses.
  for (const ErrorCode code : {ErrorCode::timed_out, ErrorCode::not_found}) {
    const auto missing = c.in_thread([&] { return c.client->get(f_key.bytes()); });
    c.connection->send(c.connection->expect<protocol::Acquire>().id, protocol::Refused{code, "no"});
    CHECK(missing->wait().ok());
  }
}
