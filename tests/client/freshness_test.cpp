// Values past their time, and before it: who gets them, who asks, who computes.
#include <doctest/doctest.h>

#include "connected.hpp"
#include "one_key.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

constexpr std::uint64_t now_ms = 100'000;

constexpr FakeNamespace::Life stale{.fresh_until_ms = now_ms - 1, .grace_ms = 1000};
constexpr FakeNamespace::Life stale_and_refreshing{.fresh_until_ms = now_ms - 1, .grace_ms = 1000, .refreshing = true};
// So early that no draw wins, and so late that every draw does (to some parts in a billion).
constexpr FakeNamespace::Life early{.fresh_until_ms = now_ms + 60'000, .early_ms = 60'001};
constexpr FakeNamespace::Life nearly_stale{.fresh_until_ms = now_ms + 1, .early_ms = 0xffff'ffff};
constexpr FakeNamespace::Life nearly_stale_and_refreshing{.fresh_until_ms = now_ms + 1, .early_ms = 0xffff'ffff, .refreshing = true};

struct Aged : ConnectedClient {
  explicit Aged(const FakeNamespace::Life& life, ClientOptions options = {}) : ConnectedClient(std::move(options)) {
    space.store->set_time_ms(now_ms);
    space.place(f_key, "old", life);
  }
  Result<Value> get_or_compute(const ComputeOptions& options = {}) {
    return client->get_or_compute(f_key, options, [this](Computation&) {
      ++computed;
      pins_while_computing = space.pins_set();
      return std::string("new");
    });
  }
  auto computing(const ComputeOptions& options = {}) {
    return in_thread([this, options] { return get_or_compute(options); });
  }
  std::atomic<int> computed{0};
  std::atomic<std::size_t> pins_while_computing{0};
};

void check_old(const Value& value, bool is_stale) {
  CHECK(value.text() == "old");
  CHECK(value.stale() == is_stale);
  CHECK_FALSE(value.computed_here());
}

}  // namespace

TEST_CASE("a stale value that somebody refreshes is given at once, and nobody is asked") {
  Aged c(stale_and_refreshing);
  const auto value = c.get_or_compute();
  REQUIRE(value.ok());
  check_old(*value, true);
  CHECK(value->in_shared_memory());
  const auto acquired = c.client->acquire(f_key);
  REQUIRE(acquired.ok());
  check_old(std::get<Value>(*acquired), true);
  CHECK(c.unasked());
  CHECK(c.computed == 0);
  CHECK(c.client->counters().stale_hits == 2);
  CHECK(c.client->counters().hits == 2);
}

TEST_CASE("peek and get give a stale value and say so; they ask nobody to refresh it") {
  Aged c(stale);
  const auto peeked = c.client->peek(f_key);
  REQUIRE(peeked.has_value());
  check_old(*peeked, true);
  const auto got = c.client->get(f_key.bytes());
  REQUIRE(got.ok());
  check_old(**got, true);
  CHECK(c.unasked());
  CHECK(c.client->counters().stale_hits == 2);
}

TEST_CASE("past its grace a value is a miss") {
  Aged c(stale);
  c.space.store->set_time_ms(now_ms + 999);
  CHECK_FALSE(c.client->peek(f_key).has_value());
}

TEST_CASE("a stale value keeps saying so when it is moved, swapped or copied for want of a pin") {
  Aged c(stale_and_refreshing);
  std::vector<Value> views;
  for (std::size_t i = 0; i < 9; ++i) views.push_back(std::move(*c.client->peek(f_key)));
  CHECK_FALSE(views.back().in_shared_memory());
  for (const Value& view : views) CHECK(view.stale());
  Value other;
  CHECK_FALSE(other.stale());
  other.swap(views.front());
  CHECK(other.stale());
  CHECK_FALSE(views.front().stale());
}

TEST_CASE("who finds a stale value that nobody refreshes asks, and computes under the lease it gets") {
  Aged c(stale);
  const auto call = c.computing();
  const auto asked = c.connection->expect<protocol::Acquire>();
  CHECK(asked.message.accept_stale);
  CHECK_FALSE(asked.message.refresh);
  c.connection->send(asked.id, protocol::Lease{{1, 1}, 1000, false, protocol::LeaseCause::stale});
  CHECK(c.expect_publish().parts.at(0).bytes == "new");
  const auto& value = call->wait();
  REQUIRE(value.ok());
  CHECK(value->text() == "new");
  CHECK_FALSE(value->stale());
  CHECK(value->computed_here());
  CHECK(c.pins_while_computing == 0);  // the old value is let go first
  CHECK(c.client->counters().refreshes == 1);
  CHECK(c.client->counters().stale_hits == 0);
}

TEST_CASE("when another one got the lease the daemon's stale answer is the value") {
  Aged c(stale);
  const auto call = c.computing();
  const auto asked = c.connection->expect<protocol::Acquire>();
  protocol::Value answer;
  answer.version = 1;
  answer.parts.push_back({"", "", "old"});
  answer.stale = true;
  c.connection->send(asked.id, answer);
  REQUIRE(call->wait().ok());
  check_old(*call->wait(), true);
  CHECK(c.computed == 0);
  CHECK(c.client->counters().stale_hits == 1);
  CHECK(c.client->counters().refreshes == 0);
}

TEST_CASE("who accepts no stale value waits for the new one") {
  for (const auto& life : {stale, stale_and_refreshing}) {
    Aged c(life);
    ComputeOptions options;
    options.accept_stale = false;
    const auto call = c.computing(options);
    const auto asked = c.connection->expect<protocol::Acquire>();
    CHECK_FALSE(asked.message.accept_stale);
    CHECK_FALSE(asked.message.refresh);
    CHECK(asked.message.wait_ms > 0);
    protocol::Value answer;
    answer.parts.push_back({"", "", "another's"});
    answer.waited = true;
    c.connection->send(asked.id, answer);
    CHECK(call->wait()->text() == "another's");
    CHECK(c.client->counters().stale_hits == 0);
  }
}

TEST_CASE("a stale value that is not accepted is no answer when the daemon has none either") {
  Aged c(stale);
  ComputeOptions options;
  options.accept_stale = false;
  const auto call = c.computing(options);
  const auto asked = c.connection->expect<protocol::Acquire>();
  c.connection->send(asked.id, protocol::Failure{"no such fruit", 1});
  CHECK(call->wait().error().code == ErrorCode::computation_failed);
}

TEST_CASE("a forced computation looks at no stale value and takes none") {
  Aged c(stale);
  ComputeOptions options;
  options.force = true;
  const auto call = c.computing(options);
  const auto asked = c.connection->expect<protocol::Acquire>();
  CHECK(asked.message.force);
  CHECK_FALSE(asked.message.accept_stale);
  c.connection->send(asked.id, protocol::Refused{ErrorCode::timed_out, "pid 7 computes"});
  CHECK(call->wait().error().code == ErrorCode::timed_out);
}

TEST_CASE("a value in its early stretch is fresh; who wins the draw offers to refresh it") {
  Aged c(nearly_stale);
  const auto call = c.computing();
  const auto asked = c.connection->expect<protocol::Acquire>();
  CHECK(asked.message.refresh);
  CHECK(asked.message.accept_stale);
  c.connection->send(asked.id, protocol::Lease{{1, 1}, 1000, false, protocol::LeaseCause::ahead});
  c.expect_publish();
  CHECK(call->wait()->text() == "new");
  CHECK(c.client->counters().refreshes == 1);
}

TEST_CASE("who loses the draw, or sees that somebody is at it, has a fresh value and asks nobody") {
  for (const auto& life : {early, nearly_stale_and_refreshing}) {
    Aged c(life);
    const auto value = c.get_or_compute();
    REQUIRE(value.ok());
    check_old(*value, false);
    CHECK(c.unasked());
    CHECK(c.client->counters().stale_hits == 0);
  }
}

TEST_CASE("peek and wait take part in no draw") {
  Aged c(nearly_stale);
  check_old(*c.client->peek(f_key), false);
  const auto waited = c.client->wait(f_key.bytes());
  REQUIRE(waited.ok());
  check_old(*waited, false);
  CHECK(c.unasked());
}

TEST_CASE("with the daemon away the value at hand is the answer, in strict mode too; nothing is computed") {
  for (const auto& life : {stale, nearly_stale}) {
    for (const bool strict : {false, true}) {
      ClientOptions options;
      options.strict = strict;
      Aged c(life, options);
      c.daemon.stop_listening();
      c.connection->close();
      const auto value = c.get_or_compute();
      REQUIRE(value.ok());
      check_old(*value, life.grace_ms != 0);
      const auto acquired = c.client->acquire(f_key);
      REQUIRE(acquired.ok());
      check_old(std::get<Value>(*acquired), life.grace_ms != 0);
      CHECK(c.computed == 0);
      CHECK(c.client->counters().computed_locally == 0);
    }
  }
}

TEST_CASE("a refusal to refresh leaves the value at hand") {
  for (const auto& life : {stale, nearly_stale}) {
    Aged c(life);
    const auto call = c.computing();
    const auto asked = c.connection->expect<protocol::Acquire>();
    c.connection->send(asked.id, protocol::Refused{ErrorCode::limit_reached, "too many wait"});
    REQUIRE(call->wait().ok());
    check_old(*call->wait(), life.grace_ms != 0);
    CHECK(c.client->counters().stale_hits == (life.grace_ms != 0 ? 1 : 0));
  }
}

TEST_CASE("who refreshes sees its own failure") {
  Aged c(stale);
  const auto call = c.in_thread([&] {
    return c.client->get_or_compute(f_key, {}, [](Computation&) -> Result<std::string> { return Error{ErrorCode::not_found, "no such fruit"}; });
  });
  c.grant(protocol::LeaseCause::stale);
  CHECK(c.connection->expect<protocol::Fail>().message.text == "no such fruit");
  REQUIRE_FALSE(call->wait().ok());
  CHECK(call->wait().error().text == "no such fruit");
}

TEST_CASE("a mistake in the options is an error, whatever is at hand") {
  Aged c(stale);
  ComputeOptions options;
  options.ttl = Milliseconds(-1);
  CHECK(c.get_or_compute(options).error().code == ErrorCode::invalid_argument);
  CHECK(c.unasked());
}

TEST_CASE("wait takes a stale value only when it is told to") {
  Aged c(stale_and_refreshing);
  WaitOptions accepting;
  accepting.accept_stale = true;
  const auto stale_value = c.client->wait(f_key.bytes(), accepting);
  REQUIRE(stale_value.ok());
  check_old(*stale_value, true);
  CHECK(c.unasked());
  const auto call = c.in_thread([&] { return c.client->wait(f_key.bytes()); });
  const auto asked = c.connection->expect<protocol::Acquire>();
  CHECK_FALSE(asked.message.may_compute);
  CHECK_FALSE(asked.message.accept_stale);
  protocol::Value answer;
  answer.parts.push_back({"", "", "another's"});
  c.connection->send(asked.id, answer);
  CHECK(call->wait()->text() == "another's");
}

TEST_CASE("get takes a stale value unless it is told not to") {
  Aged c(stale);
  GetOptions options;
  options.accept_stale = false;
  const auto call = c.in_thread([&] { return c.client->get(f_key.bytes(), options); });
  const auto asked = c.connection->expect<protocol::Acquire>();
  CHECK_FALSE(asked.message.accept_stale);
  c.connection->send(asked.id, protocol::Refused{ErrorCode::not_found, "no such value"});
  REQUIRE(call->wait().ok());
  CHECK_FALSE(call->wait()->has_value());
}
