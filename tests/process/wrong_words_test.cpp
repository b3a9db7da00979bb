// Callers that say what cannot be sent: told so before it is, and nobody else of their process loses anything by it.
#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <onced/session.hpp>
#include <onced/subscription.hpp>

#include "process/on_disk.hpp"
#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::testing;
using namespace std::chrono_literals;

namespace {

std::string long_name() { return std::string(300, 'n'); }
const std::string no_utf8 = "\xff";
std::string no_longer_a_key() {
  Key key = key_named("gone");
  const Key other = std::move(key);
  return std::string(key.bytes());  // NOLINT: what is left of it
}

}  // namespace

TEST_CASE("wrong words are refused before they are sent, and the leases of the process stay") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  const Key key = key_named("computed");
  auto acquired = client.acquire(key);
  REQUIRE(acquired.ok());
  auto& computation = std::get<Computation>(*acquired);
  auto session = client.new_session();
  REQUIRE(session.ok());

  ComputeOptions typed;
  typed.content_type = no_utf8;
  ComputeOptions too_long;
  too_long.content_type = long_name();
  ComputeOptions negative;
  negative.lease_limit = -1ms;
  PutOptions typed_put;
  typed_put.content_type = no_utf8;
  const auto nothing = [](Computation&) { return std::string(); };
  const std::vector<std::pair<const char*, std::function<Error()>>> wrong{
      {"list", [&] { return client.list(no_utf8).error(); }},
      {"list, long", [&] { return client.list(long_name()).error(); }},
      {"list, cursor", [&] { return client.list("f", std::string(40'000, 'c')).error(); }},
      {"list of a session", [&] { return session->list(no_utf8).error(); }},
      {"invalidate_function", [&] { return client.invalidate_function("").error(); }},
      {"invalidate_function, long", [&] { return client.invalidate_function(long_name()).error(); }},
      {"cancel_function", [&] { return client.cancel_function(no_utf8).error(); }},
      {"subscribe_function", [&] { return client.subscribe_function("").error(); }},
      {"subscribe_function, long", [&] { return client.subscribe_function(long_name()).error(); }},
      {"get", [&] { return client.get("prices").error(); }},
      {"get, moved from", [&] { return client.get(no_longer_a_key()).error(); }},
      {"wait", [&] { return client.wait("prices").error(); }},
      {"get_or_compute, a name", [&] { return client.get_or_compute("global_store", {}, nothing).error(); }},
      {"get_or_compute, moved from", [&] { return client.get_or_compute(no_longer_a_key(), {}, nothing).error(); }},
      {"get_or_compute, type", [&] { return client.get_or_compute(key_named("t"), typed, nothing).error(); }},
      {"get_or_compute, long type", [&] { return client.get_or_compute(key_named("t"), too_long, nothing).error(); }},
      {"get_or_compute, limit", [&] { return client.get_or_compute(key_named("t"), negative, nothing).error(); }},
      {"acquire", [&] { return client.acquire("prices").error(); }},
      {"put", [&] { return client.put("prices", "value").error(); }},
      {"put, moved from", [&] { return client.put(no_longer_a_key(), "value").error(); }},
      {"put, type", [&] { return client.put(key_named("t").bytes(), "value", typed_put).error(); }},
      {"put, type of a builder",
       [&] {
         ValueBuilder builder = client.builder(key_named("t").bytes());
         REQUIRE(builder.add({}, std::string_view("value")).ok());
         return client.put(key_named("t").bytes(), std::move(builder), typed_put).error();
       }},
      {"builder", [&] { return client.builder("prices").add({}, std::string_view("value")).error(); }},
      {"invalidate", [&] { return client.invalidate("prices").error(); }},
      {"cancel", [&] { return client.cancel("").error(); }},
      {"explain", [&] { return client.explain("prices").error(); }},
      {"new_session", [&] { return client.new_session({.idle_ttl = -1ms}).error(); }},
  };
  for (const auto& [what, call] : wrong) {
    CAPTURE(what);
    const Error error = call();
    CAPTURE(error.text);
    CHECK((error.code == ErrorCode::invalid_argument || error.code == ErrorCode::too_large));
    CHECK_FALSE(error.text.empty());
  }
  CHECK(client.get("global_store").error().text.find("are no key") != std::string::npos);
  CHECK(client.counters().reconnects == 0);
  const auto value = computation.publish("kept");
  REQUIRE(value.ok());
  CHECK_FALSE(value->not_stored());
  CHECK(client.peek(key)->text() == "kept");
}

TEST_CASE("times without end, and delays the wrong way round, are times like others") {
  DaemonProcess daemon;
  ClientOptions options = options_for(daemon.socket());
  for (Milliseconds* const time : {&options.connect_timeout, &options.request_timeout, &options.disk_timeout, &options.reconnect_delay_min}) *time = Milliseconds::max();
  options.reconnect_delay_max = 1ms;
  options.mapping_cache_count = ~std::uint32_t{0};
  Client client(options);
  const Key key = key_named("f");
  CHECK(client.put(key.bytes(), std::string(200'000, 'x')).ok());
  const auto found = client.get(key.bytes());
  REQUIRE((found.ok() && found->has_value()));
  CHECK((*found)->bytes().size() == 200'000);
  CHECK_FALSE(*client.get(key_named("g").bytes()));
  CHECK(client.invalidate(key.bytes()).ok());
  auto session = client.new_session();
  REQUIRE(session.ok());
  auto rotated = session->rotate();
  REQUIRE(rotated.ok());
  CHECK(rotated->end().ok());
}

TEST_CASE("a session's value depends on another of the session's when it says so, and on none of another session's") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  auto session = client.new_session();
  auto other = client.new_session();
  REQUIRE((session.ok() && other.ok()));
  const Key basket = *session->key("basket").build();
  const Key sum = *session->key("sum").build();
  REQUIRE(session->put(basket, "apples").ok());
  ComputeOptions options;
  options.depends_on = {basket};
  int computed = 0;
  const auto compute = [&](Computation&) { return "sum " + std::to_string(++computed); };
  for (int i = 0; i < 3; ++i) {
    const auto value = session->get_or_compute(sum, options, compute);
    REQUIRE(value.ok());
    CHECK(value->text() == "sum 1");
    CHECK_FALSE(value->stale());
  }
  REQUIRE(session->put(basket, "pears").ok());
  CHECK((*session->get(basket))->text() == "pears");
  CHECK(session->wait(basket)->text() == "pears");
  CHECK(session->explain(basket)->row.state == protocol::KeyState::ready);
  CHECK(session->get_or_compute(sum, options, compute)->text() == "sum 2");
  PutOptions put;
  put.depends_on = {basket};
  const Key total = *session->key("total").build();
  REQUIRE(session->put(total.bytes(), "2", put).ok());
  CHECK_FALSE(session->peek(total.bytes())->stale());

  CHECK(other->get_or_compute(*other->key("sum").build(), options, compute).error().code == ErrorCode::invalid_argument);
  CHECK(client.put(key_named("sum").bytes(), "2", put).error().code == ErrorCode::not_permitted);
  CHECK(computed == 2);
}

TEST_CASE("a builder that was begun before a fork is not put by the child, and the parent goes on with it") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  const Key key = key_named("f");
  ValueBuilder builder = client.builder(key);
  REQUIRE(builder.add("large", std::string_view(std::string(1'000'000, 'x'))).ok());
  Worker child([&] { return client.put(key.bytes(), std::move(builder)).error().code == ErrorCode::invalid_argument ? 0 : 1; });
  CHECK(child.wait() == 0);
  REQUIRE(client.put(key, std::move(builder)).ok());
  CHECK((*client.get(key))->part("large")->bytes.size() == 1'000'000);
  CHECK(client.wait(key)->part_count() == 1);
  CHECK(*client.cancel(key) == 0);
  CHECK(*client.invalidate(key) == 1);
  CHECK(client.explain(key)->row.state == protocol::KeyState::absent);
  CHECK(client.counters().reconnects == 0);
}

TEST_CASE("a result that was computed while the daemon was started anew is kept, in its session, and also when a value is there") {
  OnDisk disk;
  Client client = disk.client();
  auto session = client.new_session();
  REQUIRE(session.ok());
  const Key key = *session->key("basket").build();
  REQUIRE(session->put(key.bytes(), "before", durable_put()).ok());
  ComputeOptions options;
  options.force = true;
  const auto value = session->get_or_compute(key, options, [&](Computation&) {
    disk.crash();
    return std::string("forced");
  });
  REQUIRE(value.ok());
  CAPTURE((value->not_stored() ? value->not_stored()->text : std::string()));
  CHECK_FALSE(value->not_stored());
  const auto found = session->get(key.bytes());
  REQUIRE((found.ok() && found->has_value()));
  CHECK((*found)->text() == "forced");
}
