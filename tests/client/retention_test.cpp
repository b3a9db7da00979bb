// What callers say of how long a value is kept, as it goes to the daemon.
#include "retention.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <onced/memoize.hpp>
#include <onced/protocol/limits.hpp>

#include "connected.hpp"
#include "one_key.hpp"

using namespace onced;
using namespace onced::testing;
using namespace std::chrono_literals;

namespace {

ComputeOptions with(const std::function<void(ComputeOptions&)>& change) {
  ComputeOptions options;
  change(options);
  return options;
}

Error refused(const std::function<void(ComputeOptions&)>& change) {
  const auto retention = client_detail::retention_of(with(change));
  REQUIRE_FALSE(retention.ok());
  return retention.error();
}

std::vector<Key> keys(int count, std::size_t padding = 0) {
  std::vector<Key> keys;
  for (int i = 0; i < count; ++i) keys.push_back(*KeyBuilder("upstream").add(i).add(std::string(padding, 'x')).build());
  return keys;
}

}  // namespace

TEST_CASE("what is not said is as the daemon is configured; zero is something that is said") {
  CHECK(*client_detail::retention_of(ComputeOptions()) == protocol::Retention());
  const auto zero = *client_detail::retention_of(with([](auto& options) {
    options.ttl = 0s;
    options.grace = 0s;
    options.refresh_ahead = 0;
  }));
  CHECK(zero.ttl_ms == 0);
  CHECK(zero.grace_ms == 0);
  CHECK(zero.refresh_ahead_permille == 0);
}

TEST_CASE("times, beta, tags and retire_older go as they are said; a grace above the limit is cut") {
  const auto said = *client_detail::retention_of(with([](auto& options) {
    options.ttl = 5s;
    options.grace = std::chrono::hours(24 * 365);
    options.refresh_ahead = 1.5;
    options.tags = {"fruit", std::string(limits::tag_bytes_max, 't')};
    options.retire_older = true;
  }));
  CHECK(said.ttl_ms == 5000);
  CHECK(said.grace_ms == limits::grace_ms_max);
  CHECK(said.refresh_ahead_permille == 1500);
  CHECK(said.tags.size() == 2);
  CHECK(said.retire_older);
}

