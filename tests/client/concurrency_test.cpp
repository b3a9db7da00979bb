// What a client says and does where the operator limits how many keys of a function are computed at once.
#include <doctest/doctest.h>

#include "connected.hpp"

using namespace onced;
using namespace onced::testing;

TEST_CASE("a caller in the background says so; others, and those who only wait, do not") {
  for (const bool background : {false, true}) {
    ConnectedClient c;
    const auto call = c.in_thread([&] {
      return c.client->get_or_compute(*KeyBuilder("f").build(), {.background = background}, [](Computation&) { return std::string("x"); });
    });
    const auto asked = c.connection->expect<protocol::Acquire>();
    CHECK(asked.message.background == background);
    c.connection->send(asked.id, protocol::Lease{{c.space.welcome.epoch, 1}, 1000, false, protocol::LeaseCause::absent});
    c.expect_publish();
    CHECK(call->wait().ok());
  }
  ConnectedClient c;
  const auto call = c.in_thread([&] { return c.client->wait(KeyBuilder("f").build()->bytes()); });
  const auto asked = c.connection->expect<protocol::Acquire>();
  CHECK_FALSE(asked.message.background);
  c.connection->send(asked.id, protocol::Refused{ErrorCode::timed_out, "f() is queued"});
  CHECK(call->wait().error().text == "f() is queued");
}

TEST_CASE("a lease whose turn has come is taken up at once, and is no refresh") {
  ConnectedClient c;
  const auto call = c.in_thread([&] {
    return c.client->get_or_compute(*KeyBuilder("f").build(), {}, [](Computation&) { return std::string("x"); });
  });
  const auto asked = c.connection->expect<protocol::Acquire>();
  const protocol::Token token{c.space.welcome.epoch, 7};
  c.connection->send(asked.id, protocol::Lease{token, 1000, true, protocol::LeaseCause::queued});
  CHECK(c.connection->expect<protocol::TakeUp>().message.token == token);
  CHECK(c.expect_publish().token == token);
  CHECK(call->wait().ok());
  CHECK(c.client->counters().refreshes == 0);
}