TEST_CASE("what the protocol does not take is refused, and the limit named") {
  CHECK(refused([](auto& o) { o.ttl = -5ms; }).text == "ttl of -5 ms is negative");
  CHECK(refused([](auto& o) { o.grace = -1ms; }).text == "grace of -1 ms is negative");
  for (const double beta : {-0.1, 1000.1, std::nan(""), std::numeric_limits<double>::infinity()}) {
    CHECK(refused([beta](auto& o) { o.refresh_ahead = beta; }).code == ErrorCode::invalid_argument);
  }
  const Error many = refused([](auto& o) { o.tags.assign(limits::tags_max + 1, "t"); });
  CHECK(many.code == ErrorCode::limit_reached);
  CHECK(many.text == "tags of a value: 17 > 16");
  const Error wide = refused([](auto& o) { o.tags = {std::string(limits::tag_bytes_max + 1, 't')}; });
  CHECK(wide.code == ErrorCode::too_large);
  CHECK(wide.text == "bytes of a tag: 129 > 128");
  CHECK(refused([](auto& o) { o.tags = {""}; }).text == "a tag without a name");
  CHECK(refused([](auto& o) { o.tags = {"\xff"}; }).text == "a tag is not UTF-8");
  CHECK(refused([](auto& o) { o.depends_on = keys(limits::dependencies_max + 1); }).text == "keys in depends_on: 257 > 256");
  CHECK(refused([](auto& o) { o.depends_on = keys(3, 30'000); }).code == ErrorCode::too_large);
  CHECK(client_detail::retention_of(with([](auto& o) { o.depends_on = keys(limits::dependencies_max); })).ok());
}

TEST_CASE("a call with options that are refused asks nobody") {
  ConnectedClient c;
  ComputeOptions options;
  options.tags = {""};
  const auto compute = [](Computation&) -> std::string {
    FAIL("called");
    return {};
  };
  CHECK(c.client->get_or_compute(f_key, options, compute).error().code == ErrorCode::invalid_argument);
  CHECK(c.client->acquire(f_key, options).error().code == ErrorCode::invalid_argument);
  ComputeOptions failing;
  failing.failure_ttl = -1s;
  CHECK(c.client->get_or_compute(f_key, failing, compute).error().text == "failure_ttl of -1000 ms is negative");
  PutOptions put;
  put.ttl = -1ms;
  CHECK(c.client->put(f_key.bytes(), "value", put).error().code == ErrorCode::invalid_argument);
  CHECK(c.client->invalidate_tag("").error().code == ErrorCode::invalid_argument);
  CHECK(c.client->invalidate_tag(std::string(limits::tag_bytes_max + 1, 't')).error().code == ErrorCode::too_large);
  CHECK(c.unasked());
}

TEST_CASE("a computation's and a put's retention reach the daemon, a memoized function's too") {
  ConnectedClient c;
  MemoizeOptions options;
  options.compute.ttl = 5s;
  options.compute.grace = 1min;
  options.compute.refresh_ahead = 1;
  options.compute.tags = {"fruit"};
  options.compute.retire_older = true;
  const auto function = memoize(*c.client, "f", [](int number) { return number; }, options);
  const auto call = c.in_thread([&] { return function(1); });
  c.grant();
  CHECK(c.expect_publish().retention == protocol::Retention{5000, 60'000, 1000, {"fruit"}, {}, true});
  CHECK(call->wait().ok());

  PutOptions put;
  put.ttl = 2s;
  put.tags = {"a", "b"};
  const auto putting = c.in_thread([&] { return c.client->put(f_key.bytes(), "value", put); });
  const auto asked = c.connection->expect<protocol::Put>();
  CHECK(asked.message.retention == protocol::Retention{2000, protocol::as_configured, protocol::as_configured, {"a", "b"}, {}, false});
  c.connection->send(asked.id, protocol::Published{1, true});
  CHECK(*putting->wait() == 1);
}

TEST_CASE("how long a failure counts is the caller's to say") {
  ConnectedClient c;
  ComputeOptions options;
  for (const auto& [said, sent] : {std::pair{std::optional<Milliseconds>(), protocol::as_configured},
                                   std::pair{std::optional<Milliseconds>(0), std::uint64_t{0}}, std::pair{std::optional<Milliseconds>(7), std::uint64_t{7}}}) {
    options.failure_ttl = said;
    const auto call = c.in_thread([&] {
      return c.client->get_or_compute(f_key, options, [](Computation&) -> Result<std::string> { return Error{ErrorCode::internal, "no"}; });
    });
    c.grant();
    CHECK(c.connection->expect<protocol::Fail>().message.failure_ttl_ms == sent);
    CHECK_FALSE(call->wait().ok());
  }
}

TEST_CASE("invalidations name their scope, and are hard unless they are to be soft") {
  ConnectedClient c;
  const auto check = [&](auto call, protocol::ScopeKind kind, const std::string& subject, bool soft) {
    const auto calling = c.in_thread(call);
    const auto asked = c.connection->expect<protocol::Invalidate>();
    CHECK(asked.message.scope == protocol::Scope{kind, subject});
    CHECK(asked.message.soft == soft);
    c.connection->send(asked.id, protocol::Done{3});
    CHECK(*calling->wait() == 3);
  };
  const std::string bytes(f_key.bytes());
  for (const bool soft : {false, true}) {
    const InvalidateOptions options{.soft = soft};
    check([&] { return c.client->invalidate(bytes, options); }, protocol::ScopeKind::key, bytes, soft);
    check([&] { return c.client->invalidate_function("f", options); }, protocol::ScopeKind::function, "f", soft);
    check([&] { return c.client->invalidate_all(options); }, protocol::ScopeKind::everything, "", soft);
    check([&] { return c.client->invalidate_tag("fruit", options); }, protocol::ScopeKind::tag, "fruit", soft);
  }
  check([&] { return c.client->invalidate_tag("fruit"); }, protocol::ScopeKind::tag, "fruit", false);
}
